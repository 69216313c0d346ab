"""One call that is looked up: answered from the store, by another call that asks the same, or by the API."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import openai

from llmkit.cache.claims import Claims
from llmkit.cache.entry import Entry
from llmkit.cache.flights import Flight, Flights
from llmkit.cache.shelf import MOST_BYTES, Shelf, received_as
from llmkit.cache.trouble import Unavailable
from llmkit.record import CacheState, logger
from llmkit.request import CallNext, Request
from llmkit.stream_usage import StreamUsage
from llmkit.streaming.received import Received

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25
"""Seconds between two looks for the answer that another process has asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a call does with the cache."""

    key: str
    ttl: float | None
    read: bool
    write: bool
    works: bool = True
    """Whether the store can be used: not when it has failed in this call."""


class Finding(Protocol):
    """What a call was found to mean."""

    entry: Entry | None
    """An answer to a question that means the same."""

    def facts(self) -> dict[str, Any]:
        """Fields of the entry for this call's own answer."""
        ...

    def kept(self, entry: Entry) -> None:
        """The call's own answer is in the store; may block, and never fails."""
        ...


class Similar(Protocol):
    """Finds answers to questions that mean the same."""

    async def find(self, request: Request, *, look: bool) -> Finding | None:
        """What the request means, and, if it is to `look`, who has asked the same; None when that cannot be said."""
        ...


