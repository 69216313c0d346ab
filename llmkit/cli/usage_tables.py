"""The tables of `llmkit usage`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import typer

from llmkit.cli.fitting import Column, print_fitted
from llmkit.cli.periods import STEPS
from llmkit.cli.usage_columns import CALLS, ERRORS, LATENCIES, NONE, REFUSALS, SUMS, Line
from llmkit.usage.report.figures import DAY, Breakdown, Report, Slot, Totals
from llmkit.usage.report.wording import named

T = TypeVar("T")

_FIRST: Final = ("user", "feature")
"""Tags whose tables everybody wants; without them it is the two that most calls have."""


def breakdowns(report: Report) -> dict[str, Breakdown]:
    """By what the calls can be told apart; a tag that is called like a field gives way."""
    fields = {of.by: of for of in (report.by_model, report.by_operation, report.by_key)}
    return {**report.by_tag, **fields}


def one_of(report: Report, by: str) -> Breakdown | Sequence[object]:
    """The figures that `--by` means."""
    if by in STEPS:
        return report.slots
    return report.errors if by == "error" else breakdowns(report)[by]


def print_one(report: Report, by: str, *, most: int) -> None:
    """The table of `--by`."""
    if by in STEPS:
        _print_slots(report.slots, step=report.step)
    elif by == "error":
        print_fitted(ERRORS, report.errors[:most])
    else:
        _print_breakdown(breakdowns(report)[by], most=most)


def print_all(report: Report, *, most: int) -> None:
    """What was called, by whom and what for, how long it took, what went wrong, and the dearest calls."""
    chosen = [tag for tag in _FIRST if tag in report.by_tag] or list(report.by_tag)[:2]
    for breakdown in (report.by_model, *(report.by_tag[tag] for tag in chosen)):
        typer.echo()
        _print_breakdown(breakdown, most=most)
    _print_further(LATENCIES, report.latency_by_model[:most])
    _print_further(ERRORS, report.errors[:most])
    _print_further(REFUSALS, report.refusals[:most])
    _print_further(CALLS, report.top)


def _print_further(columns: Sequence[Column[T]], things: Sequence[T]) -> None:
    if things:
        typer.echo()
        print_fitted(columns, things)


def _print_breakdown(of: Breakdown, *, most: int) -> None:
    lines = [(named(group.name, NONE), group.totals) for group in of.groups[:most]]
    hidden = [group.totals for group in of.groups[most:]] + ([] if of.rest is None else [of.rest])
    if hidden:
        others = len(of.groups[most:]) + of.others
        lines.append((f"({others:,} more)", sum(hidden, Totals())))
    _print_sums(of.by, lines)


def _print_slots(slots: Sequence[Slot], *, step: int) -> None:
    length, title = (len("2026-11-21"), "day") if step == DAY else (len("2026-11-21T20:00"), "hour")
    _print_sums(title, [(slot.at[:length], slot.totals) for slot in slots])


def _print_sums(title: str, lines: Sequence[Line]) -> None:
    name: Column[Line] = Column(title=title, show=lambda line: line[0], text=True)
    print_fitted((name, *SUMS), lines)
