"""What an answer says about itself. Reads the SDK's models and plain JSON alike, and writes a CallRecord."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from llmkit.record import CallRecord

_FINAL_EVENTS = frozenset({"response.completed", "response.incomplete", "response.failed"})


class View:
    """Attribute access to decoded JSON, so that one reader serves JSON and the SDK's models."""

    __slots__ = ("_data",)

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data

    def __getattr__(self, name: str) -> Any:
        return view(self._data.get(name))

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


def note_answer(record: CallRecord, answer: Any) -> None:
    """Record ids, served model, finish reasons and usage of a whole answer or of one stream event."""
    answer = _get(answer, "response") or answer  # a Responses event carries the response
    record.response_id = _text(answer, "id") or record.response_id
    record.response_model = _text(answer, "model") or record.response_model
    record.finish_reasons = tuple(_finish_reasons(answer)) or record.finish_reasons
    record.error_code = _text(_get(answer, "error"), "code") or record.error_code  # of a response that failed
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
    return "moderation" not in event.model_fields_set


def is_final(event: Any) -> bool:
    """Whether the answer is whole once `event` is in, even if the stream is closed right after it."""
    return _get(event, "type") in _FINAL_EVENTS or is_usage_chunk(event)


def error_in(event: Any) -> Any:
    """What holds the error's code when `event` reports a failure in mid-stream, else None."""
    return event if _get(event, "type") == "error" else _get(event, "error")


def text_of(event: Any) -> str:
    """The text that a stream event adds to the answer: content, refusal and arguments alike."""
    choices = _get(event, "choices")
    if choices is None:
        return _text(event, "delta") or ""
    return "".join([_choice_text(choice) for choice in choices])


def answer_text(answer: Any) -> str:
    """The text of a whole answer, one line for each choice."""
    choices: Sequence[Any] = _get(answer, "choices") or ()
    if choices:
        return "\n".join(_choice_text(choice) for choice in choices)
    items: Sequence[Any] = _get(answer, "output") or ()
    return "\n".join(piece for item in items for piece in _output_pieces(item))


def _output_pieces(item: Any) -> Iterator[str]:
    if arguments := _text(item, "arguments"):
        yield arguments
    for part in _get(item, "content") or ():
        yield _text(part, "text") or _text(part, "refusal") or ""


def _choice_text(choice: Any) -> str:
    message = _get(choice, "delta") or _get(choice, "message")
    if message is None:
        return _text(choice, "text") or ""
    text = _text(message, "content") or _text(message, "refusal") or ""
    for call in _get(message, "tool_calls") or ():
        text += _text(_get(call, "function"), "arguments") or ""
    return text


def _finish_reasons(answer: Any) -> Iterator[str]:
    choices = _get(answer, "choices")
    if choices is not None:
        yield from (reason for choice in choices if (reason := _text(choice, "finish_reason")))
        return
    status = _text(answer, "status")
    if status is not None and _get(answer, "object") == "response" and status != "in_progress":
        yield _text(_get(answer, "incomplete_details"), "reason") or status


def _get(source: Any, name: str) -> Any:
    return view(getattr(source, name, None))  # the SDK leaves JSON as it is where it knows no model for it


def _text(source: Any, name: str) -> str | None:
    value = getattr(source, name, None)
    return value if isinstance(value, str) else None


def _number(source: Any, *names: str) -> int | None:
    for name in names:
        value = getattr(source, name, None)
        if isinstance(value, int):
            return value
    return None
