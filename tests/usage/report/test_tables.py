from __future__ import annotations

from decimal import Decimal

import pytest
from usage.report.pages import Figure, Page

from llmkit.usage.report.figures import Totals
from llmkit.usage.report.markup import Markup, element
from llmkit.usage.report.tables import cost, count, facts, figure, named, row, section, share, table, tokens

LINES = [row(f"n{number}", named(f"n{number}"), count("calls", number)) for number in range(10)]


@pytest.mark.parametrize(
    ("made", "value", "shown"),
    [
        (figure("f", Decimal("1E-9"), "<$0.01"), "0.000000001", "<$0.01"),
        (figure("f", 0.1, "100 ms"), "0.1", "100 ms"),
        (figure("f", None, "unknown"), "", "unknown"),
        (count("f", 12_345), "12345", "12,345"),
        (tokens("f", 12_345), "12345", "12.3k"),
        (tokens("f", 12_345, estimated=2), "12345", "~12.3k"),
        (tokens("f", 0, estimated=2), "0", "0"),
        (tokens("f", None), "", "unknown"),
        (share("f", 1, 4), "0.25", "25.0%"),
        (share("f", 0, 0), "", "unknown"),
        (cost(Totals(cost=Decimal("1.5")), digits=2), "1.5", "$1.50"),
        (cost(Totals(cost=Decimal("1.5"), unpriced=1), digits=2), "1.5", "\N{GREATER-THAN OR EQUAL TO}$1.50"),
        (cost(Totals(unpriced=1), digits=2), "", "unknown"),
    ],
)
def test_a_figure_is_exact_beside_what_is_shown(made: Markup, value: str, shown: str) -> None:
    found = Page(made).figures[0]
    assert (found.value, found.shown) == (value, shown)


def test_a_figure_is_found_by_its_part_and_its_row() -> None:
    page = Page(section("by-model", "By model", table("m", "By model", ("Model", "Calls"), LINES[1:2]), of="by_model"))
    assert page.figures == [Figure("by_model", "n1", "calls", "1", "1")]
    assert page.all("section")[0]["aria-labelledby"] == page.all("h2")[0]["id"] == "by-model"


def test_rows_and_columns_have_headings() -> None:
    page = Page(table("m", "By model", ("Model", "Calls"), LINES[:1]))
    assert page.all("table")[0]["aria-label"] == "By model"
    assert [each["scope"] for each in page.all("th")] == ["col", "col", "row"]


def test_a_table_is_one_however_it_is_laid_out() -> None:
    page = Page(table("m", "By model", ("Model", "Calls"), LINES[:1]))
    assert [attributes.get("role") for _, attributes in page.elements if "role" in attributes] == [
        "table", "rowgroup", "row", "columnheader", "columnheader", "rowgroup", "row", "rowheader", "cell",
    ]  # fmt: skip


def test_a_few_rows_more_are_shown_many_unfold() -> None:
    assert Page(table("m", "By model", ("Model", "Calls"), LINES[:8])).all("details") == []
    page = Page(table("m", "By model", ("Model", "Calls"), LINES))
    assert page.all("details") == [{"id": "m-more"}]
    assert [each["aria-label"] for each in page.all("table")] == ["By model", "By model: 4 more"]
    assert "4 more" in page.text
    assert len(page.all("tr")) == 12


def test_a_name_that_is_cut_is_whole_in_its_tooltip_up_to_a_point() -> None:
    page = Page(named("x" * 2_000))
    assert page.all("bdi")[0]["title"] == "x" * 1_000
    assert len(page.text) == 80
    assert Page(named("short")).all("bdi") == [{}]


def test_no_name_is_no_name() -> None:
    page = Page(named(None, element("b", "below"), Markup(""), otherwise="no user"))
    assert page.text == "no userbelow"
    assert len(page.all("small")) == 1


def test_an_empty_name_is_seen() -> None:
    assert Page(named("", otherwise="no user")).text == '""'


def test_facts_may_have_a_chart() -> None:
    page = Page(facts(("a", Markup("1")), ("b", Markup("2"), element("svg"))))
    assert page.text == "a1b2"
    assert len(page.all("dd")) == 3
