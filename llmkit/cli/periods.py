"""The period that `--since` and `--until` mean, all in UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from llmkit.cli.units import parse_duration

STEPS: Final = {"day": 86_400, "hour": 3_600}
"""Seconds, of which reports are made."""
_WHOLE: Final = {"d": STEPS["day"], "h": STEPS["hour"]}
_DATE: Final = len("2026-11-01")


def since(text: str, *, now: float) -> float | None:
    """The first moment of "7d", "2026-11-01" or "2026-11-01T13:30"; None of "all".

    Whole days and hours are those of the clock, the running one included: "7d" is today and the six days before.
    """
    if text == "all":
        return None
    seconds = _duration(text)
    if seconds is None:
        return _moment(text).timestamp()
    step = _WHOLE.get(text[-1], 0)
    return now - seconds if not step or seconds % step else (now // step + 1) * step - seconds


def until(text: str, *, now: float) -> float:
    """The first moment after the period: a date counts as a whole, "2d" is two days ago."""
    seconds = _duration(text)
    if seconds is not None:
        return now - seconds
    whole_day = timedelta(days=1 if len(text) == _DATE else 0)
    return (_moment(text) + whole_day).timestamp()


def _duration(text: str) -> float | None:
    try:
        return parse_duration(text)
    except ValueError:
        return None


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time; write 7d, 24h, 2026-11-01 or 2026-11-01T13:30") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
