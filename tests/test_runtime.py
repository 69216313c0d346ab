from __future__ import annotations

import threading
import time

import pytest

from llmkit import runtime


async def test_the_async_runtime_suspends_and_tells_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("anyio.sleep", sleep)
    clock = runtime.current(is_async=True)
    await clock.sleep(3)
    assert waited == [3]
    assert abs(clock.time() - time.time()) < 60
    assert clock.monotonic() <= time.monotonic()


async def test_blocking_work_runs_in_a_thread_or_right_here() -> None:
    here = threading.current_thread()
    assert await runtime.current(is_async=True).run_blocking(threading.current_thread) is not here
    assert await runtime.current(is_async=False).run_blocking(threading.current_thread) is here


async def test_the_sync_runtime_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    await runtime.current(is_async=False).sleep(2)
    assert waited == [2]
