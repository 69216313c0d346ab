"""Which failures are worth another attempt, and after how long. Pure: no clock, no waiting."""

from __future__ import annotations

import email.utils
import math
from collections.abc import Callable, Iterator

import backoff
import openai

MAX_SERVER_WAIT = 120.0
"""Seconds: a server that asks for more is not asked again (the SDK's own limit)."""

QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "access_terminated"})
"""429s that no wait cures: the account is out of credit or blocked, not too fast."""

_INFINITY = frozenset({"inf", "+inf", "infinity", "+infinity"})


def worth_retrying(error: Exception, *, now: float) -> bool:
    """Whether another attempt may succeed; `now` is seconds since the epoch.

    Connection errors and timeouts, 408, 409, 429 and 5xx. `x-should-retry` decides where the server sends it; an
    exhausted quota and a wait of more than two minutes never.
    """
    if isinstance(error, openai.APIConnectionError):  # timeouts included
        return True
    if not isinstance(error, openai.APIStatusError):
        return False
    headers = error.response.headers
    if error.code in QUOTA_CODES or (server_wait(error, now=now) or 0.0) > MAX_SERVER_WAIT:
        return False
    asked = headers.get("x-should-retry")
    if asked in ("true", "false"):
        return asked == "true"
    return error.status_code in (408, 409, 429) or error.status_code >= 500


def server_wait(error: Exception, *, now: float) -> float | None:
    """The wait in seconds that the server asks for: `retry-after-ms`, else `retry-after` in seconds or as a date.

    None when it asks for none, or for nonsense (negative, NaN, infinite), or when no server answered.
    """
    if not isinstance(error, openai.APIStatusError):
        return None
    headers = error.response.headers
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        given = headers.get(name)
        if given is None:
            continue
        try:
            seconds = float(given) / unit
        except ValueError:
            continue
        if seconds == math.inf and given.strip().lower() not in _INFINITY:
            return MAX_SERVER_WAIT + 1  # a number too large for a float is a long wait, not nonsense
        return seconds if 0 < seconds < math.inf else None
    return _wait_until(headers.get("retry-after"), now)


def _wait_until(date: str | None, now: float) -> float | None:
    if date is None:
        return None
    try:
        until = email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return until - now if until > now else None


def waits(*, first: float, cap: float, random: Callable[[], float]) -> Iterator[float]:
    """Exponential waits with full jitter: the n-th lies in (0, min(cap, first * 2**n)] seconds."""
    ceilings = backoff.expo(base=2, factor=first, max_value=cap)
    next(ceilings)  # the generator's first value only primes it
    return (ceiling * (1.0 - random()) for ceiling in ceilings)
