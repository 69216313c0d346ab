"""First come, first served: one queue for each bucket, of calls in any task, thread or event loop of a process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from math import inf

from llmkit.limits.backend import Backend, Ticket
from llmkit.runtime import Event, Runtime


class _Place:
    """One call's place in a queue. `stirred` says that something has changed since it looked."""

    __slots__ = ("event", "stirred")

    def __init__(self) -> None:
        self.event: Event | None = None
        self.stirred = False

    def stir(self) -> None:
        self.stirred = True
        if self.event is not None:
            self.event.set()


@dataclass(slots=True)
class _Queue:
    places: OrderedDict[_Place, None] = field(default_factory=OrderedDict[_Place, None])
    in_flight: int = 0

    @property
    def first(self) -> _Place | None:
        return next(iter(self.places), None)


class Gate:
    """Lets calls go one by one, in the order in which they came; only the first of a queue asks the backend.

    At most `max_concurrency` calls of a bucket are between `enter` and `leave`.
    """

    def __init__(self, backend: Backend, *, max_concurrency: float = inf) -> None:
        self._backend = backend
        self._most = max_concurrency
        self._queues: dict[str, _Queue] = {}
        self._lock = threading.RLock()  # a collected coroutine may come here while this very thread is inside

    async def enter(self, ticket: Ticket, *, patience: float = inf) -> bool:
        """Wait until the call may go; False when it may not within `patience` seconds."""
        clock, place = ticket.runtime, _Place()
        until = clock.monotonic() + patience
        with self._lock:
            queue = self._queues.setdefault(ticket.bucket, _Queue())
            queue.places[place] = None
        admitted = False
        try:
            while True:
                wait = await self._ask(ticket, queue, place)
                left = until - clock.monotonic()
                if wait <= 0 or left <= 0:
                    admitted = wait <= 0
                    return admitted
                await self._sleep(place, min(wait, left), clock)
        finally:
            self._step_out(ticket, queue, place, admitted=admitted)

    def leave(self, ticket: Ticket) -> None:
        """A call that was let go is over."""
        with self._lock:
            queue = self._queues[ticket.bucket]
            queue.in_flight -= 1
            self._wake(ticket.bucket, queue)

    def stir(self, ticket: Ticket) -> None:
        """Have the first of the queue ask again, for it may go earlier or later than it was told."""
        with self._lock:
            if (queue := self._queues.get(ticket.bucket)) is not None:
                self._wake(ticket.bucket, queue)

    async def _ask(self, ticket: Ticket, queue: _Queue, place: _Place) -> float:
        with self._lock:
            place.stirred, place.event = False, None
            may_ask = queue.first is place and queue.in_flight < self._most
        return await self._backend.ask(ticket) if may_ask else inf

    async def _sleep(self, place: _Place, seconds: float, clock: Runtime) -> None:
        with self._lock:
            if place.stirred:
                return
            place.event = event = clock.event()
        await event.wait(None if seconds == inf else seconds)

    def _step_out(self, ticket: Ticket, queue: _Queue, place: _Place, *, admitted: bool) -> None:
        with self._lock:
            was_first = queue.first is place
            del queue.places[place]
            queue.in_flight += admitted
            if was_first:
                self._wake(ticket.bucket, queue)
        if not admitted:
            self._backend.drop(ticket)

    def _wake(self, bucket: str, queue: _Queue) -> None:
        if (first := queue.first) is not None:
            first.stir()
        elif not queue.in_flight:
            del self._queues[bucket]
