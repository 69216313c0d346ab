"""Buckets of this process."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from math import inf

from llmkit.limits.backend import Limits, Ticket
from llmkit.limits.bucket import Amount, Bucket, Mark
from llmkit.limits.headers import Told

_MANY = 1_000
"""Buckets kept before the full ones are thrown away: a new one is full, too."""
_NONE = 1e-6
"""Seconds: a wait too short to be one, for sums of floats are not exact."""
_UNKNOWN = Mark(inf, 0.0)


@dataclass(slots=True)
class _Memo:
    bucket: Bucket
    since: float
    marks: tuple[Mark, Mark] = (_UNKNOWN, _UNKNOWN)


class MemoryBackend:
    """Keeps the buckets of a RateLimit in this process; several RateLimits with the same limits may share one."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, Limits], Bucket] = {}
        self._many = _MANY
        self._lock = threading.RLock()  # a collected coroutine may come here while this very thread is inside

    async def ask(self, ticket: Ticket) -> float:
        """The seconds until the call may go; 0 when it may go now."""
        now = ticket.runtime.monotonic()
        with self._lock:
            memo: _Memo = ticket.memo or _Memo(self._bucket(ticket, now), now)
            ticket.memo = memo
            due = memo.bucket.due(memo.since, ticket.need)
            if due > now + _NONE:
                return due - now
            memo.marks = memo.bucket.take(due, ticket.need)
            return 0.0

    def drop(self, ticket: Ticket) -> None:
        """Nothing has been taken yet."""

    def settle(self, ticket: Ticket, unused: Amount) -> None:
        """Give back what the call did not use."""
        with self._lock:
            ticket.memo.bucket.give_back(unused)

    def note(self, ticket: Ticket, requests: Told, tokens: Told, *, pause: float) -> None:
        """Lower the bucket to what the server has told."""
        memo: _Memo = ticket.memo
        bucket = memo.bucket
        with self._lock:
            for level, mark, told in zip((bucket.requests, bucket.tokens), memo.marks, (requests, tokens), strict=True):
                if told.per_minute is not None:
                    level.note_limit(told.per_minute)
                if told.remaining is not None:
                    level.note_left(mark, told.remaining)
            if pause:
                bucket.pause_until(ticket.runtime.monotonic() + pause)

    def _bucket(self, ticket: Ticket, now: float) -> Bucket:
        name = ticket.bucket, ticket.limits
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= self._many:
                self._buckets = {name: bucket for name, bucket in self._buckets.items() if not bucket.is_full(now)}
                self._many = max(_MANY, 2 * len(self._buckets))
            limits = ticket.limits
            bucket = self._buckets[name] = Bucket(now, limits.per_minute, burst_seconds=limits.burst_seconds)
        return bucket
