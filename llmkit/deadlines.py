"""How long a call, and a stream that it opened, may still be waited for."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import httpx2
import openai

from llmkit.errors import CallTimeout
from llmkit.runtime import OutOfTime, Runtime, stopping

T = TypeVar("T")

_END: Any = object()
_EARLY = 0.001
"""Seconds by which a clock or an event loop may be early."""
_PARTS = ("connect", "read", "write", "pool")


class Left(NamedTuple):
    """The seconds left of a limit, its name, and how many it had."""

    seconds: float
    limit: str
    given: float


class Deadlines:
    """The limits of one call, in seconds; those of `outer` hold for its stream, too.

    Only `total` counts the time that the caller takes between two events.
    """

    def __init__(
        self,
        clock: Runtime,
        *,
        base_url: str,
        total: float | None,
        first_token: float | None,
        between_tokens: float | None,
        outer: Deadlines | None,
    ) -> None:
        self._clock = clock
        self._base_url = base_url
        self._began = clock.monotonic()
        self._total = math.inf if total is None else total
        self._first = math.inf if first_token is None else first_token
        self._between = math.inf if between_tokens is None else between_tokens
        self._outer = outer
        self._opening: float | None = None
        self._has_begun = False
        self._read: float | None = None

    async def opened(self, work: Callable[[], Awaitable[T]]) -> T:
        """The answer of `work`; `CallTimeout` when it takes too long."""
        with self._limited(self._own_left()) as seconds:
            answer = await self._clock.within(seconds, work)
        self._opening = self._clock.monotonic() - self._began
        return answer

    async def events(self, events: AsyncIterator[T]) -> AsyncIterator[T]:
        """The events of a stream; `CallTimeout` when one takes too long."""

        async def following() -> T:
            with self._limited(self._left()) as seconds:
                return await self._clock.within(seconds, lambda: anext(events, _END))

        while (event := await following()) is not _END:
            self._begin()
            yield event

    def blocking_events(self, events: Iterator[T], response: Any) -> Iterator[T]:
        """The same in a sync client: a read that blocks ends by a timeout of the connection's, or too late."""
        response.request.extensions["timeout"]["read"] = _shorter(self._read, self._longest_read())

        def following() -> T:
            began, left = self._clock.monotonic(), self._left()
            with self._limited(left) as seconds, stopping(self._clock, seconds):
                event = next(events, _END)
            if self._clock.monotonic() - began > left.seconds:
                raise self._error(left)
            return event

        while (event := following()) is not _END:
            self._begin()
            yield event

    def shortened(self, timeout: Any) -> Any:
        """A timeout for the connection of a sync client, which ends a request that nothing can interrupt."""
        left = self._left()
        if left.seconds <= 0:
            raise self._error(left)
        given = timeout if hasattr(timeout, "connect") else httpx2.Timeout(timeout)
        self._read = given.read
        return httpx2.Timeout(**{name: _shorter(getattr(given, name), left.seconds) for name in _PARTS})

    def seconds_left(self) -> float:
        """Until the first of the limits is over."""
        return self._left().seconds

    def passed(self) -> CallTimeout | None:
        """The error of the limit that is over; None while there is time."""
        left = self._left()
        return self._error(left) if left.seconds < _EARLY else None

    @contextmanager
    def _limited(self, left: Left) -> Generator[float, None, None]:
        if left.seconds <= 0:
            raise self._error(left)
        end = self._clock.monotonic() + left.seconds
        try:
            yield left.seconds
        except OutOfTime:
            raise self._error(left) from None
        except openai.APITimeoutError as error:
            if isinstance(error, CallTimeout) or self._clock.monotonic() < end:
                raise
            raise self._error(left) from error

    def _left(self) -> Left:
        own = self._own_left()
        return own if self._outer is None else min(own, self._outer._left())

    def _own_left(self) -> Left:
        elapsed = self._clock.monotonic() - self._began
        total = Left(self._total - elapsed, "total", self._total)
        if self._has_begun:
            return min(total, Left(self._between, "between_tokens", self._between))
        waited = elapsed if self._opening is None else self._opening
        return min(total, Left(self._first - waited, "first_token", self._first))

    def _longest_read(self) -> float:
        """The longest that any event may take: the timeout of reads cannot be changed once a body is being read."""
        elapsed = self._clock.monotonic() - self._began
        own = min(self._total - elapsed, max(self._first - (self._opening or 0.0), self._between))
        return max(0.0, own if self._outer is None else min(own, self._outer._longest_read()))

    def _begin(self) -> None:
        self._has_begun = True
        if self._outer is not None:
            self._outer._begin()

    def _error(self, left: Left) -> CallTimeout:
        return CallTimeout(left.limit, left.given, httpx2.Request("POST", self._base_url))


def _shorter(given: float | None, limit: float) -> float | None:
    shorter = limit if given is None else min(given, limit)
    return None if shorter == math.inf else shorter
