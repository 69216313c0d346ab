from __future__ import annotations

import pickle
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.budgets import Refusal, Spent
from llmkit.budgets.limits import Amounts, charges, exceeded, limits_of, nano_dollars, standing

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
LIMITS = limits_of({"minute_tokens": 100, "daily_usd": "0.25", "monthly_usd": None})


@pytest.mark.parametrize("usd", [1, "0.1", 0.1, Decimal("0.1"), "1e-9", 9_000_000])
def test_dollars_are_taken_exactly(usd: Any) -> None:
    (limit,) = limits_of({"daily_usd": usd})
    assert limit.shown(limit.most) == Decimal(str(usd))


@given(st.integers(0, 10**15))
def test_nano_dollars_come_back_as_the_same_dollars(nanos: int) -> None:
    (limit,) = limits_of({"daily_usd": 1})
    assert nano_dollars(Decimal(str(limit.shown(nanos)))) == nanos


def test_what_is_less_than_a_nano_dollar_is_rounded_up_and_never_free() -> None:
    assert nano_dollars(Decimal("0.0000000001")) == 1
    assert nano_dollars(Decimal(0)) == 0


@pytest.mark.parametrize(
    ("name", "amount"),
    [
        ("daily_tokens", 0),
        ("daily_tokens", -1),
        ("daily_tokens", 10**16),
        ("daily_usd", 0),
        ("daily_usd", "-1"),
        ("daily_usd", "1e-10"),
        ("daily_usd", 9_000_001),
        ("daily_usd", "five"),
        ("daily_usd", float("nan")),
        ("daily_usd", "inf"),
    ],
)
def test_an_amount_that_limits_nothing_is_refused(name: str, amount: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name}={amount!r} (must be above 0|is no amount)"):
        limits_of({name: amount})


@pytest.mark.parametrize(
    ("name", "amount"),
    [("daily_tokens", 1.5), ("daily_tokens", True), ("daily_tokens", "9"), ("daily_usd", True), ("daily_usd", [])],
)
def test_an_amount_of_another_type_is_refused(name: str, amount: Any) -> None:
    with pytest.raises(TypeError, match=r"whole number of tokens|no amount of dollars"):
        limits_of({name: amount})


def test_no_limit_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no limit; give one of daily_usd, daily_tokens"):
        limits_of({"daily_usd": None, "daily_tokens": None})


def test_a_call_is_charged_under_each_limit_in_its_window() -> None:
    minute, day = charges(LIMITS, Amounts(tokens=7, nanos=9), scope="all:", now=NOW)
    assert (minute.key, minute.amount, minute.most) == (("all:", "minute_tokens", "2023-11-14T22:13"), 7, 100)
    assert (day.key, day.amount, day.most) == (("all:", "daily_usd", "2023-11-14"), 9, 250_000_000)
    assert minute.ends == 1_700_000_040
    assert datetime.fromtimestamp(day.ends, UTC) == datetime(2023, 11, 15, tzinfo=UTC)


def test_a_call_without_a_price_is_counted_and_not_booked_as_free() -> None:
    found = charges(LIMITS, Amounts(tokens=7, nanos=None), scope="all:", now=NOW)
    assert [(charge.name, charge.amount, charge.most) for charge in found] == [
        ("minute_tokens", 7, 100),
        ("daily_usd", 0, 250_000_000),
        ("daily_usd_unpriced", 1, None),
    ]


def test_figures_beyond_what_ledgers_can_add_up_are_cut() -> None:
    assert charges(LIMITS, Amounts(tokens=10**30, nanos=0), scope="all:", now=NOW)[0].amount == 2**53


def test_how_the_limits_stand() -> None:
    spent = {"minute_tokens": 30, "daily_usd": 125_000_000, "daily_usd_unpriced": 2}
    assert standing(LIMITS, spent, now=NOW) == {
        "minute_tokens": Spent(30, 100, datetime(2023, 11, 14, 22, 14, tzinfo=UTC)),
        "daily_usd": Spent(Decimal("0.125"), Decimal("0.25"), datetime(2023, 11, 15, tzinfo=UTC), unpriced=2),
    }


def test_the_error_says_which_limit_of_whom_and_when_it_resets() -> None:
    day = charges(LIMITS, Amounts(tokens=7, nanos=50_000_000), scope="user:user=alice", now=NOW)[1]
    error = exceeded(Refusal(day, 210_000_000), LIMITS, who={"user": "alice"})
    assert str(error) == (
        "the budget daily_usd of user 'alice' has no room for this call: 0.21 USD of 0.25 USD are spent or set aside, "
        "and the call may need 0.05 USD; it resets at 2023-11-15 00:00 UTC"
    )
    assert (error.name, error.limit, error.spent) == ("daily_usd", Decimal("0.25"), Decimal("0.21"))
    assert (error.expected, error.per) == (Decimal("0.05"), {"user": "alice"})
    assert error.resets_at == datetime(2023, 11, 15, tzinfo=UTC)


def test_the_error_of_a_budget_of_all_names_nobody_and_can_be_pickled() -> None:
    minute = charges(LIMITS, Amounts(tokens=101, nanos=0), scope="all:", now=NOW)[0]
    error = exceeded(Refusal(minute, 0), LIMITS, who={})
    error.add_note("noted")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert str(error) == (
        "the budget minute_tokens has no room for this call: 0 tokens of 100 tokens are spent or set aside, and the "
        "call may need 101 tokens; more than the limit itself, so allow less output"
    )
    assert vars(copy) == vars(error)
