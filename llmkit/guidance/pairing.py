"""Which message of a request breaks the pairing of tool calls and their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llmkit.context.items import CallId, Item, answers, calls, needs_results


class Unpaired(NamedTuple):
    """The first message that stands without what belongs to it."""

    field: str
    """"messages" or "input"."""
    place: int
    is_result: bool
    """A result without its call; else a call without its result."""


def unpaired(body: Mapping[str, Any]) -> Unpaired | None:
    """The first message of a Chat or Responses body that the API refuses; None when each has its other half."""
    for field, find in (("messages", _in_chat), ("input", _in_responses)):
        if isinstance(body.get(field), list):
            items: Any = body[field]
            held = body.get("previous_response_id") or body.get("conversation")
            found = find(items, held_by_server=bool(held))
            return None if found is None else Unpaired(field, *found)
    return None


def _in_chat(messages: Sequence[Item], *, held_by_server: bool) -> tuple[int, bool] | None:
    """The results stand right behind their call; nothing is held by the server here."""
    caller, called, waiting = 0, set[CallId](), set[CallId]()
    for index, message in enumerate(messages):
        if results := answers(message):
            if not called.issuperset(results):
                return index, True
            waiting.difference_update(results)
            continue
        if waiting:
            return caller, False
        caller, called = index, set(calls(message))
        waiting = set(called) if needs_results(message) else set[CallId]()
    return (caller, False) if waiting else None


def _in_responses(items: Sequence[Item], *, held_by_server: bool) -> tuple[int, bool] | None:
    """A call stands somewhere before its result, unless the server has it from an earlier response."""
    made: dict[CallId, int] = {}
    open_calls: dict[CallId, int] = {}
    for index, item in enumerate(items):
        for call_id in answers(item):
            if call_id not in made and not held_by_server:
                return index, True
            open_calls.pop(call_id, None)
        made.update(dict.fromkeys(calls(item), index))
        if needs_results(item):
            open_calls.update(dict.fromkeys(calls(item), index))
    return (min(open_calls.values()), False) if open_calls else None
