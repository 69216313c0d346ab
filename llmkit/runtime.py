"""Time as middleware sees it: one interface that suspends in an async client and blocks in a sync one."""

from __future__ import annotations

import contextvars
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")


class Runtime(Protocol):
    """Waiting and clocks. Middleware takes all of its time from `request.runtime`, never from `asyncio`."""

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`: suspend in an async client, block the thread in a sync one."""
        ...

    async def run_blocking(self, work: Callable[[], T]) -> T:
        """Do CPU work or blocking I/O: in a thread in an async client, right here in a sync one."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes backwards; only differences mean something."""
        ...

    def time(self) -> float:
        """Seconds since the epoch."""
        ...


class AsyncRuntime:
    """Real time in an async client, on asyncio or trio."""

    async def sleep(self, seconds: float) -> None:
        """Suspend the task."""
        await anyio.sleep(seconds)

    async def run_blocking(self, work: Callable[[], T]) -> T:
        """Run `work` in a thread."""
        return await anyio.to_thread.run_sync(work)

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
        time.sleep(seconds)  # noqa: ASYNC251 - a sync client has no event loop to block

    async def run_blocking(self, work: Callable[[], T]) -> T:
        """Run `work` here."""
        return work()


ASYNC: Runtime = AsyncRuntime()
SYNC: Runtime = SyncRuntime()

replacement: contextvars.ContextVar[Runtime | None] = contextvars.ContextVar("llmkit_runtime", default=None)
"""Set by `llmkit.testing.virtual_time`; wins over both runtimes."""


def current(*, is_async: bool) -> Runtime:
    """The runtime for a call starting now."""
    return replacement.get() or (ASYNC if is_async else SYNC)
