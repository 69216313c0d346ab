"""Who and what it was spent for: by model, by feature, by user, by any tag. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llmkit.usage.report import wording
from llmkit.usage.report.charts import bar
from llmkit.usage.report.figures import Breakdown, Report, Totals
from llmkit.usage.report.markup import Markup, element, joined
from llmkit.usage.report.tables import cost, count, named, row, section, small, table, tokens


def breakdowns(report: Report) -> Iterator[Sequence[Markup]]:
    """A card for the models, for each tag, and for what else differs between the calls."""
    yield list(_cards(report))


def _cards(report: Report) -> Iterator[Markup]:
    fields = (report.by_model, report.by_operation, report.by_key)
    yield _card("by-model", report.by_model, report.totals, of="by_model")
    for number, (tag, breakdown) in enumerate(report.by_tag.items()):
        kind = "tag " if any(field.by == tag for field in fields) else ""
        yield _card(f"by-tag-{number}", breakdown, report.totals, of=f"by_tag.{tag}", kind=kind)
    others = [each for each in fields[1:] if len(each.groups) > 1]
    if others:
        cards = (_card(f"by-{each.by}", each, report.totals, of=f"by_{each.by}") for each in others)
        yield element("div", *cards, class_="stack")


def _card(name: str, breakdown: Breakdown, whole: Totals, *, of: str, kind: str = "") -> Markup:
    by, digits = wording.cut(breakdown.by, 40), wording.digits_for(whole.cost)
    lines = [_line(group.name, group.totals, whole, digits, f"no {by}") for group in breakdown.groups]
    if breakdown.rest is not None:
        lines.append(_line(None, breakdown.rest, whole, digits, wording.times(breakdown.others, "other")))
    title, columns = joined(f"By {kind}", element("bdi", by)), (element("bdi", by), "Cost", "Calls", "Tokens")
    return section(name, title, table(name, f"By {kind}{by}", columns, lines), of=of)


def _line(name: str | None, total: Totals, whole: Totals, digits: int, otherwise: str) -> Markup:
    return row(
        wording.named(name, otherwise),
        named(name, otherwise=otherwise, mark=_bar(total, whole, color=5 if name is None else 0)),
        joined(cost(total, digits=digits), _small("unpriced", total.unpriced, "unpriced")),
        joined(count("calls", total.calls), _small("failed", total.failed, "failed")),
        joined(
            tokens("total_tokens", total.total_tokens, estimated=total.estimated),
            _small("estimated", total.estimated, "estimated"),
        ),
    )


def _bar(total: Totals, whole: Totals, *, color: int) -> Markup:
    """The part of the spend, none where that is unknown; of the tokens where nothing was spent."""
    if not whole.cost:
        return bar(total.total_tokens / (whole.total_tokens or 1), color=color)
    return Markup() if total.is_unknown() else bar(float(total.cost / whole.cost), color=color)


def _small(name: str, number: int, what: str) -> Markup:
    return small(count(name, number), f" {what}") if number else Markup("")
