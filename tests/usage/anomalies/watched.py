"""Hours of calls of one series, for the tests of what watches them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, tzinfo
from typing import Any

from llmkit.usage.anomalies.amounts import Settings, Totals
from llmkit.usage.anomalies.calendar import HOUR, Calendar
from llmkit.usage.anomalies.series import Call, Finding, Series

MONDAY = 1_767_571_200 // HOUR
"""The hour of 2026-01-05 00:00 UTC."""
DAY, WEEK = 24, 168
SETTINGS = Settings(
    learning=14 * DAY,
    cool_down=24,
    sensitivity=1.0,
    least=(30.0, 50_000.0, 1.0),
    least_errors=10,
    least_error_rate=0.05,
    least_off_hours=10,
    working_hours=None,
)


class Watched:
    """A series, and what was told of it: the hour since the beginning, and the finding."""

    def __init__(self, *, timezone: tzinfo = UTC, **settings: Any) -> None:
        self.series = Series(Calendar(timezone), replace(SETTINGS, **settings), MONDAY)
        self.found: list[tuple[float, Finding]] = []

    def see(self, hour: float, call: Call) -> None:
        found = self.series.see((MONDAY + hour) * HOUR, call)
        if found is not None:
            self.found.append((hour, found))

    def hour(self, hour: float, calls: int, **each: Any) -> None:
        """So many calls, spread over an hour; each has 1,000 tokens for a cent, but for what `each` says."""
        failed = each.pop("failed", 0)
        for number in range(calls):
            fails = number * failed // calls < (number + 1) * failed // calls
            facts = {"tokens": 1000.0, "cost": 0.01} | each
            self.see(hour + (number + 0.5) / calls, Call(1, facts["tokens"], facts["cost"], 1, int(fails)))

    def hours(self, first: int, end: int, calls: Callable[[int], int] | int, **each: Any) -> None:
        for hour in range(first, end):
            self.hour(hour, calls(hour) if callable(calls) else calls, **each)

    def learn(self, first: int, end: int, calls: Callable[[int], int] | int, **each: Any) -> None:
        """The same without a word, and faster."""
        tokens, cost = each.get("tokens", 1000.0), each.get("cost", 0.01)
        for hour in range(first, end):
            number = calls(hour) if callable(calls) else calls
            usage = [float(number), number * tokens, number * (cost or 0.0)]
            squares = [float(number), number * tokens**2, number * (cost or 0.0) ** 2]
            unpriced = cost is None and number > 0
            failed = each.get("failed", 0)
            totals = Totals(usage=usage, squares=squares, asked=number, failed=failed, unpriced=unpriced)
            self.series.learn(MONDAY + hour, totals)

    @property
    def measures(self) -> list[str]:
        return [found.measure for _, found in self.found]


def office(hour: int) -> int:
    """40 calls an hour from 8 to 18 o'clock on weekdays."""
    return 40 if 8 <= hour % DAY < 18 and hour // DAY % 7 < 5 else 0
