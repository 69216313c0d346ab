from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from llmkit.usage.anomalies import calendar
from llmkit.usage.anomalies.calendar import HOUR, Calendar

BERLIN = ZoneInfo("Europe/Berlin")


def hour_of(*local: int, zone: ZoneInfo = BERLIN) -> int:
    return int(datetime(*local, tzinfo=zone).timestamp()) // HOUR  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("local", "slot"),
    [((2026, 1, 5, 0), 0), ((2026, 1, 9, 23), 23), ((2026, 1, 10, 0), 24), ((2026, 1, 11, 23), 47)],
)
def test_a_slot_is_the_hour_of_a_weekday_or_of_the_weekend_on_local_clocks(local: tuple[int, ...], slot: int) -> None:
    assert Calendar(BERLIN).slot(hour_of(*local)) == slot


def test_the_same_time_a_day_before_is_found_across_a_change_of_clocks() -> None:
    calendar = Calendar(BERLIN)
    for month, day in ((3, 29), (3, 30), (10, 25), (10, 26)):
        assert calendar.days_before(hour_of(2026, month, day, 9), 1) == hour_of(2026, month, day - 1, 9)


def test_a_zone_that_is_off_by_half_an_hour_has_the_hour_that_has_begun() -> None:
    assert Calendar(timezone(timedelta(hours=5, minutes=30))).local(100) == 105


def test_the_hours_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendar, "_MOST_REMEMBERED", 2)
    utc = Calendar(UTC)
    assert [utc.local(hour) for hour in (1, 2, 3, 1)] == [1, 2, 3, 1]
    assert len(utc._offsets) == 2
