from __future__ import annotations

from decimal import Decimal

import pytest
from usage.report.pages import NOON

from llmkit.usage.report import wording


@pytest.mark.parametrize(
    ("amount", "digits", "shown"),
    [
        ("0", 2, "$0.00"),
        ("0.004", 2, "<$0.01"),
        ("0.01", 2, "$0.01"),
        ("1234.5", 2, "$1,234.50"),
        ("0.00004", 4, "<$0.0001"),
        ("0.01234", 4, "$0.0123"),
    ],
)
def test_money(amount: str, digits: int, shown: str) -> None:
    assert wording.money(Decimal(amount), digits=digits) == shown


def test_money_that_is_not_known_is_unknown() -> None:
    assert wording.money(None) == "unknown"


def test_small_sums_have_more_digits() -> None:
    assert wording.digits_for(Decimal("4.99")) == 4
    assert wording.digits_for(Decimal(5)) == 2


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"),
        (0.025, "0.025"),
        (7.5, "7.5"),
        (950, "950"),
        (999.4, "999"),
        (1_000, "1.00k"),
        (9_994, "9.99k"),
        (12_345, "12.3k"),
        (999_600, "1.00M"),
        (4_560_000, "4.56M"),
        (123_456_789_000, "123B"),
        (5e12, "5.00T"),
    ],
)
def test_numbers_to_three_figures(number: float, shown: str) -> None:
    assert wording.short(number) == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(0, "0"), (0.5, "0.5"), (250, "250"), (1_000, "1k"), (2_500_000, "2.5M"), (1e-6, "0.000001")]
)
def test_marks_of_an_axis(number: float, shown: str) -> None:
    assert wording.mark(number) == shown


@pytest.mark.parametrize(
    ("duration", "shown"),
    [
        (None, "unknown"),
        (0.0004, "0 ms"),
        (0.43, "430 ms"),
        (0.9996, "1.00 s"),
        (12.34, "12.3 s"),
        (119.4, "119 s"),
        (125.2, "2 m 05 s"),
        (3_600, "60 m 00 s"),
    ],
)
def test_durations(duration: float | None, shown: str) -> None:
    assert wording.seconds(duration) == shown


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (None, "unknown"),
        (0, "0%"),
        (0.0001, "<0.1%"),
        (0.123, "12.3%"),
        (0.5, "50.0%"),
        (0.9999, ">99.9%"),
        (1, "100%"),
    ],
)
def test_shares(part: float | None, shown: str) -> None:
    assert wording.share(part) == shown


def test_times_are_utc() -> None:
    assert wording.day(NOON) == "21 Nov 2026"
    assert wording.moment(NOON) == "21 Nov 2026, 12:00"
    assert wording.short_day(NOON) == "21 Nov"
    assert wording.month(NOON) == "Nov '26"
    assert wording.hour(NOON + 300) == "12:05"


def test_one_and_many() -> None:
    assert wording.times(1, "call") == "1 call"
    assert wording.times(1_200, "call") == "1,200 calls"


def test_a_long_name_keeps_its_ends() -> None:
    assert wording.cut("gpt-4o") == "gpt-4o"
    assert wording.cut("a" * 30 + "b" * 30, 9) == "aaaaa\N{HORIZONTAL ELLIPSIS}bbb"
