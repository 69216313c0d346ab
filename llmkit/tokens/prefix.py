"""Histories that grow at their end: what was made of their beginning is taken over, if it is still the same.

One memory for each message, compared by content: its tokens under each way of counting, and its JSON.
"""

from __future__ import annotations

import json
import marshal
from collections.abc import Hashable
from typing import Any, Final, NamedTuple

SHORTEST: Final = 32
"""Messages from which comparing with a beginning is cheaper than looking each message up."""
MOST_PREFIXES: Final = 32
MOST_CHARACTERS: Final = 4_000_000
"""Of the texts in one beginning, which are kept alive; of all together, twice that."""
_MOST_WAYS: Final = 4
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Counted(NamedTuple):
    """What the messages of a beginning cost under one way of counting."""

    figures: list[int]
    names: dict[str, str]
    """Function names of its tool calls, by id."""


class _Written(NamedTuple):
    """The first messages of a beginning as bytes."""

    size: int
    json: bytes
    """As the SDK writes them, joined by commas."""
    exact: bytes
    """What only messages of these very keys, types and orders have in common: equal ones may be other JSON."""


class Prefix:
    """The beginning of a history up to a user's message, copied so that an edit in place shows."""

    __slots__ = ("_written", "characters", "counted", "messages")

    def __init__(self, messages: list[Any], characters: int, known: Prefix | None = None) -> None:
        self.messages = messages
        self.characters = characters
        self.counted: dict[Hashable, Counted] = dict(known.counted) if known else {}
        """By the way of counting; figures may be those of fewer messages."""
        self._written: _Written = known._written if known else _Written(0, b"", b"")  # replaced as one, for threads

    def json(self, messages: list[Any]) -> bytes | None:
        """The JSON of these messages at the start of `messages`; None if there they are equal, but not the same."""
        size, json, exact = self._written
        if size < len(self.messages):
            rest = self.messages[size:]
            json = b",".join(filter(None, (json, _compact(rest)[1:-1].encode())))
            exact += _exact(rest)
            self._written = _Written(len(self.messages), json, exact)
        return json if _exact(messages[: len(self.messages)]) == exact else None

    def keep(self, way: Hashable, counted: Counted) -> None:
        """Remember what these messages cost in one way of counting."""
        if way not in self.counted and len(self.counted) >= _MOST_WAYS:
            self.counted.clear()
        self.counted[way] = counted


class Prefixes:
    """The last beginnings; threads may share it: a lost race costs one more count, never a wrong one."""

    def __init__(self) -> None:
        self._kept: list[Prefix] = []  # the newest first; replaced, never changed

    def find(self, messages: Any) -> Prefix | None:
        """The longest kept beginning of `messages`, if these are a list."""
        if messages.__class__ is not list or len(messages) < SHORTEST:
            return None
        found: Prefix | None = None
        for prefix in self._kept:
            size = len(prefix.messages)
            if size > len(messages) or (found and size <= len(found.messages)):
                continue
            if messages[size - 1] == prefix.messages[-1] and messages[:size] == prefix.messages:
                found = prefix
        return found

    def grown(self, messages: Any) -> Prefix | None:
        """The beginning of `messages` up to the last message of a user, from now on kept; None if it cannot be."""
        if messages.__class__ is not list or len(messages) < SHORTEST:
            return None
        known = self.find(messages)
        size = len(known.messages) if known else 0
        end = next((at + 1 for at in reversed(range(size, len(messages))) if _is_users(messages[at])), size)
        if end == size:
            return known
        copies = _Copies(MOST_CHARACTERS - (known.characters if known else 0))
        try:
            new = [copies.of(message, 20) for message in messages[size:end]]
        except (_NotPlain, RuntimeError):  # or changed by another thread while it was copied
            return known
        prefix = Prefix([*(known.messages if known else ()), *new], MOST_CHARACTERS - copies.left, known)
        self._keep(prefix, known)
        return prefix

    def drop(self, prefix: Prefix) -> None:
        """Forget a beginning."""
        self._kept = [other for other in self._kept if other is not prefix]

    def _keep(self, prefix: Prefix, known: Prefix | None) -> None:
        kept, characters = [prefix], prefix.characters
        for other in self._kept:
            characters += other.characters
            if other is not known and len(kept) < MOST_PREFIXES and characters <= 2 * MOST_CHARACTERS:
                kept.append(other)
        self._kept = kept


def _exact(messages: list[Any]) -> bytes:
    """The bytes of plain messages one after the other, without the head of their list; ValueError if not plain."""
    return marshal.dumps(messages, 2)[5:]  # version 2 is the last that writes equal texts as equal bytes


def _is_users(message: Any) -> bool:
    """Whether no tool call before this message is without its results."""
    return message.__class__ is dict and message.get("role") == "user"


class _Copies:
    """Copies of plain messages: what is kept is what was counted and sent.

    Only dicts, lists, strings and None are copied; anything else might change, or be equal and yet another value.
    """

    def __init__(self, characters: int) -> None:
        self.left = characters

    def of(self, value: Any, depth: int) -> Any:
        kind = value.__class__
        if kind is str:
            self.left -= len(value)
            if self.left < 0:
                raise _NotPlain
            return value
        if value is None:
            return value
        if not depth or kind not in (dict, list):
            raise _NotPlain
        if kind is list:
            return [self.of(item, depth - 1) for item in value]
        return {key: self.of(item, depth - 1) for key, item in value.items()}


class _NotPlain(Exception):
    pass


PREFIXES: Final = Prefixes()
