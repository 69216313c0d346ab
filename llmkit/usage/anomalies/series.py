"""The calls of one model under some tags: each is held against what was usual, as soon as it is over. Pure."""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple

from llmkit.usage.anomalies.amounts import USAGE, Bound, Settings, Totals
from llmkit.usage.anomalies.calendar import DAY, HOUR, Calendar
from llmkit.usage.anomalies.event import Measure
from llmkit.usage.anomalies.past import Past

_PIECE: Final = 300
"""Seconds of the pieces that the last hour is made of."""
_PIECES: Final = HOUR // _PIECE
_LATEST: Final = DAY
"""Hours; who is further back has a clock that was set."""


class Call(NamedTuple):
    """What is counted of a call that is over, or of some that were over together."""

    requests: int
    tokens: float
    cost: float | None
    """Dollars; None when the price of its tokens is not known."""
    asked: int
    """How many the server answered, or should have."""
    failed: int


class Finding(NamedTuple):
    """What is unusual; times are seconds since the epoch."""

    measure: Measure
    value: float
    expected: float
    limit: float
    start: float
    end: float


class _Piece:
    __slots__ = ("asked", "failed", "largest", "number", "usage")

    def __init__(self, number: int) -> None:
        self.number = number
        self.usage = [0.0, 0.0, 0.0]
        self.largest = [0.0, 0.0, 0.0]
        self.asked = self.failed = 0


class Series:
    """What is known of a series, and when something of it was told."""

    _past: Past
    _bounds: tuple[Bound, ...]
    """Of this hour of the clock."""
    _limits: tuple[Bound, ...]
    """Of the last sixty minutes, which may be of two hours: the wider ones."""
    _was_told: tuple[bool, ...]
    _latest: float
    """When a call was over last; one that comes late counts then."""
    _usage_seen: float
    _errors_seen: float
    """When something unusual was seen last."""

    def __init__(self, calendar: Calendar, settings: Settings, hour: int) -> None:
        self._calendar = calendar
        self._settings = settings
        self._begin(hour)

    def see(self, at: float, call: Call) -> Finding | None:
        """Count a call that was over at `at`; what is unusual now and was not told yet."""
        hour = int(at // HOUR)
        if hour != self._past.end:
            self.turn_to(hour)
        at = self._latest = max(self._latest, at)
        self._count(int(at // _PIECE), call)
        if not self._knows:
            return None
        return self._judge_usage(at, call) or self._judge_errors(at, call)

    def learn(self, hour: int, totals: Totals) -> None:
        """Keep an hour of the past without a word."""
        self.turn_to(hour)
        self._now = totals

    def turn_to(self, hour: int) -> None:
        """Close the hours before this one; begin anew after a long silence, or when the clock was put back by much."""
        past = self._past
        if past.end - _LATEST <= hour <= past.end:  # a stream that ends late, or calls that overtake each other
            return
        if not past.end < hour < past.end + self._settings.learning:
            self._begin(hour)
            return
        past.add(self._now, self._bounds, self._was_told)
        self._now = Totals()
        before = self._bounds
        if hour > past.end:
            past.skip_to(hour)
            before = past.bounds(hour - 1)
        self._bounds = past.bounds(hour)
        self._limits = tuple(
            max(pair, key=lambda bound: bound.limit) for pair in zip(before, self._bounds, strict=True)
        )
        self._knows = past.has_learnt()
        until = hour * HOUR - self._settings.cool_down * HOUR
        is_going_on = self._usage_seen > until
        self._was_told = (is_going_on, is_going_on, is_going_on, self._errors_seen > until)

    def _begin(self, hour: int) -> None:
        self._past = Past(self._calendar, self._settings, hour)
        self._knows = False
        self._now = Totals()
        self._pieces: deque[_Piece] = deque()
        self._usage = [0.0, 0.0, 0.0]
        self.asked = self.failed = 0
        self._bounds = self._past.bounds(hour)
        self._limits = self._bounds
        self._was_told = (False, False, False, False)
        self._latest = self._usage_seen = -math.inf
        self._errors_seen = -math.inf

    def _count(self, number: int, call: Call) -> None:
        pieces, now = self._pieces, self._now
        if not pieces or pieces[-1].number < number:
            self._move_to(number)
        piece = pieces[-1]
        for place, value in enumerate((call.requests, call.tokens, call.cost or 0.0)):
            self._usage[place] += value
            piece.usage[place] += value
            now.usage[place] += value
            now.squares[place] += value * value
            if value > piece.largest[place]:
                piece.largest[place] = value
        if call.cost is None:
            now.unpriced = True
        for tally in (self, piece, now):
            tally.asked += call.asked
            tally.failed += call.failed

    def _move_to(self, number: int) -> None:
        while self._pieces and self._pieces[0].number <= number - _PIECES:
            gone = self._pieces.popleft()
            self._usage = [value - old for value, old in zip(self._usage, gone.usage, strict=True)]
            self.asked -= gone.asked
            self.failed -= gone.failed
        self._pieces.append(_Piece(number))

    def _judge_usage(self, at: float, call: Call) -> Finding | None:
        for place, bound in enumerate(self._limits):
            if self._usage[place] > bound.limit and self._is_of_many(place, bound):
                return self._tell_usage(USAGE[place], self._usage[place], bound, at)
        requests = self._now.usage[0]
        least = self._settings.least_off_hours
        if requests - call.requests < least <= requests and self._is_off_hour():
            return self._tell_usage("off_hours", requests, Bound(0.0, 0.0), at)
        return None

    def _judge_errors(self, at: float, call: Call) -> Finding | None:
        if not call.failed or self.failed < self._settings.least_errors:
            return None
        bound = self._past.error_bound(self.asked)
        return self._tell_errors(bound, at) if self.failed > bound.limit else None

    def _is_of_many(self, place: int, bound: Bound) -> bool:
        """One call, however large, is a matter for a Budget: the others must be far out, too."""
        others = self._usage[place] - max(piece.largest[place] for piece in self._pieces)
        return others > (bound.expected + bound.limit) / 2

    def _is_off_hour(self) -> bool:
        hour = self._past.end
        at_work = self._settings.working_hours
        if at_work is not None:
            slot = self._calendar.slot(hour)
            if at_work[0] <= slot < at_work[1]:
                return False
        return self._past.is_off_hour(hour)

    def _tell_usage(self, measure: Measure, value: float, bound: Bound, at: float) -> Finding | None:
        since, self._usage_seen = at - self._usage_seen, at
        if since <= self._settings.cool_down * HOUR:
            return None
        start = self._past.end * HOUR if measure == "off_hours" else self._pieces[0].number * _PIECE
        return Finding(measure, value, bound.expected, bound.limit, start, at)

    def _tell_errors(self, bound: Bound, at: float) -> Finding | None:
        since, self._errors_seen = at - self._errors_seen, at
        if since <= self._settings.cool_down * HOUR:
            return None
        start, asked = self._pieces[0].number * _PIECE, self.asked
        return Finding("error_rate", self.failed / asked, bound.expected / asked, bound.limit / asked, start, at)
