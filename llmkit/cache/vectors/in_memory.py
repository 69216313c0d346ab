"""What the indexes in this process's memory have in common: partitions, replacing, removing, expiry and a lock."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from llmkit.cache.vectors.index import Neighbour
from llmkit.cache.vectors.unit import load, refuse_length, unit

if TYPE_CHECKING:
    from llmkit.cache.vectors.unit import Numbers


class Rows(Protocol):
    """The unit vectors of one partition."""

    length: int
    """Of each vector."""

    def __len__(self) -> int: ...

    def add(self, key: str, vector: Numbers) -> None:
        """Keep a vector under a key that has none."""
        ...

    def drop(self, key: str) -> None:
        """Forget a vector that is there."""
        ...

    def nearest(self, vector: Numbers, most: int) -> list[Neighbour]:
        """Best first."""
        ...


class InMemoryIndex:
    """Finds vectors in this process; `make` begins a partition of vectors of that length."""

    blocks = True  # a thread costs less than a millisecond, a search of a large partition more
    shared = False

    def __init__(self, make: Callable[[int], Rows]) -> None:
        load()
        self._make = make
        self._partitions: dict[str, Rows] = {}
        self._kept: dict[str, tuple[str, float | None]] = {}  # the partition and the end of each key
        self._ends: list[tuple[float, str]] = []  # a heap; those replaced or removed meanwhile are passed over
        self._lock = threading.Lock()

    def add(self, partition: str, key: str, vector: Sequence[float], *, expires_at: float | None, now: float) -> None:
        """Keep a vector, in place of any other under its key."""
        made = unit(vector)
        with self._lock:
            self._expire(now)
            rows = self._partitions.get(partition)
            if rows is not None:
                refuse_length(len(made), rows.length)
            self._drop(key)
            rows = self._partitions.get(partition) or self._make(len(made))
            rows.add(key, made)
            self._partitions[partition] = rows
            self._kept[key] = partition, expires_at
            self._note_end(key, expires_at)

    def search(self, partition: str, vector: Sequence[float], *, most: int, now: float) -> list[Neighbour]:
        """The `most` nearest of the partition that have not expired, best first."""
        wanted = unit(vector)
        with self._lock:  # a row must not change while it is compared
            self._expire(now)
            rows = self._partitions.get(partition)
            if rows is None:
                return []
            refuse_length(len(wanted), rows.length)
            return rows.nearest(wanted, most)

    def remove(self, keys: Iterable[str]) -> None:
        """Forget vectors; keys that are not there are passed over."""
        with self._lock:
            for key in keys:
                self._drop(key)

    def _expire(self, now: float) -> None:
        while self._ends and self._ends[0][0] <= now:
            end, key = heapq.heappop(self._ends)
            if key in self._kept and self._kept[key][1] == end:
                self._drop(key)

    def _note_end(self, key: str, end: float | None) -> None:
        if end is not None:
            heapq.heappush(self._ends, (end, key))
        if len(self._ends) > 2 * len(self._kept) + 100:  # more than half are of replaced or removed ones
            self._ends = [(end, key) for key, (_, end) in self._kept.items() if end is not None]
            heapq.heapify(self._ends)

    def _drop(self, key: str) -> None:
        if key not in self._kept:
            return
        partition, _ = self._kept.pop(key)
        rows = self._partitions[partition]
        rows.drop(key)
        if not len(rows):
            del self._partitions[partition]
