from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from budgets.ledgers import ENDS, KINDS, NOW, Remote, charge, opened
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.budgets import MemoryLedger, Refusal
from llmkit.budgets.books import Books, back
from llmkit.runtime import ASYNC, SYNC
from llmkit.sync import drive
from llmkit.testing import virtual_time


def reserve(books: Books, amount: int) -> Refusal | None:
    return drive(books.reserve([charge(amount)], now=NOW, runtime=SYNC))


def spent(books: Books) -> int:
    return books.spent([charge(0)], now=NOW)["minute_tokens"]


def test_in_memory_all_is_booked_at_once() -> None:
    ledger = MemoryLedger()
    books = Books(ledger)
    assert reserve(books, 60) is None
    assert reserve(books, 41) == Refusal(charge(41), 60)
    books.note([*back([charge(60)]), charge(45)], now=NOW)
    assert ledger.spent([charge(0)]) == [45]
    drive(books.write_soon(runtime=SYNC))


def test_elsewhere_what_is_noted_is_written_with_the_next_command() -> None:
    ledger = Remote()
    books = Books(ledger)
    assert reserve(books, 60) is None
    books.note([*back([charge(60)]), charge(45)], now=NOW)
    books.note([*back([charge(10)]), charge(10)], now=NOW)
    assert ledger.settled == []
    assert reserve(books, 55) is None
    assert [amounts for _, amounts in ledger.settled] == [[-15]]
    assert spent(books) == 100


def test_what_was_noted_can_be_written_at_once() -> None:
    ledger = Remote()
    books = Books(ledger)
    with virtual_time(start=NOW) as clock:
        drive(books.write_soon(runtime=clock))
        books.note([charge(45)], now=NOW)
        drive(books.write_soon(runtime=clock))
    assert [amounts for _, amounts in ledger.settled] == [[45]]


def test_what_could_not_be_written_is_kept_and_written_once() -> None:
    ledger = Remote()
    books = Books(ledger)
    with virtual_time(start=NOW) as clock:
        ledger.fails = True
        books.note([charge(45)], now=NOW)
        drive(books.write_soon(runtime=clock))
        books.note([charge(5)], now=NOW)
        drive(books.write_soon(runtime=clock))
        ledger.fails, ledger.fails_late = False, True
        drive(books.write_soon(runtime=clock))
        drive(books.write_soon(runtime=clock))
        ledger.fails_late = False
        drive(books.write_soon(runtime=clock))
    assert [amounts for _, amounts in ledger.settled] == [[45], [5]]
    assert spent(books) == 50


def test_a_failing_ledger_raises_its_own_error_where_it_is_asked() -> None:
    ledger = Remote()
    books = Books(ledger)
    ledger.fails = True
    with pytest.raises(OSError, match="no route to host"):
        reserve(books, 1)
    with pytest.raises(OSError, match="no route to host"):
        spent(books)
    ledger.fails = False
    assert spent(books) == 0


def test_the_end_of_the_process_writes_what_is_left_and_reports_what_cannot_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ledger = Remote()
    books = Books(ledger)
    with virtual_time(start=NOW):
        books.note([charge(45)], now=NOW)
        ledger.fails = True
        books.close()
        assert caplog.messages == ["what calls have used could not be written to a ledger: OSError"]
        ledger.fails = False
        books.close()
    assert spent(books) == 45


async def test_a_call_cancelled_while_its_thread_reserves_gives_back_what_the_thread_then_gets() -> None:
    ledger = Remote()
    books = Books(ledger)
    ledger.gate.clear()
    call = asyncio.create_task(books.reserve([charge(60)], now=NOW, runtime=ASYNC))
    await asyncio.to_thread(ledger.reached.wait)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    ledger.gate.set()
    while not ledger.settled:
        await asyncio.sleep(0.001)
    assert await asyncio.to_thread(spent, books) == 0
    assert [amounts for _, amounts in ledger.settled] == [[-60]]


async def test_a_refusal_of_a_cancelled_call_gives_nothing_back() -> None:
    ledger = Remote()
    books = Books(ledger)
    assert ledger.reserve([charge(100)], now=NOW) is None
    ledger.reached.clear()
    ledger.gate.clear()
    call = asyncio.create_task(books.reserve([charge(60)], now=NOW, runtime=ASYNC))
    await asyncio.to_thread(ledger.reached.wait)
    call.cancel()
    await asyncio.wait([call])
    ledger.gate.set()
    assert await asyncio.to_thread(spent, books) == 100


async def test_a_call_cancelled_when_its_thread_has_reserved_gives_it_back() -> None:
    books = Books(Remote())

    class Late:
        """The thread is done, and the cancellation comes before the task has heard of it."""

        async def run_blocking(self, work: Callable[[], object]) -> object:
            work()
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await books.reserve([charge(60)], now=NOW, runtime=Late())  # type: ignore[arg-type]
    assert await asyncio.to_thread(spent, books) == 0


async def test_a_write_that_is_cancelled_is_done_all_the_same() -> None:
    ledger = Remote()
    books = Books(ledger)
    books.note([charge(45, ends=ENDS + 10**10)], now=NOW)
    ledger.gate.clear()
    call = asyncio.create_task(books.write_soon(runtime=ASYNC))
    await asyncio.to_thread(ledger.reached.wait)
    call.cancel()
    await asyncio.wait([call])
    ledger.gate.set()
    while not ledger.settled:
        await asyncio.sleep(0.001)
    assert await asyncio.to_thread(spent, books) == 45


CALLS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 90), st.integers(0, 5)), max_size=12)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None)
@given(calls=CALLS)
def test_whatever_order_calls_come_and_go_in_the_sum_is_what_they_used(
    kind: str, redis_url: str, calls: list[tuple[int, int, int]]
) -> None:
    """Each call reserves, and settles when `stay` more calls have come."""
    running: list[tuple[int, int, int]] = []
    booked = 0
    with opened(kind, redis_url) as make:
        books = [Books(make()), Books(make())]
        for number, (expected, used, stay) in enumerate(calls):
            at = books[number % 2]
            fits = booked + sum(one for _, one, _ in running) + expected <= 100
            assert (reserve(at, expected) is None) == fits
            if fits:
                running.append((number + stay, expected, used))
            for over in [call for call in running if call[0] <= number]:
                running.remove(over)
                booked += over[2]
                at.note([*back([charge(over[1])]), charge(over[2])], now=NOW)
                at.write(now=NOW)
        assert spent(books[0]) == booked + sum(one for _, one, _ in running)
