"""Time that passes at once, for tests of anything that waits."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar

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
        """Note the wait and move the clock past it."""
        self.sleeps.append(seconds)
        self.advance(max(0.0, seconds))

    async def run_blocking(self, work: Callable[[], T]) -> T:
        """Do `work` here and now, so that no thread changes the order of things."""
        return work()

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


@contextmanager
def virtual_time(*, start: float = 1_700_000_000.0) -> Generator[VirtualClock, None, None]:
    """Make every wait of llmkit instant inside the block, and see in `clock.sleeps` what was waited."""
    clock = VirtualClock(start=start)
    token = runtime.replacement.set(clock)
    try:
        yield clock
    finally:
        runtime.replacement.reset(token)
