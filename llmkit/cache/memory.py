"""A cache of one process, gone when it ends."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, replace
from sys import getsizeof
from threading import RLock
from typing import Final

from llmkit.cache.entry import Entry

_FIELDS: Final = [field.name for field in fields(Entry)]
_ENTRY: Final = 200
"""Bytes that an entry takes beside its fields, about; measured with tracemalloc."""


class MemoryStore:
    """Keeps answers in memory, `max_bytes` of them; those not asked for longest make room for new ones.

    An answer that is larger than `max_bytes` is not kept.
    """

    blocks = False

    def __init__(self, *, max_bytes: int = 64_000_000) -> None:
        if max_bytes <= 0:
            raise ValueError(f"max_bytes={max_bytes!r} must be above 0")
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._next_sweep = 0.0
        self._lock = RLock()  # a stream that is collected may be put while this very thread is inside

    def get(self, key: str, *, now: float) -> Entry | None:
        """The very entry that was put; it was used just now."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if entry.expired(now=now):
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return entry

    def put(self, entry: Entry, *, now: float) -> None:
        """Keep an entry, and drop those that have expired or must make room."""
        weight = _weight(entry)
        with self._lock:
            self._drop(entry.key)
            if weight > self._max_bytes:
                return
            self._sweep(now)
            self._entries[entry.key] = entry
            self._bytes += weight
            while self._bytes > self._max_bytes:
                self._drop(next(iter(self._entries)))

    def delete(self, keys: Iterable[str]) -> int:
        """Forget entries."""
        with self._lock:
            return sum(self._drop(key) for key in list(keys))

    def entries(self, *, now: float, since: float | None = None, bodies: bool = False) -> Iterator[Entry]:
        """Those that are there now, whatever happens to them meanwhile."""
        with self._lock:
            kept = list(self._entries.values())
        for entry in sorted(kept, key=lambda entry: entry.created_at):
            if not entry.expired(now=now) and (since is None or entry.created_at > since):
                yield entry if bodies else replace(entry, body=b"", events=None, vector=None)

    def add(self, counts: Mapping[str, int]) -> None:
        """Add to the counters."""
        with self._lock:
            self._counts.update(counts)

    def counts(self) -> dict[str, int]:
        """The counters since the store was made."""
        with self._lock:
            return dict(self._counts)

    def claim(self, key: str, *, owner: str, seconds: float, now: float) -> bool:
        """True: there is no other process."""
        return True

    def release(self, key: str, *, owner: str) -> None:
        """Nothing to do."""

    def _drop(self, key: str) -> bool:
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._bytes -= _weight(entry)
        return True

    def _sweep(self, now: float) -> None:
        """Forget what has expired, at most once a minute."""
        if now < self._next_sweep:
            return
        self._next_sweep = now + 60
        for key in [key for key, entry in self._entries.items() if entry.expired(now=now)]:
            self._drop(key)


def _weight(entry: Entry) -> int:
    """The memory that an entry takes, about."""
    values = [getattr(entry, name) for name in _FIELDS]
    return _ENTRY + sum(map(getsizeof, (*values, *entry.tags, *entry.tags.values())))
