"""Identical calls that are made at the same time: one asks, the others wait for its answer."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

from llmkit.cache.entry import Entry
from llmkit.errors import copy_of
from llmkit.request import Request

_TRIES = 2
"""Calls that may fail before all who wait are told of it: one of them tries again after the first."""


class Flight:
    """The call that leads, and those that wait for its answer."""

    __slots__ = ("client", "failures", "key", "waiting")

    def __init__(self, key: str, client: Any) -> None:
        self.key = key
        self.client = client
        """Of the call that leads."""
        self.failures = 0
        self.waiting: deque[_Waiter] = deque()


class _Waiter:
    """A call that waits; `woken` when it has an outcome: an entry, an error, the lead, or none of them."""

    __slots__ = ("client", "outcome", "woken")

    def __init__(self, request: Request) -> None:
        self.client = request.client
        self.woken = request.runtime.event()
        self.outcome: Entry | Exception | Flight | None = None

    def wake(self, outcome: Entry | Exception | Flight | None) -> None:
        self.outcome = outcome
        self.woken.set()


class Flights:
    """The flights of a process, by key. Safe for calls of several event loops and threads."""

    def __init__(self) -> None:
        self._flights: dict[str, Flight] = {}
        self._lock = threading.RLock()  # a stream that is collected ends while this very thread may be inside

    async def join(self, key: str, request: Request, *, patience: float) -> Flight | Entry | None:
        """Lead a flight, or wait for the answer of the call that leads one, at most for `patience` seconds.

        None: ask for yourself. Raises the error of those who tried.
        """
        with self._lock:
            flight = self._flights.get(key)
            if flight is None:
                flight = self._flights[key] = Flight(key, request.client)
                return flight
            waiter = _Waiter(request)
            flight.waiting.append(waiter)
        try:
            await waiter.woken.wait(patience)
        except BaseException:
            self._leave(flight, waiter)
            raise
        return self._outcome(flight, waiter)

    def land(self, flight: Flight, entry: Entry | None) -> None:
        """Give all who wait the answer; None, when it cannot be shared, has each ask for itself."""
        with self._lock:
            self._end(flight)
            waiting, flight.waiting = flight.waiting, deque()
            for waiter in waiting:
                waiter.wake(entry)

    def give_up(self, flight: Flight, error: Exception | None = None) -> None:
        """Hand the lead to the next who waits, because of an error or because the call was cancelled.

        After the second error those who wait with the same client get it, too: what is wrong with its key or its
        server is no matter of other clients'.
        """
        with self._lock:
            flight.failures += error is not None
            if error is not None and flight.failures >= _TRIES:
                same = [waiter for waiter in flight.waiting if waiter.client is flight.client]
                flight.waiting = deque(waiter for waiter in flight.waiting if waiter.client is not flight.client)
                flight.failures = 0
                for waiter in same:
                    waiter.wake(copy_of(error))
            self._hand_on(flight)

    def _outcome(self, flight: Flight, waiter: _Waiter) -> Flight | Entry | None:
        with self._lock:
            if waiter in flight.waiting:  # out of patience
                flight.waiting.remove(waiter)
        if isinstance(waiter.outcome, Exception):
            raise waiter.outcome
        return waiter.outcome

    def _leave(self, flight: Flight, waiter: _Waiter) -> None:
        """A call was cancelled; if it had just been given the lead, the next one has it."""
        with self._lock:
            if waiter in flight.waiting:
                flight.waiting.remove(waiter)
            elif waiter.outcome is flight:
                self._hand_on(flight)

    def _hand_on(self, flight: Flight) -> None:
        if not flight.waiting:
            self._end(flight)
            return
        following = flight.waiting.popleft()
        flight.client = following.client
        following.wake(flight)

    def _end(self, flight: Flight) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
