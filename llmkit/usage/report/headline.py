"""The first thing on the page: what it was in all, and what of it is not certain. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from llmkit.usage.report import wording
from llmkit.usage.report.charts import sparkline
from llmkit.usage.report.details import share_of
from llmkit.usage.report.figures import Report, Totals
from llmkit.usage.report.markup import Markup, element, joined
from llmkit.usage.report.over_time import grouped
from llmkit.usage.report.tables import cost, count, figure, share, tokens
from llmkit.usage.report.wording import money


def headline(report: Report) -> Markup:
    """Six figures and what to know about them."""
    tiles = element("div", *_tiles(report), class_="tiles")
    return element("div", tiles, element("ul", *_notes(report.totals), class_="notes"), data_of="totals")


def _tiles(report: Report) -> Iterator[Markup]:
    total, slots = report.totals, [slot.totals for slot in grouped(report.slots)]

    def of(name: str) -> Markup:
        return tokens(name, getattr(total, name), estimated=total.estimated)

    of_the_period = "in this period, from its start to its end"
    yield _tile(
        "Spend",
        cost(total, digits=wording.digits_for(total.cost)),
        sparkline([float(each.cost) for each in slots], title=f"Spend {of_the_period}"),
    )
    yield _tile(
        "Calls",
        count("calls", total.calls),
        sparkline([each.calls for each in slots], title=f"Calls {of_the_period}"),
    )
    yield _tile(
        "Tokens",
        of("total_tokens"),
        joined(of("input_tokens"), " in, ", of("output_tokens"), " out"),
    )
    yield _tile(
        "Saved by caches",
        figure("saved_cost", total.saved_cost, money(total.saved_cost, digits=wording.digits_for(total.cost))),
        joined(
            count("cached", total.cached), " calls answered, ", tokens("saved_tokens", total.saved_tokens), " tokens"
        ),
    )
    yield _tile(
        "Failed",
        share("failed_share", total.failed, total.calls),
        joined(count("failed", total.failed), " failed, ", count("refused", total.refused), " refused"),
    )
    yield _tile("Median latency", *_latency(report))


def _tile(name: str, main: Markup, below: Markup) -> Markup:
    return element("div", element("h2", name), element("p", main, class_="main"), element("p", below), class_="tile")


def _latency(report: Report) -> tuple[Markup, Markup]:
    latency = report.latency.latency
    if latency is None:
        return figure("latency.p50", None, wording.UNKNOWN), Markup("no answer has arrived whole")
    p50 = figure("latency.p50", latency.p50, wording.seconds(latency.p50))
    p90 = figure("latency.p90", latency.p90, wording.seconds(latency.p90))
    return p50, joined("90% within ", p90)


def _notes(total: Totals) -> Iterator[Markup]:
    """What makes the figures less than certain; nothing where nothing does."""
    what = (
        ("unpriced", "has no known price and is not in the spend", "have no known price and are not in the spend"),
        ("estimated", *("had no figures from the server, so that llmkit has estimated the tokens (~)",) * 2),
        ("cut", *("did not get the whole answer",) * 2),
        ("cancelled", "was cancelled before an answer", "were cancelled before an answer"),
    )
    for name, one, many in what:
        if number := getattr(total, name):
            part = wording.share(share_of(number, total.calls))
            said = f" call ({part}) {one}." if number == 1 else f" calls ({part}) {many}."
            yield element("li", count(name, number), said)
