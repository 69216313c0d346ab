"""What is counted, what is expected of it, and what is left alone. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from llmkit.usage.anomalies.event import Measure

USAGE: Final[tuple[Measure, ...]] = ("requests", "tokens", "cost")
ERRORS: Final = len(USAGE)
"""The place of the errors after those of the usage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is left alone, however unusual it is."""

    learning: int
    """Hours."""
    cool_down: int
    """Hours after the last sign of an episode until another one is told."""
    sensitivity: float
    least: tuple[float, float, float]
    """Of requests, tokens and dollars, more than expected."""
    least_errors: int
    least_error_rate: float
    """More than expected."""
    least_off_hours: int
    working_hours: tuple[int, int] | None


@dataclass(slots=True, kw_only=True)
class Totals:
    """The calls of an hour, added up."""

    usage: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    squares: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """The sums of the squares of what each call used."""
    asked: int = 0
    """Calls that the server answered or should have."""
    failed: int = 0
    unpriced: bool = False
    """It has tokens whose price is not known."""


class Bound(NamedTuple):
    """What is expected of an hour, and the most that is usual."""

    expected: float
    limit: float
    level: float = 1.0
    spread: float = math.inf
    """Standard deviation."""
