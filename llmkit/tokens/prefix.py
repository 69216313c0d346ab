"""Histories that grow at their end: what was counted of their beginning is taken over, if it is still the same."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final

SHORTEST: Final = 32
"""Messages from which comparing with a beginning is cheaper than looking each message up."""
MOST_PREFIXES: Final = 8
MOST_CHARACTERS: Final = 4_000_000
"""Of the texts in one beginning, which are kept alive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefix:
    """The beginning of a history, copied so that an edit in place shows, and what its messages cost."""

    messages: list[Any]
    figures: list[int]
    names: dict[str, str]
    """Function names of its tool calls, by id."""
    characters: int


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

    def keep(self, key: Hashable, prefix: Prefix, known: Prefix | None) -> None:
        """Keep a beginning in the place of `known`, which is part of it."""
        others = [item for item in self._kept if item[1] is not known]
        self._kept = [(key, prefix), *others[: MOST_PREFIXES - 1]]


class Copies:
    """Copies of the new messages of a history, made before they are counted: what is kept is what was counted.

    Only dicts, lists, strings and None are copied; anything else might change, or be equal and yet another value.
    """

    def __init__(self, messages: Sequence[Any], known: Prefix | None) -> None:
        self._left = MOST_CHARACTERS - (known.characters if known else 0)
        self.messages: list[Any] | None = None
        if len(messages) < SHORTEST:
            return
        try:
            self.messages = [self._copy(message, 20) for message in messages[len(known.messages) if known else 0 :]]
        except (_NotPlain, RuntimeError):  # or changed by another thread while it was copied
            return

    @property
    def characters(self) -> int:
        """The length of all texts, those of the known beginning included."""
        return MOST_CHARACTERS - self._left

    def _copy(self, value: Any, depth: int) -> Any:
        kind = value.__class__
        if kind is str:
            self._left -= len(value)
            if self._left < 0:
                raise _NotPlain
            return value
        if value is None:
            return value
        if not depth or kind not in (dict, list):
            raise _NotPlain
        if kind is list:
            return [self._copy(item, depth - 1) for item in value]
        return {key: self._copy(item, depth - 1) for key, item in value.items()}


class _NotPlain(Exception):
    pass


PREFIXES: Final = Prefixes()
