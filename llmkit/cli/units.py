"""Durations, sizes and sums, as people write and read them. Pure."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Final

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def parse_duration(text: str) -> float:
    """The seconds of "90s", "15m", "2h" or "7d"."""
    match = _DURATION.fullmatch(text)
    if match is None or not 0 < float(match[1]) < math.inf:
        raise ValueError(f"{text!r} is no duration; write 90s, 15m, 2h or 7d")
    return float(match[1]) * _SECONDS[match[2]]


def duration(seconds: float) -> str:
    """In the largest unit of which there are at least two: "90s", "119m", "47h"."""
    unit = max((unit for unit in "mhd" if seconds >= 2 * _SECONDS[unit]), key=_SECONDS.__getitem__, default="s")
    return f"{max(0.0, seconds) // _SECONDS[unit]:.0f}{unit}"


def size(count: int) -> str:
    """Bytes in thousands: "812 B", "3.4 kB"."""
    if count < 1_000:
        return f"{count} B"
    value, unit = count / 1_000, "kB"
    for larger in ("MB", "GB", "TB"):
        if value < 999.95:
            break
        value, unit = value / 1_000, larger
    return f"{value:.1f} {unit}"


def dollars(amount: Decimal) -> str:
    """To the hundredth of a cent: "$12.3456"."""
    least = Decimal("0.0001")
    return f"<${least}" if 0 < amount < least else f"${amount:,.4f}"


def entries(count: int) -> str:
    """ "1 entry", "1,200 entries"."""
    return "1 entry" if count == 1 else f"{count:,} entries"
