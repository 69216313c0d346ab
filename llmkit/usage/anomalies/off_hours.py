"""Which hours of the day a series keeps free. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from llmkit.usage.anomalies.calendar import DAY, SLOTS, Calendar

_FEWEST_DAYS: Final = 6
"""So many days must have had the hour: three weekends."""
_MOST_STRAY_DAYS: Final = 2
"""A series that was active at odd hours on more days than that keeps no hours."""


def is_off_hour(calendar: Calendar, hour: int, first: int, requests: Sequence[float]) -> bool:
    """Whether a series is never active at such an hour, an hour earlier or later, though it has regular hours.

    `requests` are those of the hours from `first` on. Once does not count: it may be what was told the last time.
    """
    slots = [calendar.slot(first + index) for index in range(len(requests))]
    active = [0] * SLOTS
    for slot, calls in zip(slots, requests, strict=True):
        active[slot] += calls > 0
    quiet = [active[slot] + sum(active[other] for other in _beside(slot)) < 2 for slot in range(SLOTS)]
    slot = calendar.slot(hour)
    if not quiet[slot] or slots.count(slot) < _FEWEST_DAYS:
        return False
    odd = [first + index for index, calls in enumerate(requests) if calls > 0 and quiet[slots[index]]]
    stray_days = {calendar.local(then) // DAY for then in odd}
    return len(stray_days) <= _MOST_STRAY_DAYS


def _beside(slot: int) -> tuple[int, int]:
    day = slot - slot % DAY
    return day + (slot - 1) % DAY, day + (slot + 1) % DAY
