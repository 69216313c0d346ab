from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from usage.anomalies.watched import DAY, WEEK, Watched, office

from llmkit.usage.anomalies.series import Call

LEARNT = 14 * DAY


def test_a_runaway_loop_is_told_within_minutes_and_once() -> None:
    watched = Watched()
    watched.learn(0, LEARNT, 60)
    watched.hours(LEARNT, LEARNT + 10, 60)
    watched.hours(LEARNT + 10, LEARNT + 13, 1200)
    [(hour, found)] = watched.found
    assert LEARNT + 10 < hour < LEARNT + 10.2
    assert (found.measure, found.expected, found.limit) == (
        "requests",
        60.0,
        pytest.approx(60 + 6 * (60 + 15**2) ** 0.5),
    )
    assert found.value == found.limit // 1 + 1
    assert found.end - found.start <= 3600


def test_what_straddles_two_hours_of_the_clock_is_seen_as_one() -> None:
    watched = Watched()
    watched.learn(0, LEARNT, 200)
    watched.hour(LEARNT, 200)
    watched.hour(LEARNT + 1.5, 800)
    assert watched.measures == ["requests"]


@pytest.mark.parametrize(
    ("each", "measure"),
    [({"tokens": 5_000.0}, "tokens"), ({"cost": 0.05}, "cost"), ({"failed": 20}, "error_rate")],
)
def test_each_measure_has_a_bound(each: dict[str, float], measure: str) -> None:
    watched = Watched()
    watched.learn(0, LEARNT, 100, failed=1)
    assert watched.found == []
    watched.hours(LEARNT, LEARNT + 2, 100, **({"failed": 1} | each))
    assert watched.measures == [measure]


def test_a_second_episode_is_told_when_the_first_has_been_over_for_a_day() -> None:
    watched = Watched()
    watched.learn(0, LEARNT, 60)
    for begin in (LEARNT, LEARNT + 20, LEARNT + 60):
        watched.hour(begin, 600, failed=300)
        watched.hours(begin + 1, begin + 20, 60)
    assert watched.measures == ["error_rate", "requests"] * 2
    assert [int(hour) for hour, _ in watched.found] == [LEARNT, LEARNT, LEARNT + 60, LEARNT + 60]


def test_nothing_is_said_while_it_learns() -> None:
    watched = Watched()
    watched.hours(0, LEARNT - 2, 20)
    watched.hour(LEARNT - 2, 5_000, failed=4_000)
    assert watched.found == []


def test_what_is_little_is_never_told() -> None:
    watched = Watched()
    watched.learn(0, LEARNT, 1)
    watched.hours(LEARNT, LEARNT + 3, 9, failed=9)
    assert watched.found == []


def test_one_call_alone_is_never_told_however_large_it_is() -> None:
    watched = Watched()
    watched.learn(0, LEARNT, 1)
    watched.see(LEARNT, Call(1, 200_000.0, 2.0, 1, 0))
    assert watched.found == []
    watched.see(LEARNT + 0.1, Call(1, 200_000.0, 2.0, 1, 0))
    assert watched.measures == ["tokens"]


def test_the_time_of_the_day_and_of_the_week_is_expected() -> None:
    watched = Watched()

    def calls(hour: int) -> int:
        nightly = 400 if hour % DAY == 2 else 0
        weekly = 900 if hour % WEEK == 6 else 0
        return office(hour) + nightly + weekly + 1

    watched.learn(0, 3 * WEEK, calls)
    watched.hours(3 * WEEK, 4 * WEEK + DAY, calls)
    assert watched.found == []


def test_a_shift_of_the_level_is_told_once_and_then_learnt() -> None:
    watched = Watched()
    watched.learn(0, LEARNT, 100)
    watched.hours(LEARNT, LEARNT + WEEK, 350)
    watched.learn(LEARNT + WEEK, LEARNT + 2 * WEEK, 350)
    assert watched.measures == ["requests"]
    watched.hours(LEARNT + 2 * WEEK, LEARNT + 2 * WEEK + 3, 1_400)
    assert watched.measures == ["requests"] * 2


def test_a_spike_does_not_make_the_next_one_usual() -> None:
    watched = Watched()
    watched.learn(0, LEARNT, 100)
    for begin in range(LEARNT, LEARNT + 10 * DAY, 2 * DAY):
        watched.hours(begin, begin + 3, 500)
        watched.hours(begin + 3, begin + 2 * DAY, 100)
    assert watched.measures == ["requests"] * 5


def test_after_a_holiday_the_usual_is_usual() -> None:
    watched = Watched()
    watched.learn(0, 3 * WEEK, 100)
    watched.hours(3 * WEEK, 4 * WEEK, 10)
    watched.hours(4 * WEEK, 5 * WEEK, 100)
    assert watched.found == []


