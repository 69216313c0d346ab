"""What a report says beside the sums: times, caches, predictions, errors and single calls. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from llmkit.tagging import Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Percentiles: the smallest value that so many of the values do not exceed."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long the answers took that arrived whole, and not from a cache; in seconds, with all waiting."""

    model: str | None
    """None for all of them."""
    calls: int
    latency: Spread | None
    """None without calls."""
    streams: int
    """Calls whose time to the first token is known."""
    first_token: Spread | None
    tokens_per_second: float | None
    """Output tokens for each second of an answer, but for the waits between attempts and for llmkit's limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheUse:
    """What the caches of llmkit's have answered."""

    hits: int
    semantic: int
    """The part of `hits` that answered another question which means the same."""
    misses: int
    saved_input_tokens: int
    saved_output_tokens: int
    saved_cost: Decimal
    """In USD, of the hits whose price is known."""
    unpriced: int
    """Hits that have saved tokens whose price is not known."""

    @property
    def hit_rate(self) -> float | None:
        """Of the calls for which a cache was asked; None without any."""
        return share_of(self.hits, self.hits + self.misses)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """How near the input tokens counted before a call are to those that the server has counted, in percent of these.

    Of the calls where both are known, the server's not estimated, and the answer not from a cache.
    """

    model: str | None
    """None for all of them."""
    calls: int
    exact: int
    within_1_percent: int
    """The exact ones are among them."""
    mean_error: float | None
    """Of the errors without their signs; None, like the next two, without calls."""
    bias: float | None
    """The mean of the errors with their signs: above 0 where llmkit counts too much."""
    worst: float | None
    """The error that is farthest from 0, with its sign."""

    @property
    def exact_share(self) -> float | None:
        """Of the calls."""
        return share_of(self.exact, self.calls)

    @property
    def within_1_percent_share(self) -> float | None:
        """Of the calls."""
        return share_of(self.within_1_percent, self.calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Calls that have ended in the same way."""

    error: str | None
    """The class of what was raised."""
    error_code: str | None
    status_code: int | None
    calls: int
    last_at: float
    """When the last of them began, in seconds since the epoch."""
    models: Sequence[str]

    @property
    def last(self) -> str:
        """The same as "2026-11-21T20:15:00Z"."""
        return when(self.last_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """What it took besides the answers: further attempts, waiting, other models, shorter prompts."""

    attempts: int
    """HTTP requests."""
    retries: int
    """Those that were not the first of their call."""
    retried_calls: int
    retry_wait: float
    """Seconds between attempts, of all calls together."""
    limited_calls: int
    """That have waited for a rate limit of llmkit's."""
    limit_wait: float
    """Seconds, of all of them together."""
    fallbacks: int
    """Calls that a target of a Fallback has answered."""
    trimmed_calls: int
    """Calls of which messages were left out because they did not fit."""
    trimmed_messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, as it is listed."""

    started_at: float
    operation: str
    model: str | None
    tags: Mapping[str, Tag]
    outcome: str
    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None
    estimated: bool
    cost: Decimal | None
    """In USD; None when it is not known."""
    latency: float | None
    request_id: str | None

    @property
    def at(self) -> str:
        """When it began, as "2026-11-21T20:15:00Z"."""
        return when(self.started_at)


def when(moment: float) -> str:
    """Seconds since the epoch as "2026-11-21T20:15:00Z"."""
    return f"{datetime.fromtimestamp(moment, UTC).replace(microsecond=0, tzinfo=None).isoformat()}Z"


def share_of(part: int, whole: int) -> float | None:
    """`part` of `whole`; None where there is no whole."""
    return part / whole if whole else None
