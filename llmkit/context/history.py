"""A history as a sequence of measured turn groups, counted from the newest backwards and only as far as needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias, overload

from llmkit.context.errors import InvalidHistory
from llmkit.context.groups import Group, first_held, head_length, last_user, spans
from llmkit.context.items import CallId, Item

_BLOCK = 32  # groups counted at a time


class Figures(Protocol):
    """What a count says: the part of `llmkit.tokens.TokenCount` that trimming reads."""

    @property
    def total(self) -> int:
        """Tokens of the whole request."""
        ...

    @property
    def tools(self) -> int:
        """Tokens of the tools."""
        ...

    @property
    def response_format(self) -> int:
        """Tokens of the response format."""
        ...

    @property
    def per_message(self) -> Sequence[int]:
        """Tokens of each message."""
        ...


Count: TypeAlias = Callable[[Sequence[Item]], Figures]
"""Counts the request with these messages in the place of its own."""


class History(Sequence[Group]):
    """The turn groups of a history after its head, oldest first; the last one is the current turn.

    `history[-1]` and `reversed(history)` look only at what they return; `len()`, `history[0]` and iteration
    look at everything. Raises `InvalidHistory` when it has to look past a call without result or a result without call.
    """

    def __init__(self, items: Sequence[Item], count: Count, *, held_by_server: bool = False) -> None:
        self.items = items
        self.measure = count
        """Counts the request with other messages."""
        length = head_length(items)
        self.head = items[:length]
        """The leading system and developer messages, which every result keeps."""
        self._last_user = last_user(items, length)
        first, held = first_held(items) if held_by_server else (len(items), frozenset[CallId]())
        self._walk = spans(items, head=length, held=held)
        self._broken: InvalidHistory | None = None
        self._spans: list[tuple[int, int]] = []  # newest first
        self._groups: dict[int, Group] = {}  # 0 is the newest
        self._current_turn(min(first, len(items) - 1 if self._last_user is None else self._last_user))

    def _current_turn(self, until: int) -> None:
        """Join the newest groups into the current turn, which reaches back to item `until`."""
        start = end = len(self.items)
        while start > until and (span := next(self._walk, None)):
            start = span[0]
        if start < end:
            self._spans.append((start, end))

    def _discover(self, count: int) -> bool:
        """Find the newest `count` groups; False when there are fewer. What breaks the history is kept for later."""
        while len(self._spans) < count:
            try:
                span = next(self._walk, None)
            except InvalidHistory as error:
                self._broken, span = error, None
            if span is None:
                return False
            self._spans.append(span)
        return True

    def _end(self) -> None:
        """Raise what keeps the older groups from being found."""
        if self._broken is not None:
            raise self._broken

    def _measured(self, index: int) -> Group:
        """The group this many before the newest; it is counted together with its block."""
        if index not in self._groups:
            first = index - index % _BLOCK
            self._discover(first + _BLOCK)
            self._measure(first, self._spans[first : first + _BLOCK])
        return self._groups[index]

    def _measure(self, index: int, block: Sequence[tuple[int, int]]) -> None:
        first, last = block[-1][0], block[0][1]
        items = list(self.items[first:last])
        if self._last_user is not None and last <= self._last_user:
            items.append(self.items[self._last_user])  # before the last user message, old reasoning costs nothing
        sizes = self.measure(items).per_message
        for place, (start, end) in enumerate(block, index):
            tokens = sum(sizes[start - first : end - first])
            messages = tuple(self.items[start:end])
            self._groups[place] = Group(messages=messages, start=start, tokens=tokens, current=place == 0)

    def __len__(self) -> int:
        while self._discover(len(self._spans) + _BLOCK):
            pass
        self._end()
        return len(self._spans)

    def __reversed__(self) -> Iterator[Group]:
        index = 0
        while self._discover(index + 1):
            yield self._measured(index)
            index += 1
        self._end()

    @overload
    def __getitem__(self, index: int) -> Group: ...
    @overload
    def __getitem__(self, index: slice) -> list[Group]: ...
    def __getitem__(self, index: int | slice) -> Group | list[Group]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        from_newest = -index if index < 0 else len(self) - index
        if from_newest < 1 or not self._discover(from_newest):
            raise IndexError(f"group {index} of {len(self)}")
        return self._measured(from_newest - 1)

    def text_tokens(self, text: str) -> int:
        """The tokens of a text by itself, as this request's model counts them."""
        size, empty = self.measure([{"role": "user", "content": text}, {"role": "user", "content": ""}]).per_message
        return size - empty
