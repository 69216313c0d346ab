"""When something may be sent: the arithmetic of a bucket of requests and tokens that fills all the time. No clock."""

from __future__ import annotations

from math import inf
from typing import NamedTuple


class Amount(NamedTuple):
    """So many requests and tokens."""

    requests: float
    tokens: float


class Mark(NamedTuple):
    """A level right after a take."""

    left: float
    others: float


class Level:
    """What is left of one of the two. A `limit` (per minute) of infinity is none."""

    __slots__ = ("_burst", "_most", "left", "limit", "others")

    def __init__(self, per_minute: float, burst_seconds: float) -> None:
        self._most = per_minute
        self._burst = burst_seconds / 60
        self.limit = per_minute
        self.left = self.capacity
        self.others = 0.0
        """What others have used of the same limit of the server's, as far as it has told."""

    @property
    def capacity(self) -> float:
        """The most that can be left."""
        return self.limit * self._burst

    @property
    def mark(self) -> Mark:
        """To be kept by whoever has just taken something, for `note_left`."""
        return Mark(self.left, self.others)

    def wait(self, need: float) -> float:
        """Seconds until there is so much, however much it is."""
        return 0.0 if self.left >= need else (need - self.left) * 60 / self.limit

    def take(self, seconds: float, need: float) -> None:
        """Take `need` when `seconds` have passed; one that is larger than the capacity has been saved up for."""
        if self.limit != inf:
            self.left = min(max(self.capacity, need), self.left + seconds * self.limit / 60) - need

    def give_back(self, amount: float) -> None:
        """Put back what was not needed; a negative amount takes more, if need be on credit."""
        self.left = min(max(self.capacity, self.left), self.left + amount)

    def note_limit(self, per_minute: float) -> None:
        """Go by the server's limit where it is lower than one's own."""
        self.limit = min(self._most, per_minute)
        self.left = min(self.left, self.capacity)

    def note_left(self, mark: Mark, remaining: float) -> None:
        """Lower the level to what the server had left when it saw the call that took its part at `mark`."""
        if self.limit == inf:
            return
        if mark.left > self.capacity:  # this limit was not known then
            self.left = min(self.left, remaining)
            return
        used_by_others = mark.left + mark.others - remaining
        if used_by_others >= self.others + 1:  # the server tells whole numbers
            lowered = self.left - (used_by_others - self.others)
            self.left = max(lowered, min(self.left, 0.0))  # a server's own bucket is never below 0
            self.others = used_by_others


class Bucket:
    """Requests and tokens that are taken together; `at` is when the levels were as they are noted.

    That is the time of the last take: takes come in order, and one that must wait is put down at the time when it may
    go. So the sum of what goes within any time is at most the capacity and what has flowed in.
    """

    __slots__ = ("at", "requests", "tokens")

    def __init__(self, now: float, limits: Amount, *, burst_seconds: float) -> None:
        self.at = now
        self.requests = Level(limits.requests, burst_seconds)
        self.tokens = Level(limits.tokens, burst_seconds)

    def due(self, since: float, need: Amount) -> float:
        """The earliest time for somebody who is first in the queue since `since`."""
        wait = max(self.requests.wait(need.requests), self.tokens.wait(need.tokens))
        return max(since, self.at + wait)

    def take(self, at: float, need: Amount) -> tuple[Mark, Mark]:
        """Take `need` at a time that `due` has allowed; returns the marks of requests and tokens."""
        passed, self.at = at - self.at, at
        self.requests.take(passed, need.requests)
        self.tokens.take(passed, need.tokens)
        return self.requests.mark, self.tokens.mark

    def give_back(self, amount: Amount) -> None:
        """Put back what was not needed; negative amounts take more."""
        self.requests.give_back(amount.requests)
        self.tokens.give_back(amount.tokens)

    def pause_until(self, time: float) -> None:
        """Let nobody go before `time`; nothing flows in meanwhile."""
        self.at = max(self.at, time)

    def is_full(self, now: float) -> bool:
        """Whether a new one would be no different."""
        return all(self.at + level.wait(level.capacity) <= now for level in (self.requests, self.tokens))
