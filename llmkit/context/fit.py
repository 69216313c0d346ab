"""Fits a history into a budget: a strategy proposes, the exact count of the result disposes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Final, cast

from llmkit.context.errors import ContextLengthExceeded, ContextSizes, InvalidHistory
from llmkit.context.groups import Group
from llmkit.context.history import Count, History
from llmkit.context.items import Item
from llmkit.context.strategies import Strategy

_FEW: Final = 256  # messages: so many are counted at once to see whether they fit
_ATTEMPTS: Final = 24  # each takes at least twice as much off the budget as the one before


def fit(
    items: Sequence[Item], *, count: Count, max_tokens: int, strategy: Strategy, held_by_server: bool = False
) -> list[Item]:
    """The items the strategy keeps, within budget by an exact count; all of them when they fit."""
    history = history_over(items, count=count, max_tokens=max_tokens, held_by_server=held_by_server)
    if history is None:
        return list(items)
    budget = max_tokens - fixed_tokens(history)
    before: list[Group] = []
    for attempt in range(_ATTEMPTS):
        kept = _propose(strategy, history, budget)
        result = [*history.head, *(message for group in kept for message in group.messages)]
        excess = count(result).total - max_tokens
        if excess <= 0:
            return result
        if kept == before:
            break
        before = kept
        budget = min(budget, sum(group.tokens for group in kept)) - (excess << attempt)
    raise too_large(history, max_tokens, strategy)


def history_over(
    items: Sequence[Item], *, count: Count, max_tokens: int, held_by_server: bool = False
) -> History | None:
    """The history when it is larger than the budget; None when it fits as it is, valid or not."""
    if len(items) <= _FEW and count(items).total <= max_tokens:
        return None
    try:
        history = History(items, count, held_by_server=held_by_server)
        if _surely_over(history, max_tokens):
            return history
    except InvalidHistory:
        history = None
    if count(items).total <= max_tokens:
        return None
    return History(items, count, held_by_server=held_by_server) if history is None else history


def _surely_over(history: History, max_tokens: int) -> bool:
    """Whether the newest groups alone are so far over the budget that the others need not be counted."""
    limit = max_tokens + max_tokens // 20 + 64  # the sum of the parts is a little off
    total = 0
    for group in reversed(history):
        total += group.tokens
        if total > limit:
            return True
    return False


def fixed_tokens(history: History) -> int:
    """What the request costs beside its groups: head, tools, response format, priming."""
    current = next(reversed(history), None)
    if current is None:
        return history.measure(history.head).total
    return history.measure([*history.head, *current.messages]).total - current.tokens


def check_strategy(strategy: object) -> None:
    """Raise an error that names what cannot be a strategy."""
    if isinstance(strategy, type):
        raise TypeError(f"strategy={strategy.__qualname__} is a class; pass an instance: {strategy.__qualname__}()")
    if hasattr(strategy, "write_summary"):
        raise TypeError("Summarize waits for a model; use `await summarize_messages(..., strategy=Summarize(...))`")
    if not callable(strategy) or inspect.iscoroutinefunction(strategy):
        raise TypeError(
            f"strategy={strategy!r} is no strategy; use DropOldest(), MiddleOut(), TruncateLongest() "
            "or a plain function (groups, budget) that returns the groups to keep"
        )


def _propose(strategy: Strategy, history: History, budget: int) -> list[Group]:
    """What the strategy keeps, in the order of the history."""
    if len(history.items) == len(history.head):
        return []
    kept = cast("object", strategy(history, budget))
    groups = list(cast("Iterable[object]", kept)) if isinstance(kept, Iterable) else [kept]
    found = [group for group in groups if isinstance(group, Group)]
    if len(found) < len(groups):
        raise TypeError(f"the strategy {strategy!r} returned {kept!r:.200}; return the groups to keep")
    found.sort(key=lambda group: group.start)
    if len({group.start for group in found}) < len(found):
        raise ValueError(f"the strategy {strategy!r} returned a group twice")
    if not found or not found[-1].current:
        raise ValueError(f"the strategy {strategy!r} dropped the current turn, groups[-1]; it must be kept")
    return found


def too_large(history: History, max_tokens: int, strategy: Strategy) -> ContextLengthExceeded:
    """The error that names the sizes."""
    sizes = _sizes(history, max_tokens)
    if sizes.needed <= max_tokens:
        message = (
            f"The strategy {strategy!r} kept more than max_tokens={max_tokens:,}, although asked again with less; what "
            f"is always kept needs {sizes.needed:,} tokens. Return groups whose tokens add up to at most the budget."
        )
        return ContextLengthExceeded(message, sizes)
    largest = f" The largest message is messages[{sizes.largest_index}] with {sizes.largest:,}."
    return ContextLengthExceeded(
        f"The request cannot be trimmed to max_tokens={max_tokens:,} by {strategy!r}: what is always kept needs "
        f"{sizes.needed:,} tokens (system and developer messages {sizes.head:,}, current turn {sizes.current_turn:,}, "
        f"tools and response format {sizes.tools:,}).{'' if sizes.largest_index is None else largest} "
        "Shorten that message, send fewer tools, use a model with a larger context, or cut long texts with "
        "TruncateLongest(), with a smaller keep_tokens if need be.",
        sizes,
    )


def _sizes(history: History, max_tokens: int) -> ContextSizes:
    current = next(reversed(history), None)
    messages = [*history.head, *(current.messages if current else ())]
    figures = history.measure(messages)
    each = list(figures.per_message)
    place = each.index(max(each)) if each else 0
    beyond = place - len(history.head)
    index = place if beyond < 0 or current is None else current.start + beyond
    return ContextSizes(
        max_tokens=max_tokens,
        needed=figures.total,
        head=sum(each[: len(history.head)]),
        current_turn=sum(each[len(history.head) :]),
        tools=figures.tools + figures.response_format,
        largest=each[place] if each else 0,
        largest_index=index if each else None,
    )