def test_bursts_that_come_again_and_again_are_learnt() -> None:
    watched = Watched()
    watched.learn(0, 4 * WEEK, lambda hour: 300 if hour % 31 == 0 else 100)
    watched.hours(4 * WEEK, 5 * WEEK, lambda hour: 300 if hour % 31 == 0 else 100)
    assert watched.found == []


def test_calls_at_night_of_what_works_by_day_are_told() -> None:
    watched = Watched()
    watched.learn(0, 3 * WEEK, office)
    watched.hour(3 * WEEK + 2, 12)
    [(hour, found)] = watched.found
    assert (found.measure, found.value, found.expected, found.limit) == ("off_hours", 10, 0.0, 0.0)
    assert hour == pytest.approx(3 * WEEK + 2 + 9.5 / 12)


def test_working_hours_are_no_off_hours_and_other_hours_are() -> None:
    watched = Watched(working_hours=(7, 22))
    watched.learn(0, 3 * WEEK, office)
    watched.hour(3 * WEEK + 21, 12)
    assert watched.found == []
    watched.hour(3 * WEEK + 22, 12)
    assert watched.measures == ["off_hours"]


def test_the_hours_of_the_office_move_with_the_clocks_of_its_time_zone() -> None:
    watched = Watched(timezone=ZoneInfo("Europe/Berlin"))
    for hour in range(10 * WEEK, 13 * WEEK):  # the clocks go forward in the twelfth week
        watched.hour(hour, office(hour + (2 if hour >= 11 * WEEK + 6 * DAY + 1 else 1)))
    assert watched.found == []


@pytest.mark.parametrize("each", [{"tokens": 0.0, "cost": 0.0}, {"cost": None}])
def test_cached_calls_and_calls_without_a_price_are_watched_by_their_number(each: dict[str, float | None]) -> None:
    watched = Watched()
    watched.learn(0, LEARNT, 60, **each)
    watched.hour(LEARNT, 600, **each)
    assert watched.measures == ["requests"]


def test_a_price_that_becomes_known_is_not_unusual() -> None:
    watched = Watched()
    watched.learn(0, LEARNT, 60, cost=None)
    watched.hours(LEARNT, LEARNT + WEEK, 60, cost=1.0)
    assert watched.found == []


def test_a_call_that_was_over_earlier_than_the_last_one_counts_now() -> None:
    watched = Watched()
    watched.learn(0, LEARNT, 60)
    for number in range(200):
        watched.see(LEARNT + 0.5, Call(1, 1000.0, 0.01, 1, 0))
        watched.see(LEARNT - 0.5 - number / 100, Call(1, 1000.0, 0.01, 1, 0))
    assert watched.measures == ["requests"]
    [(_, found)] = watched.found
    assert found.start <= found.end


@pytest.mark.parametrize("gap", [-3 * DAY, 365 * DAY])
def test_a_clock_that_is_set_and_a_long_silence_begin_anew(gap: int) -> None:
    watched = Watched()
    watched.learn(0, LEARNT, 1)
    watched.hours(LEARNT + gap, LEARNT + gap + LEARNT, 100)
    assert watched.found == []
    watched.hour(LEARNT + gap + LEARNT, 1000)
    assert watched.measures == ["requests"]


def test_a_silence_of_days_is_nothing_to_tell_nor_is_its_end() -> None:
    watched = Watched()
    watched.learn(0, 3 * WEEK, 100)
    watched.hours(3 * WEEK + 6 * DAY, 4 * WEEK, 100)
    assert watched.found == []


def test_a_burst_at_the_end_of_a_silent_hour_is_held_against_both_hours() -> None:
    watched = Watched()
    watched.learn(0, 3 * WEEK, lambda hour: 400 if hour % DAY == 2 else 0)
    watched.hour(3 * WEEK + 2, 400)
    watched.see(3 * WEEK + 3.01, Call(1, 1000.0, 0.01, 1, 0))
    assert watched.found == []


def test_errors_are_told_while_the_usage_is_out_of_bounds() -> None:
    watched = Watched()
    watched.learn(0, LEARNT, 60)
    watched.hour(LEARNT, 600)
    watched.hour(LEARNT + 1, 600, failed=300)
    assert watched.measures == ["requests", "error_rate"]


def test_a_user_who_calls_around_the_clock_has_no_off_hours() -> None:
    watched = Watched()
    watched.learn(0, 3 * WEEK, 5)
    watched.hour(3 * WEEK + 2, 20)
    assert watched.found == []
