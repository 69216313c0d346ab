from __future__ import annotations

import asyncio
import threading
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_loop import run

from llmkit import runtime
from llmkit.limits import Amount, Limits, MemoryBackend, Ticket
from llmkit.limits.gate import Gate
from llmkit.sync import drive

FAST = Limits(tokens_per_minute=24_000, burst_seconds=1)  # 400 a second


def ticket(tokens: float = 10, *, limits: Limits = FAST, is_async: bool = True, bucket: str = "a") -> Ticket:
    return Ticket(bucket=bucket, limits=limits, need=Amount(1, tokens), runtime=runtime.current(is_async=is_async))


class Calls:
    """Calls through a gate, and when each of them went."""

    def __init__(self, *, limits: Limits = FAST, max_concurrency: float = inf) -> None:
        self.backend = MemoryBackend()
        self.gate = Gate(self.backend, max_concurrency=max_concurrency)
        self.limits = limits
        self.went: list[tuple[float, Any]] = []

    async def call(self, name: Any, tokens: float = 10, *, patience: float = inf, lasts: float = 0) -> None:
        mine = ticket(tokens, limits=self.limits)
        if not await self.gate.enter(mine, patience=patience):
            self.went.append((mine.runtime.monotonic(), f"not {name}"))
            return
        self.went.append((mine.runtime.monotonic(), name))
        await asyncio.sleep(lasts)
        self.gate.leave(mine)

    def start(self, *names: Any, tokens: float = 10, **options: Any) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.call(name, tokens, **options)) for name in names]

    @property
    def order(self) -> list[Any]:
        return [name for _, name in self.went]


def test_two_hundred_tasks_take_exactly_the_ideal_time_in_order() -> None:
    async def work() -> None:
        calls = Calls()
        await asyncio.gather(*calls.start(*range(200)))
        assert calls.order == list(range(200))
        for number, (went, _) in enumerate(calls.went):
            assert went == pytest.approx(max(0.0, (number - 39) * 10 / 400), abs=1e-5)
        assert calls.gate._queues == {}

    run(work())


def test_a_large_call_amid_small_ones_keeps_its_place() -> None:
    async def work() -> None:
        calls = Calls()
        tasks = calls.start(*range(100), tokens=5)
        tasks += calls.start("large", tokens=300)
        tasks += calls.start(*range(100, 150), tokens=5)
        await asyncio.gather(*tasks)
        assert calls.order == [*range(100), "large", *range(100, 150)]
        assert calls.went[100][0] == pytest.approx(1.0, abs=1e-5)  # 500 + 300 in all, of which 400 were there

    run(work())


def test_a_call_larger_than_the_bucket_goes_alone_when_it_has_been_saved_up() -> None:
    async def work() -> None:
        calls = Calls()
        tasks = calls.start("huge", tokens=1_200) + calls.start("small", tokens=40)
        await asyncio.gather(*tasks)
        assert calls.went == [(pytest.approx(2.0, abs=1e-5), "huge"), (pytest.approx(2.1, abs=1e-5), "small")]

    run(work())


@pytest.mark.parametrize("every", [slice(0, 100), slice(100, 200), slice(0, None, 2), slice(1, None, 2)])
def test_when_half_are_cancelled_the_others_take_the_time_of_half(every: slice) -> None:
    async def work() -> None:
        calls = Calls(limits=Limits(tokens_per_minute=24_000, burst_seconds=0.25))
        await calls.call("first", 100)  # the bucket is empty
        tasks = calls.start(*range(200))
        await asyncio.sleep(0)
        for task in tasks[every]:
            task.cancel()
        await asyncio.wait(tasks)
        left = [number for number in range(200) if number not in range(200)[every]]
        assert calls.order == ["first", *left]
        assert calls.went[-1][0] == pytest.approx(100 * 10 / 400, abs=1e-5)
        assert calls.gate._queues == {}

    run(work())


def test_what_is_given_back_lets_the_first_go_at_once() -> None:
    async def work() -> None:
        calls = Calls()
        done = ticket(400)
        await calls.gate.enter(done)
        waiting = calls.start("next", tokens=400)
        await asyncio.sleep(0.25)
        calls.backend.settle(done, Amount(0, 200))
        calls.gate.stir(done)
        await asyncio.sleep(0)
        calls.backend.settle(done, Amount(0, 100))
        calls.gate.leave(done)
        await asyncio.gather(*waiting)
        assert calls.went == [(0.25, "next")]

    run(work())


def test_who_runs_out_of_patience_takes_nothing_and_makes_way() -> None:
    async def work() -> None:
        calls = Calls()
        await calls.call("first", 400)
        tasks = calls.start("large", tokens=400, patience=0.25)
        tasks += calls.start("behind", tokens=100, patience=0.125)
        tasks += calls.start("small", tokens=160, patience=5)
        await asyncio.gather(*tasks)
        await calls.call("no", patience=0)
        assert calls.order == ["first", "not behind", "not large", "small", "not no"]
        assert [went for went, _ in calls.went] == [0, 0.125, 0.25, pytest.approx(0.4), pytest.approx(0.4)]
        assert calls.gate._queues == {}

    run(work())


def test_no_more_than_the_cap_run_at_a_time_and_the_next_goes_when_one_is_over() -> None:
    async def work() -> None:
        calls = Calls(limits=Limits(), max_concurrency=2)
        await asyncio.gather(*calls.start(*range(6), lasts=1))
        assert calls.went == [(0, 0), (0, 1), (1, 2), (1, 3), (2, 4), (2, 5)]
        assert calls.gate._queues == {}

    run(work())


