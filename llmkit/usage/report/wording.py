"""Money, counts, times and shares as the page shows them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

UNKNOWN: Final = "unknown"
_UNITS: Final = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def money(amount: Decimal | None, *, digits: int = 2) -> str:
    """ "$1,234.50"; "<$0.01" for what would show as nothing."""
    if amount is None:
        return UNKNOWN
    least = Decimal(1).scaleb(-digits)
    return f"<${least:f}" if 0 < amount < least else f"${amount:,.{digits}f}"


def spent(known: Decimal, *, unpriced: int, digits: int) -> str:
    """What calls cost: "≥$1.20" when some of them have no known price; unknown when no price is known at all."""
    if not unpriced:
        return money(known, digits=digits)
    return f"≥${known:,.{digits}f}" if known else UNKNOWN


def roughly(shown: str, estimated: int) -> str:
    """A number, with a tilde when estimates are in it."""
    return f"~{shown}" if estimated else shown


def named(value: str | None, otherwise: str) -> str:
    """The value of a tag or a field; what is empty is quoted, to be seen."""
    return otherwise if value is None else value or '""'


def digits_for(largest: Decimal) -> int:
    """How many digits after the point tell amounts up to `largest` apart."""
    return 2 if largest >= 5 else 4


def short(number: float) -> str:
    """To three figures: "0.025", "950", "12.3k", "4.56M"."""
    for unit, sign in _UNITS:
        if number >= unit * 0.9995:
            return f"{_three(number / unit)}{sign}"
    return f"{float(f'{number:.3g}'):.9f}".rstrip("0").rstrip(".")


def mark(number: float) -> str:
    """A round number beside an axis: "0.5", "1k", "2.5M"."""
    unit, sign = next((each for each in _UNITS if number >= each[0]), (1.0, ""))
    return f"{float(f'{number / unit:.4g}'):f}".rstrip("0").rstrip(".") + sign


def seconds(duration: float | None) -> str:
    """ "430 ms", "1.24 s", "2 m 05 s"."""
    if duration is None:
        return UNKNOWN
    if duration < 0.9995:
        return f"{duration * 1_000:.0f} ms"
    if duration < 119.5:
        return f"{_three(duration)} s"
    minutes, rest = divmod(round(duration), 60)
    return f"{minutes} m {rest:02d} s"


def share(part: float | None) -> str:
    """ "12.3%"; never 0 % of something, nor 100 % of what is not all."""
    if part is None:
        return UNKNOWN
    if 0 < part < 0.001:
        return "<0.1%"
    if 0.999 < part < 1:
        return ">99.9%"
    return f"{part:.{0 if part in (0, 1) else 1}%}"


def day(at: float) -> str:
    """ "3 Nov 2026", in UTC like all times on the page."""
    return f"{short_day(at)} {_utc(at).year}"


def moment(at: float) -> str:
    """ "3 Nov 2026, 14:05"."""
    return f"{day(at)}, {hour(at)}"


def short_day(at: float) -> str:
    """ "3 Nov"."""
    return f"{_utc(at).day} {_utc(at):%b}"


def month(at: float) -> str:
    """ "Nov '26"."""
    return f"{_utc(at):%b '%y}"


def hour(at: float) -> str:
    """ "14:05"."""
    return f"{_utc(at):%H:%M}"


def times(count: int, what: str) -> str:
    """ "1 call", "1,200 calls"."""
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"


def cut(name: str, most: int = 80) -> str:
    """A name with its middle left out when it is long: the ends tell names apart."""
    return name if len(name) <= most else f"{name[: most - most // 3 - 1]}\N{HORIZONTAL ELLIPSIS}{name[-(most // 3) :]}"


def _three(number: float) -> str:
    return f"{number:.{0 if abs(number) >= 99.95 else 1 if abs(number) >= 9.995 else 2}f}"


def _utc(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC)
