"""What a series was like, hour by hour, and what may be expected of an hour after that. Pure."""

from __future__ import annotations

import heapq
import math
from array import array
from collections.abc import Iterator
from statistics import median
from typing import Final

from llmkit.usage.anomalies.amounts import ERRORS, USAGE, Bound, Settings, Totals
from llmkit.usage.anomalies.calendar import DAY, WEEK, Calendar
from llmkit.usage.anomalies.off_hours import is_off_hour

_KEPT: Final = 4 * WEEK
"""Hours."""
_FEWEST_DAYS: Final = 3
"""So many days must have had an hour before anything is expected of it."""
_MEMORIES: Final = (DAY * 2, WEEK)
"""Half-lives, in hours, of the level: what is new is learnt in days, and what ends on a Friday is known on Monday."""
_SPREAD: Final = 0.25
"""Hours differ by this share of what is expected, however many calls they have."""
_ERROR_SPREAD: Final = 0.015
_FEWEST_ERRORS: Final = 0.005
"""An error rate below this one is taken for it."""
_FAR: Final = 6.0
"""Standard deviations; more where an hour now and then is further away."""
_BEYOND: Final = 1.25
"""Times the surprise of the hours that were the most surprising of the last weeks, but for a few."""
_LATELY: Final = 7
"""Days: no more than the most that one of them had is expected of a time of the day."""
_WEEKLY: Final = 2
"""So many times as much on the same day of two weeks is a weekly job."""
_RARE: Final = 96
"""What happens more often than once in so many hours is usual."""
_LEAST_LEVEL: Final = 0.7
"""What is used less may be a holiday, and over soon."""


_UNKNOWN: Final = Bound(0.0, math.inf)


