"""The counters of a cache, written to its store now and then."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from llmkit.cache.per_call import current_caching
from llmkit.cache.store import CacheStore
from llmkit.forks import begin_anew_in_children
from llmkit.record import logger

_EVERY = 5.0
"""Seconds between two writes to a disk or a server."""


class Counters:
    """What this process has counted; a store in memory is told at once."""

    def __init__(self, store: CacheStore) -> None:
        self._store = store
        self._next = 0.0
        begin_anew_in_children(self)

    def begin(self) -> None:
        """Have counted nothing."""
        self._lock = threading.RLock()  # a stream that is collected may end while this very thread is inside
        self._counts: Counter[str] = Counter()

    def add(self, counts: Mapping[str, int]) -> None:
        """Count, unless the call is not to be counted."""
        if not current_caching().count:
            return
        if not self._store.blocks:
            self._store.add(counts)
            return
        with self._lock:
            self._counts.update(counts)

    def write_if_due(self, now: float) -> None:
        """Write after some seconds; may block."""
        if now >= self._next:
            self.write(now=now)

    def write(self, *, now: float = 0.0) -> None:
        """Write to the store; may block."""
        self._next = now + _EVERY
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        try:
            self._store.add(counts)
        except Exception:
            with self._lock:
                self._counts.update(counts)
            raise

    def close(self) -> None:
        """Write at the end of the process; never fails."""
        try:
            self.write()
        except Exception as error:  # noqa: BLE001 - nobody is left to handle it
            logger.debug("the counters of a cache could not be written: %s", type(error).__name__)
