"""A row of bars, one character each. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_BARS: Final = "▁▂▃▄▅▆▇█"
_PLAIN: Final = ".:-=+*#@"
"""For terminals that have no others."""


def sparkline(values: Sequence[int], *, plain: bool = False) -> str:
    """The values as bars up to the largest; blank where there is nothing."""
    most, bars = max(values, default=0), _PLAIN if plain else _BARS
    return "".join(bars[min(int(value / most * len(bars)), len(bars) - 1)] if value > 0 else " " for value in values)


def merged(values: Sequence[int], *, most: int) -> tuple[int, list[int]]:
    """How many neighbours are added up so that there are at most so many values, and the sums."""
    size = max(1, -(-len(values) // most))
    return size, [sum(values[start : start + size]) for start in range(0, len(values), size)]
