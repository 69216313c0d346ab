"""Hours since the epoch as hours of weekdays and weekends in a time zone. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from typing import Final

HOUR: Final = 3600
"""Seconds."""
DAY: Final = 24
"""Hours."""
WEEK: Final = 168
SLOTS: Final = 48
"""The hours of a weekday, and those of a day at the weekend."""

_THURSDAY: Final = 3
"""The day of the epoch."""
_SATURDAY: Final = 5
_MOST_REMEMBERED: Final = 5_000


class Calendar:
    """What the clocks of `timezone` show, by the number of the hour since the epoch."""

    def __init__(self, timezone: tzinfo) -> None:
        self.timezone = timezone
        self._offsets: dict[int, int] = {}

    def local(self, hour: int) -> int:
        """The number of that hour on local clocks, which leaps where they are put forward or back."""
        try:
            return hour + self._offsets[hour]
        except KeyError:
            pass
        if len(self._offsets) >= _MOST_REMEMBERED:
            self._offsets.clear()
        offset = datetime.fromtimestamp(hour * HOUR, self.timezone).utcoffset() or timedelta()
        self._offsets[hour] = offset // timedelta(hours=1)
        return hour + self._offsets[hour]

    def slot(self, hour: int) -> int:
        """0 to 23 for the hours of a weekday, 24 to 47 for those at the weekend."""
        local = self.local(hour)
        is_weekend = (local // DAY + _THURSDAY) % 7 >= _SATURDAY
        return local % DAY + (DAY if is_weekend else 0)

    def days_before(self, hour: int, days: int) -> int:
        """The hour that had the same time on local clocks so many days ago."""
        then = hour - DAY * days
        return then + self.local(hour) - self.local(then) - DAY * days
