from __future__ import annotations

from datetime import UTC

from usage.anomalies.watched import DAY, MONDAY, WEEK, office

from llmkit.usage.anomalies.calendar import Calendar
from llmkit.usage.anomalies.off_hours import is_off_hour

NEXT = MONDAY + 4 * WEEK


def off_hours(requests: list[float]) -> set[int]:
    """The hours of the week after `requests` that are off."""
    utc = Calendar(UTC)
    return {hour for hour in range(WEEK) if is_off_hour(utc, NEXT + hour, NEXT - len(requests), requests)}


def test_nights_and_weekends_are_off_but_not_the_hours_beside_those_of_work() -> None:
    off = off_hours([float(office(hour)) for hour in range(4 * WEEK)])
    weekday = {*range(7), *range(19, 24)}
    assert off == {hour for hour in range(WEEK) if hour % DAY in weekday or hour >= 5 * DAY}


def test_two_weekends_are_too_few_to_know_them() -> None:
    assert 6 * DAY not in off_hours([float(office(hour)) for hour in range(2 * WEEK)])


def test_one_stray_night_does_not_make_nights_usual() -> None:
    requests = [float(office(hour)) for hour in range(4 * WEEK)]
    requests[3] = 20.0
    assert 3 in off_hours(requests)
    requests[DAY + 3] = 20.0
    assert 3 not in off_hours(requests)


def test_who_calls_at_odd_hours_on_many_days_has_no_off_hours() -> None:
    assert off_hours([20.0 if hour % 113 == 0 else 0.0 for hour in range(4 * WEEK)]) == set()
