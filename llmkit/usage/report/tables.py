"""Tables of figures, each of which a test or a script finds by its name. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from llmkit.usage.report import wording
from llmkit.usage.report.details import share_of
from llmkit.usage.report.figures import Totals
from llmkit.usage.report.markup import Markup, element, joined

_FIRST_ROWS, _FEW_ROWS = 6, 8
"""Of a longer table than the second says, so many rows are shown at once; the others unfold."""
_LONGEST = 1_000
"""Characters of a name where it is not cut for the eye."""


def figure(name: str, value: Decimal | float | None, shown: str) -> Markup:
    """A figure as it is `shown`, and exactly in its attributes; an unknown one has the value ""."""
    exact = "" if value is None else f"{value:f}" if isinstance(value, Decimal) else repr(value)
    return element("data", shown, value=exact, data_figure=name)


def count(name: str, value: int) -> Markup:
    """A whole number, every digit of it."""
    return figure(name, value, f"{value:,}")


def tokens(name: str, value: int | None, *, estimated: int = 0) -> Markup:
    """Tokens, to three figures; with a tilde when there are estimates among them."""
    shown = wording.UNKNOWN if value is None else wording.roughly(wording.short(value), estimated and value)
    return figure(name, value, shown)


def cost(total: Totals, *, digits: int) -> Markup:
    """What calls cost; unknown where no price is known of those that were billed."""
    shown = wording.spent(total.cost, unpriced=total.unpriced, digits=digits)
    return figure("cost", None if total.is_unknown() else total.cost, shown)


def share(name: str, part: int, whole: int) -> Markup:
    """`part` of `whole` in percent; unknown where there is no whole."""
    return figure(name, value := share_of(part, whole), wording.share(value))


def named(name: str | None, *below: Markup, otherwise: str = "(none)", mark: str = "") -> Markup:
    """The first cell of a row: a name, a chart's `mark` and small print below it."""
    shown = element("span", otherwise, class_="none") if name is None else _short(wording.named(name, otherwise))
    return joined(shown, mark, *(small(each) for each in below if each))


def _short(name: str) -> Markup:
    cut = wording.cut(name)
    return element("bdi", cut, title=name[:_LONGEST] if name != cut else None)


def small(*inside: str) -> Markup:
    """Small print below a figure."""
    return element("small", *inside)


def row(name: str | None, *cells: Markup) -> Markup:
    """A row of the thing called `name`, its heading first."""
    first, *others = cells
    inside = (element("td", cell, role="cell") for cell in others)
    heading = element("th", first, scope="row", role="rowheader")
    return element("tr", heading, *inside, role="row", data_name=(name or "")[:_LONGEST])


def table(name: str, label: str, columns: Sequence[str], rows: Iterable[Markup]) -> Markup:
    """A table whose first column is names and whose others are figures; what is below the first rows unfolds."""
    lines = list(rows)
    first = len(lines) if len(lines) <= _FEW_ROWS else _FIRST_ROWS
    shown, others = whole_table(label, columns, lines[:first], kind="listed"), lines[first:]
    if not others:
        return shown
    more = f"{len(others):,} more"
    return joined(shown, folded(f"{name}-more", more, whole_table(f"{label}: {more}", columns, others, kind="listed")))


def folded(name: str, summary: str, inside: Markup) -> Markup:
    """What unfolds when its `summary` is clicked; `name` is its id."""
    return element("details", element("summary", summary), inside, id=name)


def whole_table(label: str, columns: Sequence[str], lines: Iterable[Markup], *, kind: str | None = None) -> Markup:
    """All the rows at once; on a phone, a "listed" one has the figures of a row below its name."""
    names = (element("th", column, scope="col", role="columnheader") for column in columns)
    head = element("thead", element("tr", *names, role="row"), role="rowgroup")
    # The roles are those of the elements, which some browsers forget where the style sheet lays a table out anew.
    body = element("tbody", *lines, role="rowgroup")
    inside = element("table", head, body, role="table", aria_label=label, class_=kind)
    return element("div", inside, class_="wide")


def section(name: str, title: str, *inside: Markup, of: str) -> Markup:
    """A card of the page with its heading; `name` is its id, `of` the part of the `Report` whose figures it has."""
    heading = element("h2", title, id=name)
    return element("section", heading, *inside, aria_labelledby=name, class_="card", data_of=of)


def facts(*lines: tuple[str, *tuple[Markup, ...]]) -> Markup:
    """What there is to say of one thing, a line each: its name, the figure and, if need be, a chart."""
    return element("dl", *(_fact(*line) for line in lines))


def _fact(name: str, value: Markup, chart: Markup | None = None) -> Markup:
    return element("div", element("dt", name), element("dd", value), *([element("dd", chart)] if chart else []))
