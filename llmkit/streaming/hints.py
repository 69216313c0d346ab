"""What to do about a call that failed, or whose answer is cut short, filtered, refused or empty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from llmkit.record import CallRecord
from llmkit.streaming.facts import Fields, parts_of, values_of

CUT: Final = (
    "The answer was cut at its token limit: raise max_completion_tokens (max_output_tokens in Responses; reasoning "
    "counts, too), ask for less, or have the model go on."
)
FILTERED: Final = "A content filter stopped the answer: reword the prompt, or relax the filter where that is yours."
REFUSED: Final = "The model refused to answer: tell the user so, or reword the prompt."
EMPTY: Final = (
    "The answer is empty, with neither text nor tool call: ask again, leave the model more output tokens, or check "
    "stop sequences."
)
FAILED: Final = "The answer itself reports a failure: send the request again, and look at its code if it stays."

_CUT: Final = frozenset({"length", "max_output_tokens", "max_tokens"})


_CALLS: Final = frozenset({"tool_calls", "function_call"})
_SAID_OTHERWISE: Final = ("tool_calls", "function_call", "audio", "images")


def answer_hint(record: CallRecord, answer: object) -> str | None:
    """The hint on a whole answer, whose facts are on the record; None when nothing is the matter with it."""
    look = _LOOKS.get(record.operation)
    refused, empty = (False, False) if look is None else look(values_of(answer))
    return _hint(record, refused=refused, empty=empty)


def stream_hint(record: CallRecord, *, said: bool, refused: bool) -> str | None:
    """The hint on a Chat stream that has ended, and has `said` something or not."""
    is_answer = record.operation in _LOOKS and record.complete
    empty = is_answer and not said and _CALLS.isdisjoint(record.finish_reasons)
    return _hint(record, refused=refused, empty=empty)


def advise(record: CallRecord, error: BaseException) -> None:
    """Put guidance on an error that ends a call, and on its record; none where the user has cancelled the call."""
    if isinstance(error, Exception):
        from llmkit.guidance import advise  # a program that never fails never loads it

        advise(record, error)


def _hint(record: CallRecord, *, refused: bool, empty: bool) -> str | None:
    if record.error is not None:
        return FAILED
    if not _CUT.isdisjoint(record.finish_reasons):
        return CUT
    if "content_filter" in record.finish_reasons:
        return FILTERED
    if refused:
        return REFUSED
    return EMPTY if empty else None


def _in_chat(fields: Fields) -> tuple[bool, bool]:
    """Whether the model refused, and whether it said nothing."""
    for choice in parts_of(fields, "choices"):
        message = values_of(choice.get("message"))
        if message.get("content") or any(message.get(name) for name in _SAID_OTHERWISE):
            return False, False
        if message.get("refusal"):
            return True, False
    return False, True


def _in_response(fields: Fields) -> tuple[bool, bool]:
    if fields.get("status") not in (None, "completed"):
        return False, False
    refused = False
    for item in parts_of(fields, "output"):
        kind = item.get("type")
        if kind not in ("message", "reasoning"):
            return False, False
        for part in parts_of(item, "content") if kind == "message" else ():
            if part.get("text"):
                return False, False
            refused = refused or bool(part.get("refusal"))
    return refused, not refused


_LOOKS: Final[dict[str, Callable[[Fields], tuple[bool, bool]]]] = {
    "chat.completions": _in_chat,
    "responses": _in_response,
}
