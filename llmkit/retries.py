"""Which failures are worth another attempt, and after how long. Pure: no clock, no waiting."""

from __future__ import annotations

import email.utils
import math
import re
import ssl
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, cast

import backoff
import openai

from llmkit.errors import InvalidResponse

MAX_SERVER_WAIT = 120.0
"""Seconds: a server that asks for more is not asked again (the SDK's own limit)."""

QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "access_terminated"})
"""429s that no wait cures: the account is out of credit or blocked, not too fast."""

RetryOn = Callable[[Exception], bool] | Collection[int | type[Exception]]
"""Which errors: HTTP statuses and exception classes, or a function of the error."""

_DEFAULT: Collection[int | type[Exception]] = (
    openai.APIConnectionError,  # timeouts included
    InvalidResponse,
    408,
    409,
    429,
    *range(500, 600),
)
MALFORMED = frozenset({"UnsupportedProtocol", "InvalidURL", "LocalProtocolError"})
"""Exceptions of httpx2 and of the legacy httpx, which are not the same classes."""
_DEEPEST = 12
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)", re.ASCII)
_DURATION = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)
_INFINITY = frozenset({"inf", "+inf", "infinity", "+infinity"})


def worth_retrying(error: Exception, *, now: float, retry_on: RetryOn | None = None) -> bool:
    """Whether another attempt may succeed; `now` is seconds since the epoch.

    Connection errors and timeouts, answers that make no sense, 408, 409, 429 and 5xx, or what `retry_on` lists; not
    what no attempt can cure, such as a certificate that is not trusted.
    `x-should-retry` decides where the server sends it; an exhausted quota and a wait of more than two minutes never.
    """
    if callable(retry_on):
        return retry_on(error)
    chosen = _DEFAULT if retry_on is None else retry_on
    if not isinstance(error, openai.APIStatusError):
        return is_one_of(error, chosen) and not (retry_on is None and _cannot_be_sent(error))
    if error.code in QUOTA_CODES or (server_wait(error, now=now) or 0.0) > MAX_SERVER_WAIT:
        return False
    asked = error.response.headers.get("x-should-retry")
    if asked == "false" or (asked == "true" and retry_on is None):
        return asked == "true"
    return is_one_of(error, chosen)


def _cannot_be_sent(error: BaseException) -> bool:
    """Whether the request met something that stays: a certificate nobody vouches for, a malformed address or header."""
    return any(
        isinstance(cause, ssl.SSLCertVerificationError) or type(cause).__name__ in MALFORMED for cause in causes(error)
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what caused it, what caused that: as far as it is the HTTP library's, and a dozen at most."""
    cause: BaseException | None = error
    for _ in range(_DEEPEST):
        if cause is None:
            return
        yield cause
        # What an error of the system came after is the user's own business.
        cause = cause.__cause__ or (None if isinstance(cause, OSError) else cause.__context__)


def is_one_of(error: Exception, chosen: Collection[int | type[Exception]]) -> bool:
    """Whether `chosen` has the error's class, a class it derives from, or its HTTP status."""
    status = error.status_code if isinstance(error, openai.APIStatusError) else None
    return any(status == item if isinstance(item, int) else isinstance(error, item) for item in chosen)


def check_retry_on(chosen: RetryOn | None) -> None:
    """Raise the error that says what is wrong with a choice of errors."""
    given = cast("Any", chosen)
    if given is None or (callable(given) and not isinstance(given, type)):
        return
    if isinstance(given, str | type) or not hasattr(given, "__len__"):
        raise TypeError(f"{given!r} is no choice of errors; use a function, or a tuple such as (429, TimeoutError)")
    for item in given:
        if not isinstance(item, int) and not (isinstance(item, type) and issubclass(item, Exception)):
            raise TypeError(f"{item!r} is neither an HTTP status nor a class of exceptions")


def room_for_a_retry(recent: deque[float], now: float, *, limit: int) -> bool:
    """Whether fewer than `limit` retries were made in the 60 s before `now`; if so, `recent` gets this one."""
    while recent and recent[0] <= now - 60:
        recent.popleft()
    if len(recent) >= limit:
        return False
    recent.append(now)
    return True


def server_wait(error: Exception, *, now: float) -> float | None:
    """The wait in seconds that the server asks for.

    `retry-after-ms`, else `retry-after` in seconds or as a date, else for a 429 the `x-ratelimit-reset-*` of what is
    used up. None when it asks for none, or for nonsense (negative, NaN, infinite), or when no server answered.
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
    return _wait_until(headers.get("retry-after"), now) or (_reset(headers) if error.status_code == 429 else None)


def _wait_until(date: str | None, now: float) -> float | None:
    if date is None:
        return None
    try:
        until = email.utils.parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
    return until - now if until > now else None


def _reset(headers: Mapping[str, str]) -> float | None:
    spent = [kind for kind in ("requests", "tokens") if headers.get(f"x-ratelimit-remaining-{kind}") == "0"]
    return max((seconds(headers.get(f"x-ratelimit-reset-{kind}", "")) or 0.0 for kind in spent), default=0.0) or None


def seconds(duration: str) -> float | None:
    """The seconds of a duration as the API writes it: "6m0s", "1.5s", "750ms", "1h2m3s"; None of anything else."""
    if _DURATION.fullmatch(duration) is None:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(duration))


def waits(*, first: float, cap: float, random: Callable[[], float]) -> Iterator[float]:
    """Exponential waits with full jitter: the n-th lies in (0, min(cap, first * 2**n)] seconds."""
    ceilings = backoff.expo(base=2, factor=first, max_value=cap)
    next(ceilings)  # the generator's first value only primes it
    return (ceiling * (1.0 - random()) for ceiling in ceilings)
