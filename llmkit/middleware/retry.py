"""Another attempt when it may help: the one owner of retries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai

from llmkit import _sdk
from llmkit.request import CallNext, Request
from llmkit.retries import server_wait, waits, worth_retrying


class Retry:
    """Retries what another attempt may cure, after the wait the server asks for or else a jittered one.

    The number of retries is the smaller of `max_retries` here and the `max_retries` given to the client, to
    `with_options` or to the call; the SDK's 2 when neither is given. The first wait lies within `first_wait`
    seconds and doubles up to `max_wait`. The SDK's own loop is off while a Retry is in the stack, so attempts
    never multiply. When they are spent, the API's last error is raised as it came.
    """

    def __init__(self, *, max_retries: int | None = None, first_wait: float = 0.5, max_wait: float = 8.0) -> None:
        if max_retries is not None and max_retries < 0:
            raise ValueError(f"max_retries={max_retries!r} is negative; use 0 for no retries")
        if not 0 < first_wait <= max_wait:
            raise ValueError(f"first_wait={first_wait!r} must be above 0 and at most max_wait={max_wait!r} seconds")
        self._max_retries = max_retries
        self._first_wait = first_wait
        self._max_wait = max_wait

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Call until it works, cannot work, or the attempts are spent."""
        limit = self._limit(request)
        own_waits: Iterator[float] | None = None
        taken = 0
        while True:
            attempt = request.replace(max_retries=0, retries_taken=request.retries_taken + taken)
            try:
                return await call_next(attempt)
            except openai.APIError as error:
                now = request.runtime.time()
                if taken >= limit or not worth_retrying(error, now=now) or not request.rewind():
                    raise
                own_waits = own_waits or waits(first=self._first_wait, cap=self._max_wait, random=_sdk.random)
                wait = server_wait(error, now=now) or next(own_waits)
            taken += 1
            _sdk.log_retry(wait, taken=taken, limit=limit)
            began = request.runtime.monotonic()
            try:
                await request.runtime.sleep(wait)
            finally:
                request.record.retry_wait += request.runtime.monotonic() - began

    def _limit(self, request: Request) -> int:
        given = [limit for limit in (self._max_retries, request.max_retries) if limit is not None]
        return min(given, default=_sdk.DEFAULT_MAX_RETRIES)
