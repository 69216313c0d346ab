"""Histories that grow at their end: what was counted of their beginning is taken over, if it is still the same."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

SHORTEST: Final = 32
"""Messages from which comparing with a beginning is cheaper than looking each message up."""
MOST_PREFIXES: Final = 8
MOST_TOKENS: Final = 1_000_000
"""Of each beginning: a bound on the text that is kept alive, about 4 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """The beginning of a history, copied so that an edit in place shows, and what its messages cost."""

    messages: list[Any]
    figures: list[int]
    names: dict[str, str]
    """Function names of its tool calls, by id."""


class Prefixes:
    """The last few beginnings; threads may share it: a lost race costs one more count, never a wrong one."""

    def __init__(self) -> None:
        self._kept: list[tuple[Hashable, Prefix]] = []  # the newest first; replaced, never changed

    def find(self, key: Hashable, messages: Sequence[Any]) -> Prefix | None:
        """The longest kept beginning of `messages` that was counted under `key`."""
        if len(messages) < SHORTEST or messages.__class__ is not list:
            return None
        found: Prefix | None = None
        for kept_key, prefix in self._kept:
            size = len(prefix.messages)
            if kept_key != key or size > len(messages) or (found and size <= len(found.messages)):
                continue
            if messages[0] == prefix.messages[0] and messages[:size] == prefix.messages:
                found = prefix
        return found

    def keep(
        self, key: Hashable, messages: Sequence[Any], figures: list[int], names: dict[str, str], known: Prefix | None
    ) -> None:
        """Keep `messages` up to the last user's, where no tool call is without its results; `known` is part of it."""
        end = next((at + 1 for at in range(len(messages) - 1, 0, -1) if messages[at].get("role") == "user"), 0)
        start = len(known.messages) if known else 0
        if end <= max(start, SHORTEST) or sum(figures) > MOST_TOKENS:
            return
        copied = [*(known.messages if known else ()), *map(_copy, messages[start:end])]
        prefix = Prefix(messages=copied, figures=figures[:end], names=dict(names))
        others = [item for item in self._kept if item[1] is not known]
        self._kept = [(key, prefix), *others[: MOST_PREFIXES - 1]]


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, list):
        return [_copy(item) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


PREFIXES: Final = Prefixes()
