from __future__ import annotations

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


async def test_the_sync_runtime_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    await runtime.current(is_async=False).sleep(2)
    assert waited == [2]
