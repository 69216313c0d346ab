"""What an answer says about itself. Reads the SDK's models and plain JSON alike, and never fails on odd data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from llmkit.record import CallRecord

_LAST_OF_A_RESPONSE = frozenset({"response.completed", "response.incomplete", "response.failed"})
_NOT_ENDED = frozenset({"queued", "in_progress"})


class View:
    """Attribute access to decoded JSON, so that one reader serves JSON and the SDK's models."""

    __slots__ = ("_data",)

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return view(self._data.get(name))

    def __bool__(self) -> bool:
        return bool(self._data)

    @property
    def model_fields_set(self) -> set[str]:
        """The keys present, under the name pydantic gives them."""
        return set(self._data)


def view(data: Any) -> Any:
    """`data` with its objects behind attribute access."""
    if isinstance(data, dict):
        return View(cast("dict[str, Any]", data))
    if isinstance(data, list):
        return [view(item) for item in data]  # pyright: ignore[reportUnknownVariableType]
    return data


def note_answer(record: CallRecord, answer: Any, reasons: dict[int, str] | None = None) -> None:
    """Record ids, served model, finish reasons, failure and usage of a whole answer or of one stream event.

    `reasons` collects the finish reasons of a stream, by choice.
    """
    failure = _failure(answer, in_stream=reasons is not None)
    answer = _inner(answer)
    reasons = {} if reasons is None else reasons
    reasons.update(_finish_reasons(answer))
    record.finish_reasons = tuple(reasons[index] for index in sorted(reasons))
    record.response_id = _text(answer, "id") or record.response_id
    record.response_model = _text(answer, "model") or record.response_model
    if failure:
        record.error, record.error_code = "APIError", _text(failure, "code")
    usage = _get(answer, "usage")
    if usage is not None:
        note_usage(record, usage)


def note_usage(record: CallRecord, usage: Any) -> None:
    """Record token figures under one set of names; Chat says prompt/completion, Responses input/output."""
    given = _number(usage, "prompt_tokens", "input_tokens")
    if given is None:
        return
    record.input_tokens = given
    record.output_tokens = _number(usage, "completion_tokens", "output_tokens") or 0
    total = _number(usage, "total_tokens")
    record.total_tokens = given + record.output_tokens if total is None else total
    details = _get(usage, "prompt_tokens_details") or _get(usage, "input_tokens_details")
    record.cached_tokens = _number(details, "cached_tokens")
    details = _get(usage, "completion_tokens_details") or _get(usage, "output_tokens_details")
    record.reasoning_tokens = _number(details, "reasoning_tokens")
    record.estimated = False


def is_usage_chunk(event: Any) -> bool:
    """Whether `event` is the extra last chunk of `include_usage`: usage, no choices, and no moderation result."""
    if _get(event, "choices") != [] or _get(event, "usage") is None:
        return False
    return "moderation" not in getattr(event, "model_fields_set", ())


def is_final(event: Any) -> bool:
    """Whether the answer is whole once `event` is in, even if the stream is closed right after it."""
    if _get(event, "choices") is not None:
        return bool(_finish_reasons(event)) or is_usage_chunk(event)
    kind = _text(event, "type") or ""
    return kind in _LAST_OF_A_RESPONSE if kind.startswith("response.") else kind.endswith((".done", ".completed"))


def announces_its_end(event: Any) -> bool:
    """Whether streams of events like this one say when they are over, so that silence means a cut."""
    return _get(event, "choices") is not None or (_text(event, "type") or "").startswith("response.")


def is_news(event: Any) -> bool:
    """Whether a stream event says more than a piece of text."""
    choices = _get(event, "choices")
    if not choices:
        return not isinstance(getattr(event, "delta", None), str)
    return getattr(event, "usage", None) is not None or bool(_finish_reasons(event))


def texts_of(event: Any) -> list[tuple[int, str]]:
    """The text that a stream event adds: content, refusal and arguments alike, with the choice it belongs to."""
    choices = _get(event, "choices")
    if choices is not None:
        found = [(_number(choice, "index") or 0, _choice_text(choice)) for choice in _items(choices)]
        return [item for item in found if item[1]]
    delta = _text(event, "delta")
    if not delta or (_text(event, "type") or "").endswith("audio.delta"):  # base64, not text
        return []
    return [(_number(event, "output_index") or 0, delta)]


def answer_text(answer: Any) -> str:
    """The text of a whole answer, one line for each choice or output item."""
    answer = _inner(answer)
    texts = [_choice_text(choice) for choice in list_in(answer, "choices")]
    texts += [_output_text(item) for item in list_in(answer, "output")]
    return "\n".join(text for text in texts if text)


def _inner(answer: Any) -> Any:
    """The response that a Responses event carries, the run that an Assistants event carries, else the answer."""
    for name in ("response", "data"):
        inner = _get(answer, name)
        if inner is not None and not isinstance(inner, list | str):
            return inner
    return answer


def _failure(answer: Any, *, in_stream: bool) -> Any:
    if _text(answer, "type") == "error":
        return answer
    inner = _inner(answer)
    if _text(inner, "object") == "response":
        return inner if _text(inner, "status") == "failed" and not _get(inner, "error") else _get(inner, "error")
    return _get(answer, "error") if in_stream else None


def _finish_reasons(answer: Any) -> dict[int, str]:
    choices = _get(answer, "choices")
    if choices is not None:
        found = [(_number(choice, "index"), _text(choice, "finish_reason")) for choice in _items(choices)]
        return {index or 0: reason for index, reason in found if reason}
    status = _text(answer, "status")
    if status is None or status in _NOT_ENDED or _text(answer, "object") != "response":
        return {}
    return {0: _text(_get(answer, "incomplete_details"), "reason") or status}


def _output_text(item: Any) -> str:
    parts = [_text(part, "text") or _text(part, "refusal") or "" for part in list_in(item, "content")]
    return (_text(item, "arguments") or "") + "".join(parts)


def _choice_text(choice: Any) -> str:
    message = _get(choice, "delta") or _get(choice, "message")
    if message is None:
        return _text(choice, "text") or ""
    text = _text(message, "content") or _text(message, "refusal") or ""
    for call in list_in(message, "tool_calls"):
        text += _text(_get(call, "function"), "arguments") or ""
    return text


def _get(source: Any, name: str) -> Any:
    return view(getattr(source, name, None))  # the SDK leaves JSON as it is where it knows no model for it


def list_in(source: Any, name: str) -> list[Any]:
    """The list under `name`; an empty one when there is something else."""
    return _items(_get(source, name))


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]


def _text(source: Any, name: str) -> str | None:
    value = getattr(source, name, None)
    return value if isinstance(value, str) else None


def _number(source: Any, *names: str) -> int | None:
    for name in names:
        value = getattr(source, name, None)
        if isinstance(value, int):
            return value
    return None
