"""How long answers took. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from llmkit.usage.report import wording
from llmkit.usage.report.charts import spread
from llmkit.usage.report.details import Latency, Spread
from llmkit.usage.report.figures import Report
from llmkit.usage.report.markup import Markup, element, joined
from llmkit.usage.report.tables import count, figure, named, row, section, table

ALL: Final = "all models"
NO_MODEL: Final = "no model"
_KEY: Final = "Dot: median. Ring: 90% were faster. Bar: 99%."


def timing(report: Report) -> Iterator[Sequence[Markup]]:
    """Two cards of percentiles."""
    rows = [(ALL, report.latency), *((NO_MODEL, each) for each in report.latency_by_model)]
    latency = [_Row(of.model or name, of.latency, of.calls, _speed(of)) for name, of in rows if of.latency]
    first_token = [_Row(of.model or name, of.first_token, of.streams) for name, of in rows if of.first_token]
    yield [
        _card("latency", "Latency", latency, "No answer has arrived whole."),
        _card("first_token", "Time to first token", first_token, "No stream has brought a token."),
    ]


class _Row(NamedTuple):
    name: str
    times: Spread
    calls: int
    more: Markup = Markup()


def _speed(of: Latency) -> Markup:
    speed = of.tokens_per_second
    return (
        Markup()
        if speed is None
        else joined(", ", figure("tokens_per_second", speed, wording.short(speed)), " tokens/s")
    )


def _card(name: str, title: str, rows: Sequence[_Row], otherwise: str) -> Markup:
    if not rows:
        return section(name, title, element("p", otherwise), of=name)
    most = max(each.times.p99 for each in rows)
    body = table(name, title, ("Model", "p50", "p90", "p99"), (_line(each, most) for each in rows))
    return section(name, title, element("p", _KEY), body, of=name)


def _line(of: _Row, most: float) -> Markup:
    p50, p90, p99 = map(wording.seconds, (of.times.p50, of.times.p90, of.times.p99))
    title = f"{wording.cut(of.name)}: half within {p50}, 90% within {p90}, 99% within {p99}"
    mark = spread(of.times.p50, of.times.p90, of.times.p99, most=most, title=title)
    return row(
        of.name,
        named(of.name, joined(count("calls", of.calls), " calls", of.more), mark=mark),
        figure("p50", of.times.p50, p50),
        figure("p90", of.times.p90, p90),
        figure("p99", of.times.p99, p99),
    )
