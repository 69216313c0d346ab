from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from llmkit import runtime
from llmkit.keys.key import InvalidKeys, Key
from llmkit.keys.sources import Function
from llmkit.keys.supply import Supply
from llmkit.runtime import Runtime
from llmkit.sync import drive
from llmkit.testing import virtual_time

A, B = Key("sk-a"), Key("sk-b")


class Scripted:
    """A source that gives, or raises, what a test has queued; then nothing new."""

    name = "the script"
    is_async = False

    def __init__(self, *outcomes: Any, every: float = 30.0, blocks: bool = False) -> None:
        self.outcomes = list(outcomes)
        self.every = every
        self.blocks = blocks
        self.reads = 0
        self.threads: list[int] = []

    def read(self) -> Sequence[Key] | None:
        self.reads += 1
        self.threads.append(threading.get_ident())
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def supply_of(source: Any) -> tuple[Supply, list[Sequence[Key]]]:
    used: list[Sequence[Key]] = []
    return Supply(source, used.append), used


async def test_a_source_is_asked_again_when_it_is_time_and_not_before() -> None:
    source = Scripted([A], [B])
    supply, used = supply_of(source)
    with virtual_time() as clock:
        for seconds in (0, 29.9, 0.2):
            clock.advance(seconds)
            await supply.look(clock)
    assert used == [[A], [B]]
    assert source.reads == 2


async def test_loading_asks_at_once_and_the_first_call_looks_again() -> None:
    source = Scripted([A], None)
    supply, used = supply_of(source)
    supply.load()
    await supply.look(runtime.ASYNC)
    await supply.look(runtime.ASYNC)
    assert (used, source.reads) == ([[A]], 2)
    broken, _ = supply_of(Scripted(InvalidKeys("no keys")))
    with pytest.raises(InvalidKeys, match="no keys"):
        broken.load()


async def test_after_a_key_was_parked_the_next_look_asks_whatever_the_time() -> None:
    source = Scripted([A], [B])
    supply, used = supply_of(source)
    with virtual_time() as clock:
        await supply.look(clock)
        supply.hurry()
        await supply.look(clock)
        await supply.look(clock)
    assert used == [[A], [B]]
    assert source.reads == 2


async def test_with_no_key_left_the_source_is_asked_once_a_second() -> None:
    source = Scripted([A])
    supply, _ = supply_of(source)
    with virtual_time() as clock:
        await supply.look(clock)
        for _ in range(12):
            clock.advance(0.25)
            await supply.look(clock, needed=True)
    assert source.reads == 1 + 3


async def test_a_source_that_fails_leaves_the_last_keys_and_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    bad = InvalidKeys("line 2 of the file is blank")
    source = Scripted([A], bad, OSError("sk-canary"), [B], RuntimeError("sk-canary"), every=0)
    supply, used = supply_of(source)
    with caplog.at_level(logging.WARNING):
        for _ in range(6):
            await supply.look(runtime.ASYNC)
    assert used == [[A], [B]]
    assert [record.getMessage() for record in caplog.records] == [
        "KeyRing goes on with its last keys: the script gives no others: line 2 of the file is blank",
        "KeyRing goes on with its last keys: the script gives no others: RuntimeError",
    ]


async def test_a_source_that_never_gave_keys_raises_and_is_left_alone_for_a_second() -> None:
    source = Scripted(RuntimeError("no vault"), [A])
    supply, used = supply_of(source)
    with virtual_time() as clock:
        with pytest.raises(RuntimeError, match="no vault"):
            await supply.look(clock)
        await supply.look(clock, needed=True)
        assert source.reads == 1
        clock.advance(1)
        await supply.look(clock)
    assert used == [[A]]


class Slow:
    """An async function that gives its keys when the test says so."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.calls = 0

    async def __call__(self) -> list[str]:
        self.calls += 1
        await self.go.wait()
        return ["sk-a"]


async def test_the_first_calls_wait_for_the_one_that_asks() -> None:
    slow = Slow()
    supply, used = supply_of(Function(slow, every=0))
    calls = [asyncio.create_task(supply.look(runtime.ASYNC)) for _ in range(20)]
    await asyncio.sleep(0)
    assert not any(call.done() for call in calls)
    slow.go.set()
    await asyncio.gather(*calls)
    assert slow.calls == 1
    assert used == [(A,)]


async def test_while_one_call_asks_those_that_have_a_key_go_on() -> None:
    slow = Slow()
    supply, _ = supply_of(Function(slow, every=0))
    slow.go.set()
    await supply.look(runtime.ASYNC)
    slow.go.clear()
    asking = asyncio.create_task(supply.look(runtime.ASYNC))
    await asyncio.sleep(0)
    await supply.look(runtime.ASYNC)
    needy = asyncio.create_task(supply.look(runtime.ASYNC, needed=True))
    await asyncio.sleep(0)
    assert not asking.done()
    assert not needy.done()
    slow.go.set()
    await asyncio.gather(asking, needy)
    assert slow.calls == 2


async def test_when_the_call_that_asks_is_cancelled_one_of_those_that_wait_asks() -> None:
    slow = Slow()
    supply, used = supply_of(Function(slow, every=30))
    asking, *waiting = [asyncio.create_task(supply.look(runtime.ASYNC)) for _ in range(20)]
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    await asyncio.sleep(0)
    assert not any(call.done() for call in waiting)
    slow.go.set()
    await asyncio.gather(*waiting)
    assert slow.calls == 2
    assert used == [(A,)]


async def test_blocking_sources_are_read_in_a_thread_and_others_where_they_are() -> None:
    blocking, quick = Scripted([A], blocks=True), Scripted([A])
    for source in (blocking, quick):
        await supply_of(source)[0].look(runtime.ASYNC)
    assert blocking.threads != [threading.get_ident()]
    assert quick.threads == [threading.get_ident()]


def test_a_sync_client_reads_in_its_own_thread() -> None:
    source = Scripted([A], blocks=True)
    supply, used = supply_of(source)
    drive(supply.look(runtime.SYNC))
    assert source.threads == [threading.get_ident()]
    assert used == [[A]]


def test_threads_wait_for_the_one_that_asks() -> None:
    entered, go = threading.Event(), threading.Event()

    def slow() -> str:
        entered.set()
        assert go.wait(10)
        return "sk-a"

    supply, used = supply_of(Function(slow, every=30))

    def look(clock: Runtime = runtime.SYNC) -> None:
        drive(supply.look(clock))

    threads = [threading.Thread(target=look) for _ in range(4)]
    threads[0].start()
    assert entered.wait(10)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join(10)
    assert used == [(A,)]
