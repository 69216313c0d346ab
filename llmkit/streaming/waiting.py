"""Waiting for the next event of a stream, or for a time, without losing the event; asyncio only."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import anyio

from llmkit.streaming.sources import OwnedStream, checked, close, close_soon, events_of, running_loop

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """Reads a stream in one task of its own, which closes it, too; at most `ahead` events wait to be taken.

    One task throughout, because a source may hold cancel scopes and context variables between its events.
    """

    def __init__(self, source: AsyncIterable[T], *, ahead: int) -> None:
        self._source = checked(source)
        self._ahead = ahead
        self._items: deque[T] = deque()
        self._takers: deque[asyncio.Future[None]] = deque()
        self._room: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop = running_loop()
        self._error: BaseException | None = None
        self._over = self._closing = False

    @property
    def items(self) -> deque[T]:
        """What has been read and not been taken."""
        return self._items

    @property
    def over(self) -> bool:
        """Whether nothing more will be read."""
        return self._over

    def start(self) -> asyncio.AbstractEventLoop:
        """Begin to read, unless that is done; returns the running loop."""
        loop = self._loop = running_loop()
        if loop is None:
            raise RuntimeError("llmkit's stream functions wait with asyncio; run them in an asyncio event loop")
        if self._task is None and not self._over:
            self._task = loop.create_task(self._read())
        return loop

    async def wait(self, until: float | None = None) -> bool:
        """Wait until `take` has something to say; False when the loop's clock says `until` before."""
        loop = self.start()
        while not (self._items or self._over):
            if until is not None and loop.time() >= until:
                return False
            await self._woken(loop, until)
        return True

    def take(self) -> T:
        """The next event, once `wait` says True; raises what the stream raised, or StopAsyncIteration."""
        if not self._items:
            raise self._error or StopAsyncIteration
        item = self._items.popleft()
        if self._room is not None and len(self._items) <= self._ahead // 2:  # by halves: fewer changes of task
            _wake(self._room)
        return item

    async def aclose(self) -> None:
        """Stop reading and close the source, whatever is cancelled meanwhile; more than once does no harm."""
        stops = not (self._over or self._closing)
        self._finish()
        self._items.clear()
        self._error = None
        if self._task is not None:
            if stops:
                self._task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([self._task])
        await self._close_source()

    def abandon(self) -> None:
        """Have the source closed soon: for finalizers, which cannot wait."""
        if not self._closing:
            close_soon(self, self._loop)

    async def _read(self) -> None:
        try:
            read = events_of(self._source).__anext__
            while True:
                self._offer(await read())
                if len(self._items) >= self._ahead:
                    await self._room_made()
        except StopAsyncIteration:
            pass
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - raised where the events are taken
            self._error = None if self._over else error
        finally:
            await self._close_source()
            self._finish()

    def _offer(self, item: T) -> None:
        if self._over:  # closed, and the source went on although it was cancelled
            raise StopAsyncIteration
        self._items.append(item)
        if self._takers:
            _wake(self._takers.popleft())

    async def _room_made(self) -> None:
        self._room = asyncio.get_running_loop().create_future()
        try:
            await self._room
        finally:
            self._room = None

    async def _woken(self, loop: asyncio.AbstractEventLoop, until: float | None) -> None:
        waiter: asyncio.Future[None] = loop.create_future()
        timer = None if until is None else loop.call_at(until, _wake, waiter)
        self._takers.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled() and self._takers:  # called for an event that now somebody else must take
                _wake(self._takers.popleft())
            raise
        finally:
            if timer is not None:
                timer.cancel()
            with suppress(ValueError):
                self._takers.remove(waiter)

    async def _close_source(self) -> None:
        if self._closing:
            return
        self._closing = True
        await close(self._source)

    def _finish(self) -> None:
        self._over = True
        while self._takers:
            _wake(self._takers.popleft())


class ReadStream(OwnedStream[T], Generic[T]):
    """An owned stream over a `ReadAhead`."""

    def __init__(self, reader: ReadAhead[Any]) -> None:
        self._reader = reader

    async def aclose(self) -> None:
        """Close the stream that this one reads; there are no more events then."""
        await self._reader.aclose()

    def __del__(self) -> None:
        self._reader.abandon()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
