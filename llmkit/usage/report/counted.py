"""Sums over the calls that were picked out, by time and by what they have in common."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from llmkit.usage.report.figures import Breakdown, Group, Slot, Totals
from llmkit.usage.rules import UNPRICED

_COUNTS: Final = {
    "calls": "count(*)",
    "failed": "sum(outcome = 'failed')",
    "refused": "sum(outcome = 'refused')",
    "cached": "sum(outcome = 'cached')",
    "cut": "sum(outcome = 'cut')",
    "cancelled": "sum(outcome = 'cancelled')",
    "estimated": "sum(estimated)",
    "unpriced": f"sum({UNPRICED})",
}
_AMOUNTS: Final = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "total_tokens": "total_tokens",
    "cached_tokens": "cached_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "cost": "cost",
    "saved_tokens": "(saved_input_tokens + saved_output_tokens)",
    "saved_cost": "saved_cost",
}
_MONEY: Final = ("cost", "saved_cost")


def halves(column: str) -> tuple[str, str]:
    """Two sums, of the upper and the lower 32 bits: one of all 64 is too large for SQLite at nine billion dollars."""
    return f"sum({column} >> 32)", f"sum({column} & 0xffffffff)"


def whole(high: int | None, low: int | None) -> int:
    """The sum of both; 0 of nothing."""
    return ((high or 0) << 32) + (low or 0)


def dollars(nanos: int) -> Decimal:
    """Of whole nano-dollars."""
    return Decimal(nanos).scaleb(-9)


_SUMS: Final = (*_COUNTS.values(), *(half for column in _AMOUNTS.values() for half in halves(column)))
_NAMED: Final = ", ".join(f"{sum_} AS sum_{number}" for number, sum_ in enumerate(_SUMS))
_AGAIN: Final = ", ".join(f"sum(sum_{number})" for number in range(len(_SUMS)))


def sum_up(connection: sqlite3.Connection) -> None:
    """Make the temporary table `summed`, so that not every breakdown goes over all calls again."""
    connection.execute(
        "CREATE TEMP TABLE summed AS "  # noqa: S608 - all of it is llmkit's own
        f"SELECT model, operation, key, tags, {_NAMED} FROM picked GROUP BY 1, 2, 3, 4"
    )


def total(connection: sqlite3.Connection) -> Totals:
    """Of all calls."""
    return _totals(connection.execute(f"SELECT {_AGAIN} FROM summed").fetchone())  # noqa: S608


def slots(connection: sqlite3.Connection, since: float, until: float, step: int) -> tuple[Slot, ...]:
    """Every hour or day from `since` until `until`."""
    rows = connection.execute(
        f"SELECT CAST(started_at / {step} AS INTEGER), {', '.join(_SUMS)} FROM picked GROUP BY 1"  # noqa: S608
    )
    found, none = {number: _totals(sums) for number, *sums in rows}, Totals()
    numbers = range(int(since // step), -int(-until // step))
    return tuple(Slot(start=number * step, totals=found.get(number, none)) for number in numbers)


def breakdown(connection: sqlite3.Connection, column: str, *, most: int) -> Breakdown:
    """By the model, the operation or the key."""
    rows = connection.execute(f"SELECT {column}, {_AGAIN} FROM summed GROUP BY 1")  # noqa: S608
    return _breakdown(column, {name: _totals(sums) for name, *sums in rows}, most)


def by_tag(connection: sqlite3.Connection, totals: Totals, *, most: int) -> dict[str, Breakdown]:
    """By each of the tags that the calls have, the one that most of them have first."""
    found: dict[str, dict[str | None, Totals]] = {}
    for name, value, *sums in connection.execute(
        f"SELECT name, value, {_AGAIN} FROM summed JOIN tagged USING (tags) GROUP BY 1, 2"  # noqa: S608
    ):
        found.setdefault(name, {})[value] = _totals(sums)
    for groups in found.values():
        without = totals - sum(groups.values(), Totals())
        if without.calls:
            groups[None] = without
    names = sorted(found, key=lambda name: (found[name].get(None, Totals()).calls, name))
    return {name: _breakdown(name, found[name], most) for name in names}


def _breakdown(by: str, found: Mapping[str | None, Totals], most: int) -> Breakdown:
    groups = sorted((Group(name=name, totals=totals) for name, totals in found.items()), key=_dearest_first)
    rest = groups[most:]
    return Breakdown(
        by=by,
        groups=tuple(groups[:most]),
        others=len(rest),
        rest=sum((group.totals for group in rest), Totals()) if rest else None,
    )


def _dearest_first(group: Group) -> tuple[Any, ...]:
    of = group.totals
    return -of.cost, -of.total_tokens, -of.calls, group.name is None, group.name


def _totals(sums: Sequence[int | None]) -> Totals:
    counts, rest = [count or 0 for count in sums[: len(_COUNTS)]], sums[len(_COUNTS) :]
    names = (*_COUNTS, *_AMOUNTS)
    found: dict[str, Any] = dict(zip(names, (*counts, *map(whole, rest[::2], rest[1::2])), strict=True))
    for name in _MONEY:
        found[name] = dollars(found[name])
    return Totals(**found)
