"""Where the buckets of a RateLimit are kept: in this process, in Redis, or in what you write for it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

from llmkit.limits.bucket import Amount
from llmkit.limits.headers import Told
from llmkit.runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The size of a bucket: what may be used per minute, and for how many seconds' worth it has room."""

    requests_per_minute: float = inf
    tokens_per_minute: float = inf
    burst_seconds: float = 60.0

    @property
    def per_minute(self) -> Amount:
        """Both figures; infinity where there is no limit."""
        return Amount(self.requests_per_minute, self.tokens_per_minute)


@dataclass(slots=True, kw_only=True, eq=False)
class Ticket:
    """A call that wants to go: what it needs of which bucket."""

    bucket: str
    limits: Limits
    need: Amount
    runtime: Runtime
    """The clock of the call."""
    memo: Any = None
    """What the backend wants to remember of it."""


class Backend(Protocol):
    """Keeps buckets. A RateLimit has at most one call of a bucket ask at a time, and lets it go when it may.

    All but `ask` is called where nothing can be awaited, from any thread, and must not block.
    """

    async def ask(self, ticket: Ticket) -> float:
        """The seconds until the call may go; 0 or less when it may go now and its need has been taken.

        Asked again when they are over, or earlier when something has been given back.
        """
        ...

    def drop(self, ticket: Ticket) -> None:
        """The call gives up before it could go."""
        ...

    def settle(self, ticket: Ticket, unused: Amount) -> None:
        """The call is over: give back what it did not use; negative where it used more than it needed."""
        ...

    def note(self, ticket: Ticket, requests: Told, tokens: Told, *, pause: float) -> None:
        """The server has told of its limits, and perhaps that nobody shall come for `pause` seconds."""
        ...
