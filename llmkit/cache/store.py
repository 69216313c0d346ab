"""What a cache asks of the place that keeps its answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from llmkit.cache.entry import Entry


class CacheStore(Protocol):
    """Keeps entries by their keys. Its methods are called from many threads, and may raise when they cannot.

    What cannot be read, because it is damaged, of another version or of another program, is not there; a warning in
    the log "llmkit" says so, once for each entry, without a word of its text.
    """

    blocks: bool
    """Whether the methods do I/O: async clients then call them in a thread."""

    def get(self, key: str, *, now: float) -> Entry | None:
        """The entry, whole and as it was put; None when there is none or when it has expired."""
        ...

    def put(self, entry: Entry, *, now: float) -> None:
        """Keep an entry in place of any other under its key, whole or not at all."""
        ...

    def delete(self, keys: Iterable[str]) -> int:
        """Forget entries; how many there were."""
        ...

    def entries(self, *, now: float, since: float | None = None, bodies: bool = False) -> Iterator[Entry]:
        """All that have not expired, oldest first, or those made after `since`; without `bodies` those are empty."""
        ...

    def add(self, counts: Mapping[str, int]) -> None:
        """Add to the counters, which begin at 0."""
        ...

    def counts(self) -> dict[str, int]:
        """The counters."""
        ...

    def claim(self, key: str, *, owner: str, seconds: float, now: float) -> bool:
        """Whether `owner` may ask the API for `key` for so long: nobody else has claimed it. Again: for longer.

        A store of one process has nobody else.
        """
        ...

    def release(self, key: str, *, owner: str) -> None:
        """Give up a claim, if it is still `owner`'s."""
        ...
