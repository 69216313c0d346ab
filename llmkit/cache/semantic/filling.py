"""An index in memory that follows its store, to which other processes write, too."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from llmkit.cache.entry import Entry
from llmkit.cache.store import CacheStore
from llmkit.cache.vectors.index import VectorIndex
from llmkit.record import logger

_EVERY = 5.0
"""Seconds between two looks for what others have added."""
_CLOCKS = 60.0
"""Seconds by which the clocks of machines may differ, and an answer may be put after it was made."""
_SHARE = 0.1
"""Seconds that one call spends on filling: an index of 100,000 may take minutes, and is used meanwhile."""


class Filling:
    """Fills an index from the entries of a store: from all at first, and from new ones now and then."""

    def __init__(self, index: VectorIndex, store: CacheStore) -> None:
        self._index = index
        self._store = store
        self._lock = threading.Lock()
        self._next = -1.0
        self._since: float | None = None
        self._left: Iterator[Entry] | None = None
        self._recent: dict[str, float] = {}

    def follow(self, *, now: float) -> None:
        """Add some of what is not in the index yet, if no other thread does; may block."""
        if self._index.shared or not self._lock.acquire(blocking=False):
            return
        try:
            if self._left is None and now >= self._next:
                self._left = self._store.entries(now=now, since=self._since, bodies=True)
                self._since, self._next = now - _CLOCKS, now + _EVERY
            left, self._left = self._left, None  # begun anew later, if the store fails now
            if left is not None:
                self._left = self._fill(left, now=now)
        finally:
            self._lock.release()

    def added(self, entry: Entry, *, now: float) -> None:
        """Add an entry of this process."""
        self._add(entry, now=now)

    def _fill(self, left: Iterator[Entry], *, now: float) -> Iterator[Entry] | None:
        """What is left to add after a while; None when all has been added."""
        until = time.monotonic() + _SHARE
        for entry in left:
            if self._recent.get(entry.key) != entry.created_at:
                self._add(entry, now=now)
            if time.monotonic() >= until:
                return left
        since = self._since or 0.0
        self._recent = {key: made for key, made in [*self._recent.items()] if made > since}
        return None

    def _add(self, entry: Entry, *, now: float) -> None:
        if entry.partition is None or entry.vector is None:
            return
        try:
            self._index.add(entry.partition, entry.key, numbers_of(entry.vector), expires_at=entry.expires_at, now=now)
        except ValueError as error:  # a vector of another length, when the user's function has changed
            logger.warning("the answer %s cannot be found by its meaning: %s", entry.key, error)
        self._recent[entry.key] = entry.created_at


def bytes_of(vector: Sequence[float]) -> bytes:
    """A vector as an entry keeps it: float32 in little-endian order."""
    import numpy as np

    return np.asarray(vector, dtype="<f4").tobytes()


def numbers_of(kept: bytes) -> Sequence[float]:
    """A vector back from an entry."""
    import numpy as np

    numbers: Sequence[float] = np.frombuffer(kept, dtype="<f4").tolist()
    return numbers
