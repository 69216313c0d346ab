"""Calendar windows in UTC, in which budgets are spent, and whose budget it is. Pure: no clock."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple
from urllib.parse import urlencode

from llmkit.tagging import Tag

Span = Literal["minute", "daily", "monthly"]

GRACE: Final = 3600
"""Seconds for which a window that is over is kept, for calls that began in it and end later."""


_NAME: Final = re.compile(r"[\w.+-]+")


class Window(NamedTuple):
    """One minute, day or month of the calendar."""

    label: str
    """"2026-11-21T17:30", "2026-11-21" or "2026-11"."""
    ends: float
    """Seconds since the epoch."""


def window(span: Span, now: float) -> Window:
    """The window of the calendar, in UTC, that `now` (seconds since the epoch) is in."""
    at = datetime.fromtimestamp(now, UTC).replace(second=0, microsecond=0)
    if span == "minute":
        return Window(at.strftime("%Y-%m-%dT%H:%M"), (at + timedelta(minutes=1)).timestamp())
    day = at.replace(hour=0, minute=0)
    if span == "daily":
        return Window(day.strftime("%Y-%m-%d"), (day + timedelta(days=1)).timestamp())
    next_month = (day.replace(day=1) + timedelta(days=31)).replace(day=1)
    return Window(day.strftime("%Y-%m"), next_month.timestamp())


def checked_name(name: str | None, per: Iterable[str]) -> str:
    """The name under which a ledger keeps the budget: by default that of its tags, "user+feature" or "all"."""
    name = ("+".join(per) or "all") if name is None else name
    if not _NAME.fullmatch(name):
        raise ValueError(f"name={name!r} must be letters, digits and . _ + - only; give Budget(name=...)")
    return name


def scope(name: str, who: Mapping[str, Tag]) -> str:
    """Whose budget, as one text without braces or line breaks: "user+feature:user=alice&feature=search"."""
    return f"{name}:{urlencode(who, errors='surrogatepass')}"