class Asking:
    """Asks the API once for identical calls that are made at the same time, and not at all for what is in the store."""

    def __init__(self, shelf: Shelf, *, wait: float) -> None:
        self.similar: Similar | None = None
        """Who is asked when the store has no answer to the very same question."""
        self._shelf = shelf
        self._wait = wait
        self._usage = StreamUsage()
        self._flights = Flights()
        self._claims = Claims(shelf.store)

    async def answer(self, plan: Plan, request: Request, call_next: CallNext) -> Any:
        """Answer from the store, or ask and keep the answer."""
        try:
            entry = await self._shelf.find(plan.key, request) if plan.read else None
        except Unavailable:
            plan = replace(plan, works=False)
        else:
            served = None if entry is None else await self._shelf.serve(entry, request)
            if served is not None:
                return served
        return await self._together(plan, request, call_next)

    async def _together(self, plan: Plan, request: Request, call_next: CallNext) -> Any:
        """Ask, or wait for an identical call that does."""
        joined = None
        if plan.read and plan.write:
            joined = await self._flights.join(plan.key, request, patience=self._patience(request))
        if isinstance(joined, Flight):
            return await self._lead(plan, request, call_next, joined)
        served = None if joined is None else await self._serve(joined, plan, request, shared=True)
        return await self._alone(plan, request, call_next) if served is None else served

    async def _alone(self, plan: Plan, request: Request, call_next: CallNext) -> Any:
        """Ask for nobody else."""
        entry, finding = await self._by_meaning(plan, request)
        served = None if entry is None else await self._serve(entry, plan, request)
        return await self._ask(plan, request, call_next, None, finding) if served is None else served

    async def _lead(self, plan: Plan, request: Request, call_next: CallNext, flight: Flight) -> Any:
        """Ask for all who wait, unless there is an answer by now."""
        try:
            entry, finding = await self._claimed(plan, request), None
            if entry is None:
                entry, finding = await self._by_meaning(plan, request)
            served = None if entry is None else await self._serve(entry, plan, request)
            if served is None:
                return await self._ask(plan, request, call_next, flight, finding)
        except BaseException as error:
            failure = error if isinstance(error, Exception) else None
            self._aside(request, lambda: self._give_up(plan, flight, failure), blocks=self._shelf.store.blocks)
            raise
        self._aside(request, lambda: self._land(plan, flight, entry), blocks=self._shelf.store.blocks)
        return served

    async def _by_meaning(self, plan: Plan, request: Request) -> tuple[Entry | None, Finding | None]:
        finding = None if self.similar is None else await self.similar.find(request, look=plan.read)
        return None if finding is None else finding.entry, finding

    async def _serve(self, entry: Entry, plan: Plan, request: Request, *, shared: bool = False) -> Any:
        state: CacheState = "hit" if entry.key == plan.key else "semantic"
        return await self._shelf.serve(entry, request, state=state, shared=shared)

    async def _claimed(self, plan: Plan, request: Request) -> Entry | None:
        """Wait until no other process asks for the same; the answer, if there is one by then."""
        clock, pause = request.runtime, _FIRST_PAUSE
        self._claims.want(plan.key)
        until = clock.monotonic() + self._patience(request)
        try:
            while plan.works:
                claimed = await self._shelf.ask(
                    request, lambda: self._claims.take(plan.key, now=clock.time()), about=self._shelf.writing
                )
                entry = await self._shelf.find(plan.key, request)
                if claimed or entry is not None or clock.monotonic() >= until:
                    return entry
                await clock.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        except Unavailable:
            pass
        return None

    async def _ask(
        self,
        plan: Plan,
        request: Request,
        call_next: CallNext,
        flight: Flight | None,
        finding: Finding | None,
    ) -> Any:
        """Ask the API and keep the answer, a stream's when it has been read."""
        if plan.read:
            self._shelf.counters.add({"misses": 1})
        answer = await self._usage.send(request, call_next)
        received = received_as(answer, request) if plan.write else None
        if received is None or received.is_read:
            await request.runtime.run_blocking(lambda: self._settle(plan, request, received, flight, finding))
            return answer
        received.keep(MOST_BYTES)
        if flight is not None:
            flight.stream = received
        # Nothing can be awaited where a stream ends.
        over = partial(self._settle, plan, request, received, flight, finding)
        request.record.add_done_callback(lambda _: self._aside(request, over, blocks=True))
        return answer

    def _settle(
        self, plan: Plan, request: Request, received: Received | None, flight: Flight | None, finding: Finding | None
    ) -> None:
        """The answer is in: keep it, and tell those who wait. May block."""
        whole, entry = request.record.complete or not request.stream, None
        try:
            if received and whole:
                facts = dict[str, Any] if finding is None else finding.facts
                entry = self._shelf.entry_of(received, request, key=plan.key, ttl=plan.ttl, facts=facts)
            if entry is not None and plan.works:
                self._shelf.put(entry, request)
            if entry is not None and finding is not None:
                finding.kept(entry)
        finally:
            if flight is not None and whole:
                self._land(plan, flight, entry)
            elif flight is not None:
                self._give_up(plan, flight, None)

    def _land(self, plan: Plan, flight: Flight, entry: Entry | None) -> None:
        self._release(plan)
        self._flights.land(flight, entry)

    def _give_up(self, plan: Plan, flight: Flight, error: Exception | None) -> None:
        self._release(plan)
        self._flights.give_up(flight, error)

    def _release(self, plan: Plan) -> None:
        try:
            self._claims.give_up(plan.key)
        except Exception as error:  # noqa: BLE001 - it runs out by itself
            logger.debug("a claim could not be given up: %s", type(error).__name__)

    def _aside(self, request: Request, work: Callable[[], None], *, blocks: bool) -> None:
        """Do `work` where nothing can be awaited: in a thread if it `blocks`, else right here.

        Right here, too, in a sync client whose call has ended well: the next call finds the answer. A call that has not
        may be one that is collected, in whatever this thread was doing.
        """
        is_async = isinstance(request.client, openai.AsyncOpenAI)
        if blocks and (is_async or not request.record.complete):
            threading.Thread(target=copy_context().run, args=(work,), name="llmkit-cache").start()
            return
        work()

    def _patience(self, request: Request) -> float:
        """Seconds to wait for another call's answer: no longer than the caller would wait for the server's."""
        timeout = getattr(request.timeout, "read", request.timeout)
        return self._wait if timeout is None else min(self._wait, timeout)
