"""What every ledger does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from budgets.ledgers import ENDS, KINDS, NOW, charge, opened

from llmkit.budgets import Ledger, Refusal

TOKENS = charge(60)
DOLLARS = charge(7, name="daily_usd", most=10)


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Callable[[], Ledger]]:
    with opened(request.param, redis_url) as ledgers:
        yield ledgers


def test_charges_add_up_until_one_does_not_fit(make: Callable[[], Ledger]) -> None:
    ledger, other = make(), make()
    assert ledger.spent([TOKENS]) == [0]
    assert ledger.reserve([TOKENS], now=NOW) is None
    assert other.reserve([charge(41)], now=NOW) == Refusal(charge(41), 60)
    assert other.reserve([charge(40)], now=NOW) is None
    assert ledger.reserve([charge(0)], now=NOW) is None
    assert ledger.reserve([charge(1)], now=NOW) == Refusal(charge(1), 100)
    assert ledger.spent([TOKENS]) == [100]


def test_all_charges_of_a_call_are_booked_or_none(make: Callable[[], Ledger]) -> None:
    ledger = make()
    assert ledger.reserve([TOKENS, DOLLARS], now=NOW) is None
    assert ledger.reserve([charge(10), DOLLARS], now=NOW) == Refusal(DOLLARS, 7)
    assert ledger.spent([TOKENS, DOLLARS, charge(0, scope="user:")]) == [60, 7, 0]


def test_scopes_and_windows_do_not_mix(make: Callable[[], Ledger]) -> None:
    ledger = make()
    for scope in ("user:user=alice", "user:user=bob", "user:", "all:"):
        assert ledger.reserve([charge(60, scope=scope)], now=NOW) is None
    assert ledger.spent([charge(0, scope="user:user=bob"), charge(0, scope="all:")]) == [60, 60]


def test_settling_fits_always_and_takes_back_no_more_than_there_is(make: Callable[[], Ledger]) -> None:
    ledger = make()
    ledger.settle([charge(150), charge(3, scope="all:")], once="a", now=NOW)
    assert ledger.spent([charge(0)]) == [150]
    assert ledger.reserve([charge(1)], now=NOW) == Refusal(charge(1), 150)
    ledger.settle([charge(-149)], once="b", now=NOW)
    assert ledger.spent([charge(0)]) == [1]
    ledger.settle([charge(-5), charge(-2, scope="all:")], once="c", now=NOW)
    assert ledger.spent([charge(0), charge(0, scope="all:")][:1]) == [0]
    assert ledger.spent([charge(0, scope="all:")]) == [1]


def test_a_call_settles_in_the_window_where_it_began_for_an_hour(make: Callable[[], Ledger]) -> None:
    ledger = make()
    assert ledger.reserve([TOKENS], now=NOW) is None
    ledger.settle([charge(-10)], once="a", now=ENDS + 3599)
    assert ledger.spent([TOKENS]) == [50]
    ledger.settle([charge(-10)], once="b", now=ENDS + 3600)
    assert ledger.spent([TOKENS]) == [50]
    ledger.settle([], once="c", now=ENDS)


def test_figures_are_exact_up_to_the_largest_limit(make: Callable[[], Ledger]) -> None:
    ledger, most = make(), 9 * 10**15
    assert ledger.reserve([charge(most - 1, most=most)], now=NOW) is None
    assert ledger.reserve([charge(2, most=most)], now=NOW) == Refusal(charge(2, most=most), most - 1)
    assert ledger.reserve([charge(1, most=most)], now=NOW) is None
    assert ledger.reserve([charge(2**53, most=most)], now=NOW) == Refusal(charge(2**53, most=most), most)


def test_threads_never_reserve_more_than_there_is(make: Callable[[], Ledger]) -> None:
    ledgers = [make(), make()]
    start = threading.Barrier(8)

    def spend(number: int) -> int:
        start.wait()
        return sum(ledgers[number % 2].reserve([charge(1)], now=NOW) is None for _ in range(25))

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(spend, range(8))) == 100
    assert ledgers[0].spent([TOKENS]) == [100]