class Past:
    """The last four weeks of a series, in 32 kB at most."""

    def __init__(self, calendar: Calendar, settings: Settings, begun: int) -> None:
        self._calendar = calendar
        self._settings = settings
        self._begun = self.end = begun
        """The hours that are not over yet begin with this one."""
        self._values = [array("f") for _ in USAGE]
        self._surprises = [array("f") for _ in (*USAGE, "errors")]
        """How many standard deviations each hour was above what was expected."""
        self._sizes = [[0.0, 0.0] for _ in USAGE]
        """Fading sums of what calls use and of its squares."""
        self._levels = [[[0.0, 0.0] for _ in _MEMORIES] for _ in USAGE]
        """Fading sums of what was used and of what was expected of the time of the day."""
        self._failed = self._asked = 0.0

    def has_learnt(self) -> bool:
        """Whether the series is known for long enough to call anything unusual."""
        return self.end - self._begun >= self._settings.learning

    def add(self, totals: Totals, bounds: tuple[Bound, ...], told: tuple[bool, ...]) -> None:
        """Keep an hour that is over; what was beyond its bounds and is `told` already is no measure of surprise."""
        for place, bound in enumerate(bounds):
            value = totals.usage[place]
            self._values[place].append(math.nan if place == 2 and totals.unpriced else value)
            if value <= bound.limit:
                self._note_size(place, value, totals.squares[place])
            self._note_level(place, min(value, bound.limit), bound)
            surprise = (min(value, bound.limit) - bound.expected) / bound.spread
            self._surprises[place].append(0.0 if told[place] else surprise)
        self._note_errors(totals, told=told[ERRORS])
        self.end += 1
        self._forget()

    def skip_to(self, hour: int) -> None:
        """Keep that nothing was called before `hour`."""
        silence = array("f", bytes(4 * (hour - self.end)))
        for column in (*self._values, *self._surprises):
            column.extend(silence)
        self.end = hour
        self._forget()

    def bounds(self, hour: int) -> tuple[Bound, ...]:
        """What is expected of an hour: of its requests, tokens and dollars."""
        places = list(self._same_time(hour))
        return tuple(self._bound(place, places, hour) for place in range(len(USAGE)))

    def error_bound(self, asked: float) -> Bound:
        """How many of so many calls may fail."""
        expected = asked * self._failed / self._asked if self._asked else 0.0
        rate = max(expected / asked, _FEWEST_ERRORS)
        spread = math.sqrt(asked * rate * (1 - rate) + (_ERROR_SPREAD * asked) ** 2)
        settings = self._settings
        limit = max(
            expected + self._far(ERRORS) * spread,
            expected + settings.least_error_rate * asked,
            settings.least_errors - 1,
        )
        return Bound(expected, limit, spread=spread)

    def is_off_hour(self, hour: int) -> bool:
        """Whether the series is never active at such an hour, though it has regular hours."""
        requests = self._values[0]
        return is_off_hour(self._calendar, hour, self.end - len(requests), requests)

    def _bound(self, place: int, places: list[tuple[int, bool, bool]], hour: int) -> Bound:
        values = self._values[place]
        known = [(values[index], *which) for index, *which in places if not math.isnan(values[index])]
        alike = [value for value, is_alike, _ in known if is_alike]
        chosen = alike if len(alike) >= _FEWEST_DAYS else [value for value, *_ in known]
        if len(chosen) < _FEWEST_DAYS:
            return _UNKNOWN
        total, squares = self._sizes[place]
        size = squares / total if total else 0.0
        level = self._level(place, size)
        weekly = heapq.nlargest(2, [value for value, _, is_weekly in known if is_weekly])
        middle = median(chosen)
        lately = min(middle * level, max(middle, *(value for value, *_ in known[:_LATELY])))
        expected = weekly[1] if len(weekly) > 1 and weekly[1] > _WEEKLY * lately else lately
        spread = math.sqrt(size * expected + (_SPREAD * expected) ** 2) or math.inf
        limit = max(
            expected * (1 + 1 / self._settings.sensitivity),
            expected + self._settings.least[place],
            expected + self._far(place) * spread if expected else 0.0,
        )
        return Bound(expected, limit, level, spread)

    def _same_time(self, hour: int) -> Iterator[tuple[int, bool, bool]]:
        """The hours at this time of the day: where they are, whether on such a day, and on the same day of the week."""
        first = self.end - len(self._values[0])
        slot = self._calendar.slot(hour)
        for days in range(1, _KEPT // DAY + 1):
            then = self._calendar.days_before(hour, days)
            if first <= then < self.end:
                yield then - first, self._calendar.slot(then) == slot, days % 7 == 0

    def _level(self, place: int, size: float) -> float:
        """How much more or less is used lately than the time of the day lets expect."""
        some = 10 * size
        return max(
            _LEAST_LEVEL,
            *((used + some) / (expected + some) if expected else 1.0 for used, expected in self._levels[place]),
        )

    def _far(self, place: int) -> float:
        surprises = self._surprises[place]
        largest = heapq.nlargest(1 + len(surprises) // _RARE, surprises)
        return max(_FAR, _BEYOND * largest[-1] if largest else 0.0) / self._settings.sensitivity

    def _note_size(self, place: int, value: float, squares: float) -> None:
        sizes = self._sizes[place]
        sizes[0] = sizes[0] * _fading(WEEK) + value
        sizes[1] = sizes[1] * _fading(WEEK) + squares

    def _note_level(self, place: int, value: float, bound: Bound) -> None:
        if bound is _UNKNOWN:
            return
        for sums, hours in zip(self._levels[place], _MEMORIES, strict=True):
            sums[0] = sums[0] * _fading(hours) + value
            sums[1] = sums[1] * _fading(hours) + bound.expected / bound.level

    def _note_errors(self, totals: Totals, *, told: bool) -> None:
        failed, surprise = float(totals.failed), 0.0
        if totals.asked and self.has_learnt():
            bound = self.error_bound(totals.asked)
            failed = min(failed, bound.limit)
            surprise = 0.0 if told else (failed - bound.expected) / bound.spread
        self._surprises[ERRORS].append(surprise)
        self._failed = self._failed * _fading(WEEK) + failed
        self._asked = self._asked * _fading(WEEK) + totals.asked

    def _forget(self) -> None:
        for column in (*self._values, *self._surprises):
            del column[: max(0, len(column) - _KEPT)]


def _fading(half_life: int) -> float:
    return math.exp2(-1 / half_life)
