"""Time that passes at once."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from llmkit import runtime
from llmkit.sync import drive
from llmkit.testing import VirtualClock, virtual_time


async def test_a_wait_is_instant_noted_and_moves_both_clocks() -> None:
    with virtual_time(start=100.0) as clock:
        await runtime.current(is_async=True).sleep(30)
        assert (clock.sleeps, clock.monotonic(), clock.time()) == ([30], 30.0, 130.0)


def test_it_replaces_the_time_of_sync_clients_too() -> None:
    with virtual_time() as clock:
        drive(runtime.current(is_async=False).sleep(2))
        assert runtime.current(is_async=False) is clock
    assert clock.sleeps == [2]


def test_real_time_is_back_after_the_block_even_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), virtual_time():
        raise ZeroDivisionError
    assert runtime.current(is_async=True) is runtime.ASYNC


def test_blocks_nest() -> None:
    with virtual_time() as outer:
        with virtual_time() as inner:
            assert runtime.current(is_async=True) is inner
        assert runtime.current(is_async=True) is outer


async def test_tasks_started_inside_share_the_clock() -> None:
    with virtual_time() as clock:
        await asyncio.gather(*(runtime.current(is_async=True).sleep(1) for _ in range(3)))
    assert (clock.sleeps, clock.monotonic()) == ([1, 1, 1], 3.0)


def test_time_can_pass_without_a_wait() -> None:
    clock = VirtualClock(start=0.0)
    clock.advance(60)
    assert (clock.time(), clock.sleeps) == (60.0, [])


async def test_a_negative_wait_does_not_turn_the_clock_back() -> None:
    clock = VirtualClock()
    await clock.sleep(-1)
    assert (clock.monotonic(), clock.sleeps) == (0.0, [-1])


def test_threads_lose_no_time() -> None:
    clock = VirtualClock()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: drive(clock.sleep(1)), range(400)))
    assert (clock.monotonic(), len(clock.sleeps)) == (400.0, 400)


def test_work_is_done_at_once_in_both_kinds_of_client() -> None:
    with virtual_time():
        assert drive(runtime.current(is_async=False).run_blocking(lambda: 3)) == 3
        assert drive(runtime.current(is_async=True).run_blocking(lambda: 4)) == 4


async def test_waiting_for_an_event_passes_its_time_at_once() -> None:
    with virtual_time() as clock:
        event = runtime.current(is_async=True).event()
        assert not await event.wait(30)
        event.set()
        assert await event.wait(30)
        assert await event.wait()
    assert (clock.sleeps, clock.monotonic()) == ([30], 30.0)


async def test_an_event_without_a_timeout_is_really_waited_for() -> None:
    with virtual_time() as clock:
        event = runtime.current(is_async=True).event()
        task = asyncio.create_task(event.wait())
        await asyncio.sleep(0)
        event.set()
        assert await task
    assert clock.sleeps == []


async def test_an_event_set_by_another_thread_is_seen() -> None:
    with virtual_time():
        event = runtime.current(is_async=True).event()
        thread = threading.Thread(target=event.set)
        thread.start()
        assert await event.wait()
        thread.join()


def test_an_event_of_a_sync_client_passes_its_time_too() -> None:
    with virtual_time() as clock:
        event = runtime.current(is_async=False).event()
        assert not drive(event.wait(5))
        event.set()
        assert drive(event.wait(5))
        assert drive(event.wait())
    assert (clock.sleeps, clock.monotonic()) == ([5], 5.0)


async def test_work_is_stopped_at_its_end_in_virtual_time() -> None:
    with virtual_time() as clock:
        now = runtime.current(is_async=True)
        with pytest.raises(runtime.OutOfTime):
            await now.within(5, lambda: now.sleep(30))
        assert (clock.monotonic(), clock.sleeps) == (5, [30])
        with pytest.raises(runtime.OutOfTime):
            await now.within(5, lambda: now.event().wait(30))
        assert clock.monotonic() == 10
        await now.within(5, lambda: now.sleep(4))
        await now.sleep(30)
        assert clock.monotonic() == 44


async def test_a_task_that_outlives_the_work_it_was_started_in_is_not_stopped() -> None:
    with virtual_time() as clock:
        go_on = asyncio.Event()

        async def later() -> None:
            await go_on.wait()
            await clock.sleep(30)

        async def start() -> asyncio.Task[None]:
            return asyncio.create_task(later())

        task = await clock.within(5, start)
        go_on.set()
        await task
    assert clock.monotonic() == 30


def test_the_end_of_virtual_time_is_none_of_real_time() -> None:
    with virtual_time() as clock:

        async def really() -> bool:
            return await runtime.SYNC.event().wait(0)

        assert not drive(clock.within(5, really))
