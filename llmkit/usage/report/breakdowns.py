"""Who and what it was spent for: by model, by feature, by user, by any tag. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmkit.usage.report import wording
from llmkit.usage.report.charts import bar
from llmkit.usage.report.figures import Breakdown, Report, Totals
from llmkit.usage.report.markup import Markup, joined
from llmkit.usage.report.tables import cost, count, named, row, section, small, table, tokens


def breakdowns(report: Report) -> Iterator[Sequence[Markup]]:
    """A card for the models, for each tag, and for what else differs between the calls."""
    yield list(_cards(report))


def _cards(report: Report) -> Iterator[Markup]:
    yield _card("by-model", report.by_model, report.totals, of="by_model")
    for number, (tag, breakdown) in enumerate(report.by_tag.items()):
        yield _card(f"by-tag-{number}", breakdown, report.totals, of=f"by_tag.{tag}")
    for breakdown in (report.by_operation, report.by_key):
        if len(breakdown.groups) > 1:
            yield _card(f"by-{breakdown.by}", breakdown, report.totals, of=f"by_{breakdown.by}")


def _card(name: str, breakdown: Breakdown, whole: Totals, *, of: str) -> Markup:
    by, digits = wording.cut(breakdown.by, 40), wording.digits_for(whole.cost)
    lines = [_line(group.name, group.totals, whole, digits, f"no {by}") for group in breakdown.groups]
    if breakdown.rest is not None:
        lines.append(_line(None, breakdown.rest, whole, digits, wording.times(breakdown.others, "other")))
    return section(name, f"By {by}", table(name, f"By {by}", (by, "Cost", "Calls", "Tokens"), lines), of=of)


def _line(name: str | None, total: Totals, whole: Totals, digits: int, otherwise: str) -> Markup:
    part = float(total.cost / whole.cost) if whole.cost else total.total_tokens / (whole.total_tokens or 1)
    mark = bar(part, color=0 if name else 5)
    return row(
        name or otherwise,
        named(name, otherwise=otherwise, mark=mark),
        joined(cost(total, digits=digits), _small("unpriced", total.unpriced, "unpriced")),
        joined(count("calls", total.calls), _small("failed", total.failed, "failed")),
        joined(tokens("total_tokens", total.total_tokens), _small("estimated", total.estimated, "estimated")),
    )


def _small(name: str, number: int, what: str) -> Markup:
    return small(count(name, number), f" {what}") if number else Markup("")
