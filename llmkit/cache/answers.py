"""Which answers are worth keeping: complete ones that say something."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from llmkit.streaming.facts import Fields, parts_of, values_of
from llmkit.structure import missing_in, read_json


class Verdict(NamedTuple):
    """Whether an answer may be kept."""

    keep: bool
    why: str = ""
    """What speaks against it, in a plain word or two and none of the answer's."""
    calls_tools: bool = False
    """It asks for tools, or the server has used some: next time they may say something else."""


def whole(operation: str, body: bytes) -> Verdict:
    """Whether the JSON answer to `operation` is complete: no error, not cut, filtered, refused or empty."""
    look = _LOOKS.get(operation)
    if look is None:
        return Verdict(keep=False, why="of an unknown kind")
    try:
        answer = read_json(body)
    except (ValueError, RecursionError):
        return Verdict(keep=False, why="not JSON")
    fields = values_of(answer)
    if fields.get("error"):
        return Verdict(keep=False, why="an error")
    checked = operation in _CHECKED and missing_in(answer, operation=operation, body={}, strictly=True)
    return Verdict(keep=False, why="malformed") if checked else look(fields)


def _verdict(reasons: Iterable[str], *, calls_tools: bool = False) -> Verdict:
    """By the first of `reasons` that is one."""
    why = next(filter(None, reasons), "")
    return Verdict(keep=not why, why=why or ("calls tools" if calls_tools else ""), calls_tools=calls_tools)


def _chat(fields: Fields) -> Verdict:
    choices = parts_of(fields, "choices")
    messages = [values_of(choice.get("message")) for choice in choices]
    against = [_against(choice, message) for choice, message in zip(choices, messages, strict=True)]
    calls = any(message.get("tool_calls") or message.get("function_call") for message in messages)
    return _verdict(against or ["empty"], calls_tools=calls)


def _completion(fields: Fields) -> Verdict:
    return _verdict([_against(choice, choice) for choice in parts_of(fields, "choices")] or ["empty"])


def _against(choice: Fields, said: Fields) -> str:
    """What speaks against one choice: the end of it comes first, for it explains the rest."""
    if why := _ENDINGS.get(str(choice.get("finish_reason")), "not finished"):
        return why
    if said.get("refusal"):
        return "refused"
    return "" if any(said.get(name) for name in _SAID) else "empty"


def _response(fields: Fields) -> Verdict:
    items = parts_of(fields, "output")
    parts = [part for item in items if item.get("type") == "message" for part in parts_of(item, "content")]
    calls = any(item.get("type") not in ("message", "reasoning") for item in items)
    against = [
        _ENDINGS.get(str(values_of(fields.get("incomplete_details")).get("reason")), ""),
        _STATES.get(str(fields.get("status")), "not finished"),
        *(_STATES.get(str(item.get("status")), "") for item in items),
        "refused" if any(part.get("refusal") for part in parts) else "",
        "" if calls or any(part.get("text") for part in parts) else "empty",
    ]
    return _verdict(against, calls_tools=calls)


def _embeddings(fields: Fields) -> Verdict:
    return _verdict([] if fields.get("data") else ["empty"])


def _moderation(fields: Fields) -> Verdict:
    return _verdict([] if parts_of(fields, "results") else ["empty"])


_LOOKS: Final[dict[str, Callable[[Fields], Verdict]]] = {
    "chat.completions": _chat,
    "responses": _response,
    "embeddings": _embeddings,
    "completions": _completion,
    "moderations": _moderation,
}
OPERATIONS: Final = frozenset(_LOOKS)
"""What a cache can keep the answers of."""
_CHECKED: Final = frozenset({"chat.completions", "responses", "embeddings"})
_SAID: Final = ("content", "text", "tool_calls", "function_call", "audio", "images")
_ENDINGS: Final = {
    "stop": "",
    "tool_calls": "",
    "function_call": "",
    "length": "cut at its token limit",
    "max_output_tokens": "cut at its token limit",
    "content_filter": "filtered",
}
"""What a finish reason says against an answer, or the reason for which it is incomplete."""
_STATES: Final = {"completed": "", "failed": "an error", "incomplete": "not finished", "in_progress": "not finished"}
