from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import anyio
import pytest

from llmkit import runtime
from llmkit.sync import drive

BOTH_LOOPS = pytest.mark.parametrize(
    "anyio_backend",
    ["asyncio", pytest.param("trio", marks=pytest.mark.skipif(find_spec("trio") is None, reason="no trio"))],
)


async def forever() -> str:
    await anyio.sleep_forever()
    return "never"


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


@BOTH_LOOPS
async def test_an_event_that_is_set_before_it_is_waited_for_does_not_wait() -> None:
    event = runtime.ASYNC.event()
    assert not await event.wait(0)
    event.set()
    event.set()
    assert await event.wait()
    assert await event.wait(0)


@BOTH_LOOPS
async def test_an_event_wakes_a_task_of_its_loop() -> None:
    event = runtime.ASYNC.event()
    woken: list[bool] = []

    async def wait() -> None:
        woken.append(await event.wait(60))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        event.set()
    assert woken == [True, True]


@BOTH_LOOPS
async def test_an_event_is_set_by_another_thread() -> None:
    event = runtime.ASYNC.event()
    thread = threading.Thread(target=event.set)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(event.wait, 60)
        await anyio.wait_all_tasks_blocked()
        thread.start()
    assert await event.wait(60)
    thread.join()


@BOTH_LOOPS
async def test_waiting_for_an_event_ends_with_its_time() -> None:
    event = runtime.ASYNC.event()
    assert not await event.wait(0.01)
    with pytest.raises(TimeoutError), anyio.fail_after(0.01):
        await event.wait()


@pytest.mark.parametrize(
    "backend", ["asyncio", pytest.param("trio", marks=pytest.mark.skipif(find_spec("trio") is None, reason="no trio"))]
)
def test_setting_an_event_of_a_loop_that_has_ended_does_nothing(backend: str) -> None:
    async def make() -> runtime.Event:
        return runtime.ASYNC.event()

    event = anyio.run(make, backend=backend)
    thread = threading.Thread(target=event.set)
    thread.start()
    thread.join()
    event.set()


async def test_setting_an_event_whose_task_hangs_in_a_closed_loop_of_this_thread_does_nothing() -> None:
    async def wait() -> tuple[runtime.Event, asyncio.Task[bool]]:
        event = runtime.ASYNC.event()
        task = asyncio.create_task(event.wait())
        await asyncio.sleep(0)
        return event, task

    def in_a_loop_of_its_own() -> None:
        loop = asyncio.new_event_loop()
        event, task = loop.run_until_complete(wait())
        loop.close()
        event.set()
        assert not task.done()
        task._log_destroy_pending = False  # type: ignore[attr-defined]

    await asyncio.to_thread(in_a_loop_of_its_own)


def test_an_event_of_a_sync_client_is_set_before_by_another_thread_or_never() -> None:
    event = runtime.SYNC.event()
    assert not drive(event.wait(0))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: drive(event.wait(60)))
        event.set()
        assert waiting.result()
    assert drive(event.wait())


# --- stopping work after a time


async def quick() -> str:
    return "done"


@BOTH_LOOPS
async def test_work_that_is_done_in_time_is_left_alone() -> None:
    assert await runtime.ASYNC.within(60, quick) == "done"
    assert await runtime.SYNC.within(60, quick) == "done"


@BOTH_LOOPS
async def test_work_that_takes_too_long_is_cancelled() -> None:
    with pytest.raises(runtime.OutOfTime):
        await runtime.ASYNC.within(0.01, forever)


@BOTH_LOOPS
async def test_the_nearer_of_two_ends_holds() -> None:
    ended: list[str] = []

    async def inner() -> str:
        try:
            return await runtime.ASYNC.within(60, forever)
        except runtime.OutOfTime:  # what must not be
            return "inner"
        finally:
            ended.append("inner")

    with pytest.raises(runtime.OutOfTime):
        await runtime.ASYNC.within(0.01, inner)
    assert ended == ["inner"]


@BOTH_LOOPS
async def test_a_users_own_deadline_is_no_end_of_ours() -> None:
    with pytest.raises(TimeoutError), anyio.fail_after(0.01):
        await runtime.ASYNC.within(60, forever)


async def test_a_cancelled_task_is_cancelled() -> None:
    started = asyncio.Event()

    async def work() -> str:
        started.set()
        return await forever()

    task = asyncio.create_task(runtime.ASYNC.within(60, work))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_of_the_work_is_its_own() -> None:
    async def fails() -> str:
        raise TimeoutError("mine")

    for each in (runtime.ASYNC, runtime.SYNC):
        with pytest.raises(TimeoutError, match="mine"):
            await each.within(60, fails)


def stopped(wait: Any, seconds: float = 0.01) -> None:
    with pytest.raises(runtime.OutOfTime):
        drive(runtime.SYNC.within(seconds, wait))


def test_a_sync_client_stops_where_it_sleeps() -> None:
    stopped(lambda: runtime.SYNC.sleep(60))
    drive(runtime.SYNC.within(60, lambda: runtime.SYNC.sleep(0.001)))
    drive(runtime.SYNC.sleep(0.001))


def test_a_sync_client_stops_where_it_waits_for_an_event() -> None:
    event = runtime.SYNC.event()
    stopped(event.wait)
    stopped(lambda: event.wait(60))
    assert not drive(runtime.SYNC.within(60, lambda: event.wait(0.001)))
    event.set()
    assert drive(runtime.SYNC.within(60, event.wait))


def test_the_nearer_of_two_ends_holds_in_a_sync_client() -> None:
    ended: list[str] = []

    async def inner() -> None:
        try:
            await runtime.SYNC.within(60, lambda: runtime.SYNC.sleep(30))
        except runtime.OutOfTime:  # what must not be
            ended.append("inner")

    stopped(inner)

    async def outer() -> None:
        with pytest.raises(runtime.OutOfTime):
            await runtime.SYNC.within(0.01, lambda: runtime.SYNC.sleep(30))
        ended.append("outer went on")

    drive(runtime.SYNC.within(60, outer))
    assert ended == ["outer went on"]


def test_work_that_does_not_wait_is_not_stopped_in_a_sync_client() -> None:
    assert drive(runtime.SYNC.within(0.0, quick)) == "done"
