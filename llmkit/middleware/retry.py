"""Another attempt when it may help: the one owner of retries."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from llmkit import _sdk
from llmkit.figures import check_figures
from llmkit.request import CallNext, Request
from llmkit.retries import RetryOn, check_retry_on, room_for_a_retry, server_wait, waits, worth_retrying


@dataclass(frozen=True, slots=True)
class Retry:
    """Retries what another attempt may cure, after the wait the server asks for or else a jittered one.

    The number of retries is the smaller of `max_retries` here and the `max_retries` given to the client, to
    `with_options` or to the call; the SDK's 2 when neither is given. The first wait lies within `first_wait`
    seconds and doubles up to `max_wait`; a wait that the server asks for is never shortened. The SDK's own loop is
    off while a Retry is in the stack, so attempts never multiply. When they are spent, the API's last error is raised
    as it came. A stream is retried until it is open: never after the first event.
    """

    _: KW_ONLY
    max_retries: int | None = None
    first_wait: float = 0.5
    max_wait: float = 8.0
    deadline: float | None = None
    """Seconds after the first attempt began; a wait that would pass it is not begun."""
    retries_per_minute: int | None = None
    """Of all calls through this instance together, so that an API that is down is not hammered."""
    retry_on: RetryOn | None = None
    """Statuses and exception classes, or a function of the error; None = 408, 409, 429, 5xx, no connection or no
    sense. An exhausted quota, `x-should-retry: false` and a server's wait of over two minutes are never retried,
    except by a function."""
    _recent: deque[float] = field(default_factory=deque[float], init=False, repr=False, compare=False)
    _lock: Any = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_figures(
            max_retries=self.max_retries,
            first_wait=self.first_wait,
            max_wait=self.max_wait,
            deadline=self.deadline,
            retries_per_minute=self.retries_per_minute,
        )
        if self.max_retries is not None and self.max_retries < 0:
            raise ValueError(f"max_retries={self.max_retries!r} is negative; use 0 for no retries")
        if not 0 < self.first_wait <= self.max_wait:
            raise ValueError(
                f"first_wait={self.first_wait!r} must be above 0 and at most max_wait={self.max_wait!r} seconds"
            )
        if self.deadline is not None and self.deadline <= 0:
            raise ValueError(f"deadline={self.deadline!r} must be above 0 seconds")
        if self.retries_per_minute is not None and self.retries_per_minute < 1:
            raise ValueError(
                f"retries_per_minute={self.retries_per_minute!r} must be at least 1; for none, max_retries=0"
            )
        check_retry_on(self.retry_on)

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Call until it works, cannot work, or the attempts are spent."""
        began = request.runtime.monotonic()
        limit = self._limit(request)
        own_waits: Iterator[float] | None = None
        taken = 0
        while True:
            try:
                return await call_next(request.replace(max_retries=0, retries_taken=request.retries_taken + taken))
            except Exception as error:
                now = request.runtime.time()
                if taken >= limit or not worth_retrying(error, now=now, retry_on=self.retry_on):
                    raise
                own_waits = own_waits or waits(first=self.first_wait, cap=self.max_wait, random=_sdk.random)
                wait = server_wait(error, now=now) or next(own_waits)
                if (reason := self._reason_to_stop(request, began, wait)) is not None:
                    error.add_note(f"Not retried: {reason}.")
                    raise
                if not request.rewind():
                    raise
            taken += 1
            _sdk.log_retry(wait, taken=taken, limit=limit)
            await _wait(request, wait)

    def _limit(self, request: Request) -> int:
        given = [limit for limit in (self.max_retries, request.max_retries) if limit is not None]
        return min(given, default=_sdk.DEFAULT_MAX_RETRIES)

    def _reason_to_stop(self, request: Request, began: float, wait: float) -> str | None:
        now = request.runtime.monotonic()
        if self.deadline is not None and now + wait > began + self.deadline:
            return f"the wait of {wait:.3g} s would pass the deadline of {self.deadline:g} s"
        if request.deadlines is not None and wait >= request.deadlines.seconds_left():
            return f"the wait of {wait:.3g} s would pass a limit of Timeouts"
        if self.retries_per_minute is None:
            return None
        with self._lock:
            if room_for_a_retry(self._recent, now, limit=self.retries_per_minute):
                return None
        return f"the {self.retries_per_minute} retries of this minute are spent"


async def _wait(request: Request, seconds: float) -> None:
    began = request.runtime.monotonic()
    try:
        await request.runtime.sleep(seconds)
    finally:
        request.record.retry_wait += request.runtime.monotonic() - began
