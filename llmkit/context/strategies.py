"""Which turn groups stay when a history is larger than its budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from llmkit.context.groups import Group
from llmkit.context.history import History
from llmkit.context.items import read

Strategy: TypeAlias = Callable[[History, int], Iterable[Group]]
"""Returns the groups to keep of `groups` (oldest first, the current turn last) within `budget` tokens.

Any function `(groups, budget)` will do. It keeps the current turn, and may return changed copies of groups
(`dataclasses.replace(group, messages=..., tokens=...)`). It may be called again with a smaller budget when
what it kept, counted as a whole, was over.
"""


def newest(groups: Sequence[Group], budget: int) -> list[Group]:
    """The current turn and as many of the newest groups before it as fit, oldest first."""
    kept: list[Group] = []
    for group in reversed(groups):
        budget -= group.tokens
        if budget < 0 and kept:
            break
        kept.append(group)
    return kept[::-1]


@dataclass(frozen=True, slots=True)
class DropOldest:
    """Drop the oldest turn groups until the rest fits."""

    def __call__(self, groups: Sequence[Group], budget: int) -> list[Group]:
        """The newest groups that fit, and always the current turn."""
        return newest(groups, budget)


@dataclass(frozen=True, slots=True)
class MiddleOut:
    """Keep the first user turn and the newest groups; drop what lies between, the oldest first.

    For conversations that begin with the task. A first turn that leaves no room for the current one goes, too.
    """

    def __call__(self, groups: Sequence[Group], budget: int) -> list[Group]:
        """The first user turn if it fits beside the current turn, and the newest groups that fit."""
        first = groups[: _first_turn(groups)]
        rest = budget - sum(group.tokens for group in first)
        if rest < groups[-1].tokens:
            return newest(groups, budget)
        after = first[-1].start if first else -1
        return [*first, *(group for group in newest(groups, rest) if group.start > after)]


def _first_turn(groups: Sequence[Group]) -> int:
    """How many groups there are before the second user message, the current turn not among them."""
    users, index = 0, 0
    while users < 2 and not groups[index].current:
        users += read(groups[index].messages[0], "role") == "user"
        index += 1
    return index - (users == 2)
