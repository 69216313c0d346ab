"""Where plain functions run: threads of the registry's own, so that slow tools take none from the application."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextvars import ContextVar
from typing import TypeVar
from weakref import WeakKeyDictionary

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

T = TypeVar("T")

_in_thread: ContextVar[bool] = ContextVar("llmkit_in_tool_thread", default=False)


class Threads:
    """At most `total` threads at a time in each event loop.

    What a tool in one of these threads runs in turn needs none of them: it would wait for itself.
    """

    __slots__ = ("__weakref__", "_total")

    def __init__(self, total: int) -> None:
        self._total = total

    def limiter(self) -> anyio.CapacityLimiter:
        """What a function started here and now waits for."""
        if _in_thread.get():
            return anyio.CapacityLimiter(math.inf)
        limiters = _limiters.get(None)
        if limiters is None:
            _limiters.set(limiters := WeakKeyDictionary())
        if self not in limiters:
            limiters[self] = anyio.CapacityLimiter(self._total)
        return limiters[self]


_limiters: RunVar[WeakKeyDictionary[Threads, anyio.CapacityLimiter]] = RunVar("llmkit_tool_threads")


async def run_in_thread(work: Callable[[], T], limiter: anyio.CapacityLimiter) -> T:
    """Run `work` in a thread with the caller's context variables; a cancellation leaves it to finish there."""

    def run() -> T:
        _in_thread.set(True)  # the thread has a copy of the context
        return work()

    return await anyio.to_thread.run_sync(run, abandon_on_cancel=True, limiter=limiter)
