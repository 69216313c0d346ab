"""An index in memory that follows its store, to which other processes write, too."""

from __future__ import annotations

import math
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


_SPARE = 1_000
"""Vectors that may be in the index beyond twice those of live entries, before those of dropped ones are looked for."""


class Filling:
    """Keeps an index in step with a store: fills it at first, adds new entries now and then, drops those that went."""

    def __init__(self, index: VectorIndex, store: CacheStore) -> None:
        self._index = index
        self._store = store
        self._lock = threading.Lock()
        self._looked = self._since = -math.inf
        self._left: Iterator[Entry] | None = None
        self._made: dict[str, float] = {}
        self._most = _SPARE

    def follow(self, *, now: float) -> None:
        """Do some of what is to be done, if no other thread does; may block."""
        if self._index.shared or not self._lock.acquire(blocking=False):
            return
        try:
            self._follow(now)
        finally:
            self._lock.release()

    def add(self, entry: Entry, *, now: float) -> None:
        """Have an entry found."""
        if entry.partition is None or entry.vector is None:
            return
        try:
            self._index.add(entry.partition, entry.key, numbers_of(entry.vector), expires_at=entry.expires_at, now=now)
        except ValueError as error:  # a vector of another length, when the user's function has changed
            logger.warning("the answer %s cannot be found by its meaning: %s", entry.key, error)
        self._made[entry.key] = entry.created_at

    def _follow(self, now: float) -> None:
        if now < self._looked:  # the clock was set back
            self._looked = self._since = -math.inf
        if self._left is None and now >= self._looked + _EVERY:
            self._left, self._looked = self._store.entries(now=now, since=self._since, bodies=True), now
        left, self._left = self._left, None  # begun anew later, if the store fails now
        if left is not None and not self._filled(left, now=now):
            self._left = left
        if len(self._made) > self._most:
            self._prune(now)

    def _filled(self, left: Iterator[Entry], *, now: float) -> bool:
        """Add what is left, as far as the time goes."""
        until = time.monotonic() + _SHARE
        for entry in left:
            if self._made.get(entry.key) != entry.created_at:
                self.add(entry, now=now)
            if time.monotonic() >= until:
                return False
        self._since = self._looked - _CLOCKS
        return True

    def _prune(self, now: float) -> None:
        live = {entry.key for entry in self._store.entries(now=now)}
        gone = [key for key in [*self._made] if key not in live]
        self._index.remove(gone)
        for key in gone:
            self._made.pop(key, None)
        self._most = 2 * len(self._made) + _SPARE


def bytes_of(vector: Sequence[float]) -> bytes:
    """A vector as an entry keeps it: float32 in little-endian order."""
    import numpy as np

    return np.asarray(vector, dtype="<f4").tobytes()


def numbers_of(kept: bytes) -> Sequence[float]:
    """A vector back from an entry."""
    import numpy as np

    numbers: Sequence[float] = np.frombuffer(kept, dtype="<f4").tolist()
    return numbers
