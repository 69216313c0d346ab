from __future__ import annotations

from datetime import UTC, datetime

import pytest

from llmkit.cli.periods import since, until

NOW = datetime(2026, 11, 21, 20, 15, 30, tzinfo=UTC).timestamp()


def utc(moment: float | None) -> str:
    assert moment is not None
    return datetime.fromtimestamp(moment, UTC).isoformat()[: len("2026-11-21T20:15:30")]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("7d", "2026-11-15T00:00:00"),
        ("1d", "2026-11-21T00:00:00"),
        ("24h", "2026-11-20T21:00:00"),
        ("1h", "2026-11-21T20:00:00"),
        ("15m", "2026-11-21T20:00:30"),
        ("90s", "2026-11-21T20:14:00"),
        ("0.5d", "2026-11-21T08:15:30"),
        ("2026-11-01", "2026-11-01T00:00:00"),
        ("2026-11-01T13:30", "2026-11-01T13:30:00"),
        ("2026-11-01T13:30+02:00", "2026-11-01T11:30:00"),
    ],
)
def test_days_and_hours_are_whole_ones_of_utc_the_running_one_included(text: str, moment: str) -> None:
    assert utc(since(text, now=NOW)) == moment


def test_all_has_no_beginning() -> None:
    assert since("all", now=NOW) is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-30", "2026-12-01T00:00:00"),
        ("2026-11-30T12:00", "2026-11-30T12:00:00"),
        ("2d", "2026-11-19T20:15:30"),
    ],
)
def test_until_means_all_of_a_date(text: str, moment: str) -> None:
    assert utc(until(text, now=NOW)) == moment


@pytest.mark.parametrize("text", ["yesterday", "", "7 days", "2026-13-01", "-7d"])
def test_what_is_no_time_is_said_to_be_none(text: str) -> None:
    for parse in (since, until):
        with pytest.raises(ValueError, match="is no time; write 7d"):
            parse(text, now=NOW)
