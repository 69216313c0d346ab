"""Turn groups: the parts of a history that stay or go as a whole."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field

from llmkit.context.errors import InvalidHistory
from llmkit.context.items import INPUT_ROLES, INSTRUCTION_ROLES, CallId, Item, answers, calls, needs_results, read

SUMMARY_PREFIX = "Summary of the earlier conversation:\n"
"""How a summary message starts; such a message is never part of the kept head."""
_OF_ONE_RESPONSE = frozenset({"reasoning", "item_reference"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Messages that stay or go together: a message, or tool calls with all their results and reasoning."""

    messages: tuple[Item, ...] = field(repr=False)
    """One or more, in their order."""
    start: int
    """The index of the first one in the history."""
    tokens: int
    """What they cost in this request."""
    current: bool = False
    """Whether this is the current turn, from the last user message to the end."""


def head_length(items: Sequence[Item]) -> int:
    """How many leading items are always kept: system and developer messages, and a compaction."""
    for index, item in enumerate(items):
        if read(item, "role") in INSTRUCTION_ROLES:
            if not is_summary(item):
                continue
        elif read(item, "type") in {"compaction", "configuration_update"}:
            continue
        return index
    return len(items)


def is_summary(item: Item) -> bool:
    """Whether the message is a summary that `Summarize` wrote."""
    content = read(item, "content")
    return isinstance(content, str) and content.startswith(SUMMARY_PREFIX)


def last_user(items: Sequence[Item], head: int) -> int | None:
    """The index of the last user message."""
    return next((i for i in range(len(items) - 1, head - 1, -1) if read(items[i], "role") == "user"), None)


def first_held(items: Sequence[Item]) -> tuple[int, frozenset[CallId]]:
    """Results whose calls only the server has: the index of the first one (or the length), and their ids."""
    made: set[CallId] = set()
    held: set[CallId] = set()
    first = len(items)
    for index, item in enumerate(items):
        made.update(calls(item))
        if missing := [call_id for call_id in answers(item) if call_id not in made]:
            held.update(missing)
            first = min(first, index)
    return first, frozenset(held)


def spans(items: Sequence[Item], *, head: int, held: frozenset[CallId] = frozenset()) -> Iterator[tuple[int, int]]:
    """Start and end of each group, newest first; lazy, so that what is never looked at costs nothing.

    Raises `InvalidHistory` when it comes to a call without result or a result without call. `held` are the
    ids of calls the server has (`previous_response_id`).
    """
    end, no_reasoning = len(items), len(items)
    while end > head:
        start = _close(items, end, head, held)
        if start < no_reasoning and read(items[start], "type"):
            start, no_reasoning = _with_reasoning(items, start, head)
        yield start, end
        end = start


def _close(items: Sequence[Item], end: int, head: int, held: frozenset[CallId]) -> int:
    """Walk back from the end until every result has its call."""
    pending: dict[CallId, int] = {}
    for index in range(end - 1, head - 1, -1):
        item = items[index]
        if made := calls(item):
            _check_results(item, made, index, pending)
            for call_id in (*made, None):
                pending.pop(call_id, None)
        for call_id in answers(item):
            if call_id not in held:
                pending[call_id] = index
        if read(item, "type") == "item_reference":  # it may stand for the call
            pending.clear()
        if not pending:
            return index
    call_id, index = next(iter(pending.items()))
    raise InvalidHistory(
        f"messages[{index}] is the result of the tool call {call_id!r}, but no message before it makes that call; "
        "remove the result or put its call back"
    )


def _check_results(item: Item, made: Sequence[CallId], index: int, pending: Container[CallId]) -> None:
    missing = [call_id for call_id in made if call_id not in pending]
    if missing and needs_results(item):
        raise InvalidHistory(
            f"messages[{index}] makes the tool call {missing[0]!r}, but no message after it is its result; "
            "append the result or remove the call"
        )


def _with_reasoning(items: Sequence[Item], start: int, head: int) -> tuple[int, int]:
    """Back to the reasoning that begins the same response, or how far back there is surely none."""
    if not _is_output(items[start]):
        return start, start
    if read(items[start], "type") in _OF_ONE_RESPONSE:
        start += 1  # it is reasoning itself: only more reasoning can belong to it
    first = _back(items, start, head, lambda item: read(item, "type") not in _OF_ONE_RESPONSE and _is_output(item))
    begin = _back(items, first, head, lambda item: read(item, "type") in _OF_ONE_RESPONSE)
    if begin == first:
        return start, first
    for index in range(first, start):
        _check_results(items[index], calls(items[index]), index, ())
    return begin, begin


def _back(items: Sequence[Item], index: int, head: int, wanted: Callable[[Item], bool]) -> int:
    while index > head and wanted(items[index - 1]):
        index -= 1
    return index


def _is_output(item: Item) -> bool:
    """Whether a response of the model wrote the item."""
    return read(item, "role") not in INPUT_ROLES and not answers(item)
