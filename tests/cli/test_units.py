from __future__ import annotations

from decimal import Decimal

import pytest

from llmkit.cli import units


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("2h", 7_200), ("7d", 604_800), ("1.5h", 5_400)]
)
def test_a_duration_is_a_number_with_its_unit(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "90", "0s", "0.0h", "-1h", "2w", "1h30m", " 1h", "1H", "nan", "٣h0", "9" * 400 + "d"]
)
def test_what_is_no_duration_is_an_error_that_shows_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration; write 90s, 15m, 2h or 7d"):
        units.parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0s"),
        (0, "0s"),
        (119.9, "119s"),
        (120, "2m"),
        (7_199, "119m"),
        (7_200, "2h"),
        (172_799, "47h"),
        (172_800, "2d"),
        (86_400 * 400, "400d"),
    ],
)
def test_a_duration_is_shown_in_the_largest_unit_of_which_there_are_two(seconds: float, shown: str) -> None:
    assert units.duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (64_000_000, "64.0 MB"),
        (1_500_000_000, "1.5 GB"),
        (2 * 10**15, "2000.0 TB"),
    ],
)
def test_a_size_is_shown_in_thousands(count: int, shown: str) -> None:
    assert units.size(count) == shown


@pytest.mark.parametrize(
    ("amount", "shown"),
    [("0", "$0.0000"), ("0.00009", "<$0.0001"), ("0.0001", "$0.0001"), ("1234.56789", "$1,234.5679")],
)
def test_dollars_are_shown_to_the_hundredth_of_a_cent(amount: str, shown: str) -> None:
    assert units.dollars(Decimal(amount)) == shown


def test_entries_are_one_or_many() -> None:
    assert [units.entries(0), units.entries(1), units.entries(1_200)] == ["0 entries", "1 entry", "1,200 entries"]
