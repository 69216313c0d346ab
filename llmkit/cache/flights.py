"""Identical calls that are made at the same time: one asks, the others wait for its answer."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import openai

from llmkit.cache.entry import Entry
from llmkit.errors import copy_of
from llmkit.forks import begin_anew_in_children
from llmkit.request import Request
from llmkit.streaming.received import Received
from llmkit.tagging import Tag

_TRIES = 2
"""Calls that may fail before all who wait are told of it: one of them tries again after the first."""
_LOOK = 0.5
"""Seconds between two looks whether a stream is still being read."""
_IDLE = 1.0
"""Seconds for which a stream may lie unread before others wait for it no longer."""


class Caller(NamedTuple):
    """Whose errors are whose: what is wrong with one's key or tags is no matter of others'."""

    client: Any
    headers: Mapping[str, str]
    tags: Mapping[str, Tag]

    @classmethod
    def of(cls, request: Request) -> Caller:
        """Who makes a request."""
        return cls(request.client, request.headers, request.tags)


class Flight:
    """The call that leads, and those that wait for its answer."""

    __slots__ = ("caller", "failures", "key", "stream", "waiting")

    def __init__(self, key: str, caller: Caller) -> None:
        self.key = key
        self.caller = caller
        """Of the call that leads."""
        self.stream: Received | None = None
        """The answer, once it is in the hands of a caller who may or may not read it."""
        self.failures = 0
        self.waiting: deque[_Waiter] = deque()

    @property
    def lies_idle(self) -> bool:
        """Whether the answer is there and nobody reads it; the thread that waits may be the one that should."""
        return self.stream is not None and self.stream.idle_for > _IDLE


class _Waiter:
    """A call that waits; `woken` when it has an outcome: an entry, an error, the lead, or none of them."""

    __slots__ = ("caller", "outcome", "woken")

    def __init__(self, request: Request) -> None:
        self.caller = Caller.of(request)
        self.woken = request.runtime.event()
        self.outcome: Entry | Exception | Flight | None = None

    def wake(self, outcome: Entry | Exception | Flight | None) -> None:
        self.outcome = outcome
        self.woken.set()


class Flights:
    """The flights of a process, by key. Safe for calls of several event loops and threads."""

    def __init__(self) -> None:
        begin_anew_in_children(self)

    def begin(self) -> None:
        """Know of no flight."""
        self._flights: dict[str, Flight] = {}
        self._lock = threading.RLock()  # a stream that is collected ends while this very thread may be inside

    async def join(self, key: str, request: Request, *, patience: float) -> Flight | Entry | None:
        """Lead a flight, or wait for the answer of the call that leads one, at most for `patience` seconds.

        Who is out of patience leads another one. None: ask for yourself. Raises the error of those who tried.
        """
        with self._lock:
            flight = self._flights.get(key)
            if flight is None:
                return self._begun(key, request)
            waiter = _Waiter(request)
            flight.waiting.append(waiter)
        try:
            await self._wait(flight, waiter, patience)
        except BaseException:
            self._leave(flight, waiter)
            raise
        return self._outcome(flight, waiter, request)

    def land(self, flight: Flight, entry: Entry | None) -> None:
        """Give all who wait the answer; None, when it cannot be shared, has each ask for itself."""
        with self._lock:
            self._end(flight)
            waiting, flight.waiting = flight.waiting, deque()
            for waiter in waiting:
                waiter.wake(entry)

    def give_up(self, flight: Flight, error: Exception | None = None) -> None:
        """Hand the lead to the next who waits, because of an error or because the call was cancelled.

        After the second error of the API those who make the very same call get it, too.
        """
        with self._lock:
            if isinstance(error, openai.APIError):
                flight.failures += 1
                if flight.failures >= _TRIES:
                    self._fail_others(flight, error)
            self._hand_on(flight)

    async def _wait(self, flight: Flight, waiter: _Waiter, patience: float) -> None:
        while patience > 0 and not flight.lies_idle:
            if await waiter.woken.wait(min(patience, _LOOK)):
                return
            patience -= _LOOK

    def _outcome(self, flight: Flight, waiter: _Waiter, request: Request) -> Flight | Entry | None:
        with self._lock:
            if waiter in flight.waiting:  # out of patience
                flight.waiting.remove(waiter)
                return self._begun(flight.key, request) if self._flights.get(flight.key) is flight else None
        if isinstance(waiter.outcome, Exception):
            raise waiter.outcome
        return waiter.outcome

    def _begun(self, key: str, request: Request) -> Flight:
        self._flights[key] = flight = Flight(key, Caller.of(request))
        return flight

    def _leave(self, flight: Flight, waiter: _Waiter) -> None:
        """A call was cancelled; if it had just been given the lead, the next one has it."""
        with self._lock:
            if waiter in flight.waiting:
                flight.waiting.remove(waiter)
            elif waiter.outcome is flight:
                self._hand_on(flight)

    def _fail_others(self, flight: Flight, error: Exception) -> None:
        same = [waiter for waiter in flight.waiting if waiter.caller == flight.caller]
        flight.waiting = deque(waiter for waiter in flight.waiting if waiter.caller != flight.caller)
        flight.failures = 0
        for waiter in same:
            waiter.wake(copy_of(error))

    def _hand_on(self, flight: Flight) -> None:
        flight.stream = None
        if not flight.waiting:
            self._end(flight)
            return
        following = flight.waiting.popleft()
        flight.caller = following.caller
        following.wake(flight)

    def _end(self, flight: Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