def test_a_call_that_waits_for_its_turn_to_run_takes_its_part_only_then() -> None:
    async def work() -> None:
        calls = Calls(max_concurrency=1)
        await asyncio.gather(*calls.start("long", tokens=400, lasts=10), *calls.start("next", "last", tokens=400))
        assert calls.went == [(0, "long"), (10, "next"), (pytest.approx(11), "last")]

    run(work())


def test_buckets_do_not_wait_for_each_other() -> None:
    async def work() -> None:
        calls = Calls()
        await calls.call("first", 400)
        waiting = calls.start("next")
        await asyncio.sleep(0)
        other = ticket(400, bucket="b")
        assert await calls.gate.enter(other)
        calls.gate.leave(other)
        calls.gate.stir(other)
        assert calls.order == ["first"]
        await asyncio.gather(*waiting)

    run(work())


def test_a_backend_that_fails_fails_the_call_and_not_those_behind_it() -> None:
    class Failing(MemoryBackend):
        async def ask(self, ticket: Ticket) -> float:
            await asyncio.sleep(0)
            if ticket.need.tokens == 13:
                raise OSError
            return await super().ask(ticket)

    async def work() -> None:
        calls = Calls()
        calls.gate = Gate(Failing())
        broken = calls.start("broken", tokens=13)
        await asyncio.gather(*calls.start("next"))
        with pytest.raises(OSError):
            await broken[0]
        assert calls.order == ["next"]
        assert calls.gate._queues == {}

    run(work())


def test_something_given_back_while_the_backend_is_asked_is_not_missed() -> None:
    class Slow(MemoryBackend):
        async def ask(self, ticket: Ticket) -> float:
            wait = await super().ask(ticket)
            await asyncio.sleep(0.001)
            return wait

    async def work() -> None:
        calls = Calls()
        calls.backend = Slow()
        calls.gate = Gate(calls.backend)
        done = ticket(400)
        await calls.gate.enter(done)
        waiting = calls.start("next", tokens=400)
        await asyncio.sleep(0)  # it is asking
        calls.backend.settle(done, Amount(0, 400))
        calls.gate.leave(done)
        await asyncio.gather(*waiting)
        assert calls.went[0][0] < 0.01

    run(work())


def test_threads_and_event_loops_wait_in_one_queue() -> None:
    gate, order, running = Gate(MemoryBackend(), max_concurrency=1), list[int](), list[int]()
    most: list[int] = []

    async def call(number: int, *, is_async: bool) -> None:
        mine = ticket(limits=Limits(), is_async=is_async)
        assert await gate.enter(mine)
        order.append(number)
        running.append(number)
        most.append(len(running))
        if is_async:
            await asyncio.sleep(0)
        running.pop()
        gate.leave(mine)

    def begin(number: int) -> threading.Thread:
        if number % 2:
            return threading.Thread(target=lambda: drive(call(number, is_async=False)))
        return threading.Thread(target=lambda: asyncio.run(call(number, is_async=True)))

    holder = ticket(limits=Limits(), is_async=False)
    drive(gate.enter(holder))
    threads = [begin(number) for number in range(20)]
    for number, thread in enumerate(threads):
        thread.start()
        while len(gate._queues["a"].places) <= number:
            pass
    gate.leave(holder)
    for thread in threads:
        thread.join()
    assert order == list(range(20))
    assert set(most) == {1}
    assert gate._queues == {}


CALLS = st.tuples(
    st.integers(0, 20), st.integers(0, 120), st.one_of(st.none(), st.integers(0, 30)), st.integers(0, 100)
)


@given(st.lists(CALLS, max_size=30), st.sampled_from([1, 2, 100]))
def test_whatever_is_cancelled_or_given_back_calls_go_in_order_and_nothing_stays_behind(
    plan: list[tuple[int, int, int | None, int]], cap: int
) -> None:
    limits = Limits(tokens_per_minute=6_000, burst_seconds=1)  # 100 a second

    async def one(calls: Calls, number: int, tokens: int, patience: int | None, used: int) -> None:
        mine = ticket(tokens, limits=limits)
        if not await calls.gate.enter(mine, patience=inf if patience is None else patience / 10 + 0.05):
            return
        calls.went.append((mine.runtime.monotonic(), number))
        try:
            await asyncio.sleep(0.3)
        finally:
            calls.backend.settle(mine, Amount(0, max(0, tokens - used)))
            calls.gate.leave(mine)

    async def work() -> None:
        calls = Calls(limits=limits, max_concurrency=cap)
        tasks, back = [], 0
        for number, (later, tokens, patience, used) in enumerate(plan):
            await asyncio.sleep(later / 10)
            tasks.append(asyncio.create_task(one(calls, number, tokens, patience, used)))
            if used % 7 == 0:
                asyncio.get_running_loop().call_later(used / 50, tasks[-1].cancel)
            back += max(0, tokens - used)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert calls.order == sorted(calls.order)
        if calls.went:
            total = sum(plan[number][1] for number in calls.order)
            largest = max(plan[number][1] for number in calls.order)
            seconds = calls.went[-1][0] - calls.went[0][0]
            assert total <= max(100, largest) + 100 * seconds + back + 1e-3
        assert calls.gate._queues == {}

    run(work())
