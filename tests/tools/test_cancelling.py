"""Tools are cancelled once, and may clean up; one that never ends is left to itself."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import Any

import anyio
import pytest

from llmkit.tools import cancelling, threads
from llmkit.tools.call import ToolCall
from llmkit.tools.registry import ToolRegistry


def call(name: str, id: str = "c1") -> ToolCall:
    return ToolCall(id=id, name=name, arguments="{}")


class Ledger:
    """A tool that must roll back what it has begun."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.begun = asyncio.Event()

    async def pay(self) -> str:
        self.log.append("begin")
        self.begun.set()
        try:
            await asyncio.sleep(3600)
        except BaseException:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.log.append("rolled back")
            raise
        return "paid"


async def test_a_tool_that_takes_too_long_can_clean_up() -> None:
    ledger = Ledger()
    [result] = await ToolRegistry([ledger.pay], timeout=0.01).dispatch([call("pay")])
    assert result.error == "timeout"
    assert ledger.log == ["begin", "rolled back"]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("timeout", [None, 60])
async def test_tools_can_clean_up_when_the_run_is_cancelled(count: int, timeout: float | None) -> None:
    ledger = Ledger()
    registry = ToolRegistry([ledger.pay], timeout=timeout)
    task = asyncio.create_task(registry.dispatch([call("pay", f"c{number}") for number in range(count)]))
    await ledger.begun.wait()
    await anyio.lowlevel.checkpoint()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ledger.log) == ["begin"] * count + ["rolled back"] * count


async def test_a_tool_that_goes_on_after_its_cancellation_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancelling, "_GRACE", 0.01)
    release = asyncio.Event()

    async def stubborn() -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        raise ValueError("nobody reads this")

    async def quick() -> str:
        return "quick"

    registry = ToolRegistry([stubborn, quick], timeout=0.01)
    results = await registry.dispatch([call("stubborn"), call("quick", "c2")])
    assert [result.error for result in results] == ["timeout", None]
    release.set()
    await anyio.wait_all_tasks_blocked()


def test_a_plain_tool_that_never_returns_does_not_keep_the_process_alive() -> None:
    code = """
import asyncio, threading
from llmkit import ToolRegistry

def hang() -> None:
    threading.Event().wait()

message = {"role": "assistant", "tool_calls": [
    {"id": "1", "type": "function", "function": {"name": "hang", "arguments": "{}"}}]}
print(asyncio.run(ToolRegistry([hang], timeout=0.05).run(message))[0]["content"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "took longer than 0.05 s" in done.stdout


async def test_a_thread_with_nothing_to_do_ends_and_another_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_IDLE", 0.001)
    pool = threads.Threads(1)
    first = await pool.run(threading.current_thread)
    await anyio.to_thread.run_sync(first.join)
    second = await pool.run(threading.current_thread)
    assert second is not first


async def test_work_given_to_a_thread_that_is_about_to_end_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = threads.Threads(1)

    class Hesitant(threads.SimpleQueue):  # type: ignore[type-arg, name-defined]
        """Runs out of patience just when something is put into it."""

        hesitates = True

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            item = super().get()
            if self.hesitates and timeout is not None:
                self.hesitates = False
                self.put(item)
                raise threads.Empty
            return item

    monkeypatch.setattr(threads, "SimpleQueue", Hesitant)
    for number in range(3):
        assert await pool.run(lambda number=number: number) == number  # type: ignore[misc]


async def test_a_thread_is_used_again() -> None:
    pool = threads.Threads(4)
    assert await pool.run(threading.get_ident) == await pool.run(threading.get_ident)


async def test_work_waits_for_a_thread_and_what_is_cancelled_before_is_not_run() -> None:
    pool, release = threads.Threads(1), threading.Event()
    ran: list[str] = []
    first = pool.submit(release.wait)
    skipped = pool.submit(lambda: ran.append("skipped"))
    last = pool.submit(lambda: ran.append("last"))
    skipped.cancel()
    release.set()
    await asyncio.wait([first, last])
    assert ran == ["last"]


async def test_a_thread_whose_work_was_given_up_makes_room_for_another() -> None:
    pool, release = threads.Threads(1), threading.Event()
    loop = asyncio.get_running_loop()
    started: Any = loop.create_future()
    lost = pool.submit(release.wait, started=started)
    waiting = pool.submit(threading.current_thread)
    await started
    lost.cancel()
    thread = threads.result_of(await waiting)
    assert thread is not threading.current_thread()
    again: Any = loop.create_future()
    alone = threads.Threads(1)
    given_up = alone.submit(release.wait, started=again)
    await again
    given_up.cancel()
    await anyio.lowlevel.checkpoint()
    assert await alone.run(lambda: "free") == "free"
    release.set()


async def test_a_result_that_comes_when_its_event_loop_is_closed_is_dropped() -> None:
    pool, release, ended = threads.Threads(1), threading.Event(), threading.Event()

    def late() -> None:
        release.wait()
        ended.set()

    async def leave() -> None:
        started: Any = asyncio.get_running_loop().create_future()
        pool.submit(late, started=started)
        await started

    await anyio.to_thread.run_sync(lambda: asyncio.run(leave()))
    release.set()
    await anyio.to_thread.run_sync(ended.wait)
    assert await pool.run(lambda: "next") == "next"
