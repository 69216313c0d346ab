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
    answer = getattr(answer, "response", None) or answer  # a Responses event carries the response
    record.response_id = _text(answer, "id") or record.response_id
    record.response_model = _text(answer, "model") or record.response_model
    record.finish_reasons = tuple(_finish_reasons(answer)) or record.finish_reasons
    usage = getattr(answer, "usage", None)
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
    details = getattr(usage, "prompt_tokens_details", None) or getattr(usage, "input_tokens_details", None)
    record.cached_tokens = _number(details, "cached_tokens")
    details = getattr(usage, "completion_tokens_details", None) or getattr(usage, "output_tokens_details", None)
    record.reasoning_tokens = _number(details, "reasoning_tokens")
    record.estimated = False


def is_usage_chunk(event: Any) -> bool:
    """Whether `event` is the extra last chunk of `include_usage`: usage, no choices, and no moderation result."""
    if getattr(event, "choices", None) != [] or getattr(event, "usage", None) is None:
        return False
    return "moderation" not in event.model_fields_set


def is_final(event: Any) -> bool:
    """Whether the answer is whole once `event` is in, even if the stream is closed right after it."""
    return getattr(event, "type", None) in _FINAL_EVENTS or is_usage_chunk(event)


def error_in(event: Any) -> Any:
    """What holds the error's code when `event` reports a failure in mid-stream, else None."""
    return event if getattr(event, "type", None) == "error" else getattr(event, "error", None)


def text_of(event: Any) -> str:
    """The text that a stream event adds to the answer: content, refusal and arguments alike."""
    choices = getattr(event, "choices", None)
    if choices is None:
        delta = getattr(event, "delta", None)
        return delta if isinstance(delta, str) else ""
    return "".join(piece for choice in choices for piece in _pieces(choice))


def answer_text(answer: Any) -> str:
    """The text of a whole answer, one line for each choice."""
    choices: Sequence[Any] = getattr(answer, "choices", None) or ()
    if choices:
        return "\n".join("".join(_pieces(choice)) for choice in choices)
    items: Sequence[Any] = getattr(answer, "output", None) or ()
    return "\n".join(piece for item in items for piece in _output_pieces(item))


def _output_pieces(item: Any) -> Iterator[str]:
    if arguments := _text(item, "arguments"):
        yield arguments
    for part in getattr(item, "content", None) or ():
        yield _text(part, "text") or _text(part, "refusal") or ""


def _pieces(choice: Any) -> Iterator[str]:
    message = getattr(choice, "delta", None) or getattr(choice, "message", None)
    if message is None:
        yield _text(choice, "text") or ""
        return
    yield _text(message, "content") or ""
    yield _text(message, "refusal") or ""
    for call in getattr(message, "tool_calls", None) or ():
        yield _text(getattr(call, "function", None), "arguments") or ""


def _finish_reasons(answer: Any) -> Iterator[str]:
    choices = getattr(answer, "choices", None)
    if choices is not None:
        yield from (reason for choice in choices if (reason := _text(choice, "finish_reason")))
        return
    status = _text(answer, "status")
    if status is not None and getattr(answer, "object", None) == "response" and status != "in_progress":
        yield _text(getattr(answer, "incomplete_details", None), "reason") or status


def _text(source: Any, name: str) -> str | None:
    value = getattr(source, name, None)
    return value if isinstance(value, str) else None


def _number(source: Any, *names: str) -> int | None:
    for name in names:
        value = getattr(source, name, None)
        if isinstance(value, int):
            return value
    return None
