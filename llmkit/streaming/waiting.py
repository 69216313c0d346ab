"""Waiting for the next event of a stream, or for a time, without losing the event; asyncio only."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import anyio

from llmkit.record import logger

T = TypeVar("T")

_closings: set[asyncio.Task[None]] = set()
"""Closings that nobody waits for; the loop alone would not keep them alive."""


class ReadAhead(Generic[T]):
    """Reads a stream in one task of its own, which closes it, too; at most `ahead` events wait to be taken.

    One task throughout, because a source may hold cancel scopes and context variables between its events.
    """

    def __init__(self, source: AsyncIterable[T], *, ahead: int) -> None:
        self._source = _checked(source)
        self._ahead = ahead
        self._items: deque[T] = deque()
        self._takers: deque[asyncio.Future[None]] = deque()
        self._room: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop = _running_loop()
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
        loop = self._loop = _running_loop()
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
        if self._loop is not None and not self._closing:
            with suppress(RuntimeError):  # the loop is closed, and the source's connection with it
                self._loop.call_soon_threadsafe(_close_soon, self)

    async def _read(self) -> None:
        source = cast("Any", self._source)
        # The SDK's streams wrap themselves in a generator for each aiter(); the stream itself serves.
        read = source.__anext__ if hasattr(source, "__anext__") else aiter(source).__anext__
        try:
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
        with anyio.CancelScope(shield=True):
            await close(self._source)

    def _finish(self) -> None:
        self._over = True
        while self._takers:
            _wake(self._takers.popleft())


class OwnedStream(AsyncIterator[T], Generic[T]):
    """An async iterator that closes what it reads: at its end, when it is left (`async with`), or when dropped."""

    def __init__(self, reader: ReadAhead[Any]) -> None:
        self._reader = reader

    async def aclose(self) -> None:
        """Close the stream that this one reads; there are no more events then."""
        await self._reader.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        self._reader.abandon()


async def close(source: Any) -> None:
    """Close a stream of any kind: an SDK stream, a generator, or whatever has `aclose` or `close`."""
    closing = getattr(source, "aclose", None) or getattr(source, "close", None)
    if closing is None:
        return
    try:
        result = closing()
        if result is not None:
            await result
    except Exception as error:  # noqa: BLE001 - the events are all there, or a better error is on its way
        logger.warning("closing a %s failed with %s", type(source).__qualname__, type(error).__name__)


def _checked(source: AsyncIterable[T]) -> AsyncIterable[T]:
    if not hasattr(source, "__aiter__"):
        hint = (
            "await it first"
            if hasattr(source, "__await__")
            else "enter it first: `async with ... as stream`"
            if hasattr(source, "__aenter__")
            else "pass a stream of an AsyncOpenAI, or another async iterable"
        )
        raise TypeError(f"a {type(source).__qualname__} cannot be read with `async for`; {hint}")
    return source


def _running_loop() -> asyncio.AbstractEventLoop | None:
    with suppress(RuntimeError):
        return asyncio.get_running_loop()
    return None


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _close_soon(reader: ReadAhead[Any]) -> None:
    task = asyncio.get_running_loop().create_task(reader.aclose())
    _closings.add(task)
    task.add_done_callback(_closings.discard)
