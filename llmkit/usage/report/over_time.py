"""Spend, tokens and calls as time goes by. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from llmkit.usage.report import wording
from llmkit.usage.report.charts import Series, Shown, columns, legend
from llmkit.usage.report.figures import DAY, HOUR, Report, Slot, Totals
from llmkit.usage.report.markup import Markup, element
from llmkit.usage.report.tables import cost, count, folded, row, section, tokens, whole_table

_MOST_COLUMNS: Final = 93
"""A quarter of days. Longer periods are shown in columns of several days."""
_MOST_MARKS: Final = 5
_TWO_MONTHS: Final = 61 * DAY
_TABLE: Final = "The figures are in the table below the spend."


def over_time(report: Report) -> Iterator[Sequence[Markup]]:
    """Three charts of the same columns, and a table of all their figures."""
    slots = grouped(report.slots)
    step = report.step * math.ceil(len(report.slots) / max(1, len(slots)))
    totals, each = [slot.totals for slot in slots], every(step)
    labels, below = [label(slot.start, step) for slot in slots], marks([slot.start for slot in slots], step)

    def chart(name: str, series: Sequence[Series], shown: Shown) -> Markup:
        title, about = f"{name.capitalize()}, {each}", f"From {labels[0]} to {labels[-1]}, UTC. {_TABLE}"
        return columns(name, title=title, about=about, labels=labels, marks=below, series=series, shown=shown)

    def card(name: str, series: Sequence[Series], *below: Markup) -> Markup:
        occurring = [of for of in series if any(of.values)]
        shown = [legend(occurring)] if len(series) > 1 else []
        shown += [chart(name, occurring, _SHOWN[name])]
        nothing = [element("p", f"No {name} in this period.")]
        return section(name, f"{name.capitalize()} over time", *(shown if occurring else nothing), *below, of="slots")

    folds = folded("slots", f"The figures of {each}", _table(slots, step, each))
    yield [card("spend", _spend(totals), folds)]
    yield [card("tokens", _tokens(totals)), card("calls", _calls(totals))]


def grouped(slots: Sequence[Slot]) -> Sequence[Slot]:
    """The slots, several as one where there are too many to see."""
    size = math.ceil(len(slots) / _MOST_COLUMNS)
    if size <= 1:
        return slots
    parts = (slots[at : at + size] for at in range(0, len(slots), size))
    return [Slot(start=part[0].start, totals=sum((slot.totals for slot in part), Totals())) for part in parts]


def label(start: float, step: int) -> str:
    """ "3 Nov 2026" or "3 Nov 2026, 14:00"."""
    return wording.moment(start) if step % DAY else wording.day(start)


def every(step: int) -> str:
    """ "each hour", "each day", "each 3 days"."""
    unit, name = next((unit, name) for unit, name in ((DAY, "day"), (HOUR, "hour"), (1, "second")) if step % unit == 0)
    return f"each {name}" if step == unit else f"each {step // unit} {name}s"


def marks(starts: Sequence[float], step: int) -> dict[int, str]:
    """What is written below some of the columns: round hours, days or months, few enough for a phone."""
    hours = len(starts) * step / HOUR
    few = (each for each in (1, 2, 3, 6, 12) if hours <= each * _MOST_MARKS)
    apart = HOUR * next(few, 24 * math.ceil(hours / 24 / _MOST_MARKS))
    periods = [start // apart for start in (starts[0] - step if starts else 0, *starts)]
    return {
        index: _mark(start, step, apart)
        for index, (start, (before, here)) in enumerate(zip(starts, pairwise(periods), strict=True))
        if here > before
    }


def _mark(start: float, step: int, apart: int) -> str:
    if apart > _TWO_MONTHS:
        return wording.month(start)
    return wording.short_day(start) if apart >= DAY or start % DAY < step else wording.hour(start)


def _dollars(value: float) -> str:
    return f"${value:.2f}" if 0.01 <= value < 1_000 and value % 1 else f"${wording.mark(value)}"


def _exact_dollars(value: float) -> str:
    return f"${value:,.4f}"


def _number(value: float) -> str:
    return f"{value:,.0f}"


_COUNTS: Final = Shown(wording.mark, _number, whole=True)
_SHOWN: Final = {"spend": Shown(_dollars, _exact_dollars), "tokens": _COUNTS, "calls": _COUNTS}


def _spend(totals: Sequence[Totals]) -> list[Series]:
    return [Series("spend", [float(total.cost) for total in totals])]


def _tokens(totals: Sequence[Totals]) -> list[Series]:
    return [
        Series("input", [max(0, total.input_tokens - total.cached_tokens) for total in totals], color=0),
        Series("input from the provider's cache", [total.cached_tokens for total in totals], color=2),
        Series("output", [total.output_tokens for total in totals], color=1),
    ]


def _calls(totals: Sequence[Totals]) -> list[Series]:
    return [
        Series("answered", [total.ok for total in totals], color=0),
        Series("from a cache", [total.cached for total in totals], color=2),
        Series("cut or cancelled", [total.cut + total.cancelled for total in totals], color=4),
        Series("refused", [total.refused for total in totals], color=3),
        Series("failed", [total.failed for total in totals], color=1),
    ]


def _table(slots: Sequence[Slot], step: int, each: str) -> Markup:
    heads = ("When", "Spend", "Calls", "Failed", "Input", "Output")
    return whole_table(f"Spend, calls and tokens, {each}", heads, (_line(slot, step) for slot in slots))


def _line(slot: Slot, step: int) -> Markup:
    total, name = slot.totals, wording.short_day(slot.start)
    name = f"{name}, {wording.hour(slot.start)}" if step % DAY else name
    return row(
        slot.at,
        element("time", name, datetime=slot.at),
        cost(total, digits=4),
        count("calls", total.calls),
        count("failed", total.failed),
        tokens("input_tokens", total.input_tokens, estimated=total.estimated),
        tokens("output_tokens", total.output_tokens, estimated=total.estimated),
    )
