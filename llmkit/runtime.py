"""Time as middleware sees it: one interface that suspends in an async client and blocks in a sync one."""

from __future__ import annotations

import contextvars
import math
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread

T = TypeVar("T")


class Event(Protocol):
    """Something that one call waits for and another, in any thread, makes happen."""

    def set(self) -> None:
        """Wake whoever waits; wakes at once whoever waits later."""
        ...

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is set, for at most `seconds`; whether it is."""
        ...


class Runtime(Protocol):
    """Waiting and clocks. Middleware takes all of its time from `request.runtime`, never from `asyncio`."""

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`: suspend in an async client, block the thread in a sync one."""
        ...

    async def run_blocking(self, work: Callable[[], T]) -> T:
        """Do CPU work or blocking I/O: in a thread in an async client, right here in a sync one."""
        ...

    def event(self) -> Event:
        """A new event, to be waited for by the call that made it."""
        ...

    async def within(self, seconds: float, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`; stop it with `OutOfTime` if it is not done after `seconds`.

        In an async client it is cancelled. In a sync one it stops where it waits through the runtime, and nowhere else.
        """
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes backwards; only differences mean something."""
        ...

    def time(self) -> float:
        """Seconds since the epoch."""
        ...


class OutOfTime(Exception):
    """What was to be done `within` some seconds was stopped."""


class End(BaseException):
    """When a `stopping` block ends; raised then, it unwinds what no event loop can cancel."""

    def __init__(self, clock: Runtime, at: float) -> None:
        self.clock = clock
        self.at = at
        self.over = False


_ends: contextvars.ContextVar[tuple[End, ...]] = contextvars.ContextVar("llmkit_ends", default=())


@contextmanager
def stopping(clock: Runtime, seconds: float) -> Generator[None, None, None]:
    """Stop waits on `clock` after `seconds`, with `OutOfTime`: the `within` of what never suspends."""
    outer, end = _ends.get(), End(clock, clock.monotonic() + seconds)
    _ends.set((*outer, end))
    try:
        yield
    except End as passed:
        if passed is not end:
            raise
        raise OutOfTime from None
    finally:
        end.over = True  # for tasks that were started inside and live on
        _ends.set(outer)


def end_before(clock: Runtime, seconds: float | None) -> End | None:
    """The end of a `stopping` block that comes before a wait of `seconds` is over; None when none does."""
    ends = [end for end in _ends.get() if end.clock is clock and not end.over]
    first = min(ends, key=lambda end: end.at, default=None)
    over = math.inf if seconds is None else clock.monotonic() + seconds
    return first if first is not None and first.at <= over else None


class AsyncEvent:
    """An event of the running event loop, asyncio's or trio's, that any thread may set."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        self._loop: Any = anyio.lowlevel.current_token().native_token
        self._thread = threading.get_ident()

    def set(self) -> None:
        """Wake the waiting task."""
        with suppress(RuntimeError):  # the loop has ended, and the waiting task with it
            if threading.get_ident() == self._thread:
                self._event.set()
                return
            wake_in = getattr(self._loop, "call_soon_threadsafe", None) or self._loop.run_sync_soon
            wake_in(self._event.set)

    async def wait(self, seconds: float | None = None) -> bool:
        """Suspend the task."""
        with anyio.move_on_after(seconds):
            await self._event.wait()
        return self._event.is_set()


class SyncEvent:
    """An event between threads."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Wake the waiting thread."""
        self._event.set()

    async def wait(self, seconds: float | None = None) -> bool:
        """Block the thread."""
        end = end_before(SYNC, seconds)
        if end is None:
            return self._event.wait(seconds)
        if not self._event.wait(max(0.0, end.at - SYNC.monotonic())):
            raise end
        return True


class AsyncRuntime:
    """Real time in an async client, on asyncio or trio."""

    async def sleep(self, seconds: float) -> None:
        """Suspend the task."""
        await anyio.sleep(seconds)

    async def run_blocking(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread."""
        return await anyio.to_thread.run_sync(work)

    def event(self) -> Event:
        """An event of this loop."""
        return AsyncEvent()

    async def within(self, seconds: float, work: Callable[[], Awaitable[T]]) -> T:
        """Cancel `work` after `seconds`."""
        with anyio.move_on_after(seconds):
            return await work()
        raise OutOfTime

    def monotonic(self) -> float:
        """Seconds on `time.monotonic`."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()


class SyncRuntime(AsyncRuntime):
    """Real time in a sync client: the coroutine never suspends, so a plain function can drive it."""

    async def sleep(self, seconds: float) -> None:
        """Block the thread."""
        end = end_before(self, seconds)
        time.sleep(seconds if end is None else max(0.0, end.at - self.monotonic()))  # noqa: ASYNC251 - no event loop
        if end is not None:
            raise end

    async def run_blocking(self, work: Callable[[], T]) -> T:
        """Run `work` here."""
        return work()

    def event(self) -> Event:
        """An event between threads."""
        return SyncEvent()

    async def within(self, seconds: float, work: Callable[[], Awaitable[T]]) -> T:
        """Stop `work` where it waits after `seconds`."""
        with stopping(self, seconds):
            return await work()


ASYNC: Runtime = AsyncRuntime()
SYNC: Runtime = SyncRuntime()

replacement: contextvars.ContextVar[Runtime | None] = contextvars.ContextVar("llmkit_runtime", default=None)
"""Set by `llmkit.testing.virtual_time`; wins over both runtimes."""


def current(*, is_async: bool) -> Runtime:
    """The runtime for a call starting now."""
    return replacement.get() or (ASYNC if is_async else SYNC)
