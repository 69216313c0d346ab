"""Time that passes at once, for tests of anything that waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

import sniffio

from llmkit import runtime

T = TypeVar("T")


class VirtualClock:
    """A clock that moves only when something sleeps on it or `advance` is called.

    Sleeping never suspends, so tasks that sleep at the same time add up. `sleeps` lists the waits in order.
    """

    def __init__(self, *, start: float = 1_700_000_000.0) -> None:
        self.sleeps: list[float] = []
        self._start = start
        self._elapsed = 0.0
        self._lock = Lock()

    async def sleep(self, seconds: float) -> None:
        """Note the wait and move the clock past it, but not past the end of a `within` around it."""
        self.sleeps.append(seconds)
        end = runtime.end_before(self, seconds)
        self.advance(max(0.0, seconds if end is None else end.at - self.monotonic()))
        if end is not None:
            raise end

    async def run_blocking(self, work: Callable[[], T]) -> T:
        """Do `work` here and now, so that no thread changes the order of things."""
        return work()

    def event(self) -> runtime.Event:
        """An event whose timeout passes at once; without one it is really waited for."""
        return _VirtualEvent(self)

    async def within(self, seconds: float, work: Callable[[], Awaitable[T]]) -> T:
        """Stop `work` when it sleeps past its time; what it really waits for is not stopped."""
        with runtime.stopping(self, seconds):
            return await work()

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass without anybody having slept."""
        with self._lock:
            self._elapsed += seconds

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed

    def time(self) -> float:
        """Seconds since the epoch; the clock starts at `start`."""
        return self._start + self._elapsed


class _VirtualEvent:
    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._event = (runtime.ASYNC if _in_event_loop() else runtime.SYNC).event()

    def set(self) -> None:
        self._event.set()

    async def wait(self, seconds: float | None = None) -> bool:
        if seconds is None or await self._event.wait(0):
            return await self._event.wait()
        await self._clock.sleep(seconds)
        return await self._event.wait(0)


def _in_event_loop() -> bool:
    try:
        return bool(sniffio.current_async_library())
    except sniffio.AsyncLibraryNotFoundError:
        return False


@contextmanager
def virtual_time(*, start: float = 1_700_000_000.0) -> Generator[VirtualClock, None, None]:
    """Make every wait of llmkit instant inside the block, and see in `clock.sleeps` what was waited."""
    clock = VirtualClock(start=start)
    token = runtime.replacement.set(clock)
    try:
        yield clock
    finally:
        runtime.replacement.reset(token)
