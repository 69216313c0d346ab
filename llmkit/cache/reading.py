"""What stores read back: an entry, or nothing and a warning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from llmkit.cache.entry import Entry
from llmkit.cache.packing import unpack, unpack_head
from llmkit.record import logger

T = TypeVar("T")

_PAGE: Final = 100
_MOST_WARNED: Final = 10_000
"""Keys remembered, so that a store that is damaged as a whole takes no memory without end."""


class Reader:
    """Unpacks what is in the store `place`; warns once of each entry that cannot be read, by its key."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._warned: set[str] = set()

    def entry(self, key: str, head: object, rest: object, *, now: float) -> Entry | None:
        """The entry with its answer; None when it cannot be read or has expired."""
        return self._unpacked(key, lambda: unpack(key, head, rest), now)

    def listed(self, key: str, head: object, *, now: float) -> Entry | None:
        """The entry without its answer; None when it cannot be read or has expired."""
        return self._unpacked(key, lambda: unpack_head(key, head), now)

    def _unpacked(self, key: str, read: Callable[[], Entry], now: float) -> Entry | None:
        try:
            entry = read()
        except ValueError as error:
            self._warn(key, error)
            return None
        return None if entry.expired(now=now) else entry

    def _warn(self, key: str, error: ValueError) -> None:
        if key in self._warned or len(self._warned) >= _MOST_WARNED:
            return
        self._warned.add(key)
        logger.warning("%s: the entry %s is left out: %s", self._place, key, error)


def pages(items: list[T]) -> Iterator[list[T]]:
    """So many at a time that a command with them is short and their answers fit in memory."""
    for start in range(0, len(items), _PAGE):
        yield items[start : start + _PAGE]
