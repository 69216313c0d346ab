"""An event loop whose time jumps to the next timer when nothing else is to do, so that waits are exact and instant."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from llmkit import runtime

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(None if timeout is None else 0)
        if timeout and not ready:
            self.loop.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.now = 0.0
        super().__init__(selector)

    def time(self) -> float:
        return self.now


class LoopTime(runtime.AsyncRuntime):
    """The time of the running loop, which no thread is to miss."""

    async def run_blocking(self, work: Callable[[], T]) -> T:
        return work()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def time(self) -> float:
        return 1_700_000_000.0 + self.monotonic()


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` in a loop of its own, where every call of a client goes by that loop's time."""
    token = runtime.replacement.set(LoopTime())
    try:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(work)
    finally:
        runtime.replacement.reset(token)
