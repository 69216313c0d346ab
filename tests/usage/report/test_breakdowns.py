from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from usage.report.pages import Page, a_month

from llmkit.usage.report.breakdowns import breakdowns
from llmkit.usage.report.figures import Breakdown, Group, Report, Totals
from llmkit.usage.report.markup import joined


def page_of(report: Report) -> Page:
    return Page(joined(*(card for cards in breakdowns(report) for card in cards)))


def test_models_tags_operations_and_keys_have_a_card_each_and_every_group_its_figures() -> None:
    report = a_month()
    page = page_of(report)
    parts = {"by_model": report.by_model, "by_operation": report.by_operation, "by_key": report.by_key}
    parts |= {f"by_tag.{tag}": breakdown for tag, breakdown in report.by_tag.items()}
    assert [each["data-of"] for each in page.all("section")] == [
        "by_model", "by_tag.feature", "by_tag.user", "by_operation", "by_key",
    ]  # fmt: skip
    for of, breakdown in parts.items():
        expected = {}
        for group in breakdown.groups:
            name, total = group.name or f"no {breakdown.by}", group.totals
            expected[name, "cost"] = "" if total.is_unknown() else f"{total.cost:f}"
            expected |= {(name, each): str(getattr(total, each)) for each in ("calls", "total_tokens")}
            few = ("unpriced", "failed", "estimated")
            expected |= {(name, each): str(getattr(total, each)) for each in few if getattr(total, each)}
        assert page.values(of) == expected


def test_what_all_calls_have_in_common_is_no_breakdown() -> None:
    one = Breakdown(by="key", groups=[Group(name=None, totals=a_month().totals)])
    page = page_of(replace(a_month(), by_key=one, by_operation=replace(one, by="operation"), by_tag={}))
    assert [each["data-of"] for each in page.all("section")] == ["by_model"]


def test_a_bar_is_as_long_as_the_share_of_the_spend_or_else_of_the_tokens() -> None:
    dear, cheap = Totals(calls=1, cost=Decimal(3), total_tokens=1), Totals(calls=1, cost=Decimal(1), total_tokens=4)
    groups = [Group(name="dear", totals=dear), Group(name=None, totals=cheap)]
    report = replace(a_month(), totals=dear + cheap, by_tag={}, by_model=Breakdown(by="model", groups=groups))
    assert [(each["width"], each["class"]) for each in page_of(report).all("rect")][:2] == [
        ("75.000%", "s0"),
        ("25.000%", "s5"),
    ]
    report = replace(report, totals=Totals(calls=2, total_tokens=5))
    assert [each["width"] for each in page_of(report).all("rect")][:2] == ["20.000%", "80.000%"]
    report = replace(
        report, totals=Totals(calls=2), by_model=Breakdown(by="model", groups=[Group(name="a", totals=Totals())])
    )
    assert page_of(report).all("rect")[0]["width"] == "0.000%"


def test_there_is_no_bar_for_a_cost_that_is_unknown() -> None:
    dear, own = Totals(calls=1, cost=Decimal(3)), Totals(calls=1, unpriced=1, total_tokens=9)
    groups = [Group(name="dear", totals=dear), Group(name="own", totals=own)]
    report = replace(a_month(), totals=dear + own, by_tag={}, by_model=Breakdown(by="model", groups=groups))
    report = replace(report, by_key=Breakdown(by="key", groups=[]), by_operation=Breakdown(by="operation", groups=[]))
    page = page_of(report)
    assert [each["width"] for each in page.all("rect")] == ["100.000%"]
    assert [each.shown for each in page.figures if each.figure == "cost"] == ["$3.0000", "unknown"]


def test_a_tag_that_is_called_like_a_field_is_said_to_be_a_tag() -> None:
    report = a_month()
    page = page_of(replace(report, by_tag={"model": replace(report.by_tag["user"], by="model"), "team": report.by_key}))
    assert "By model" in page.text
    assert "By tag model" in page.text


def test_groups_that_are_not_listed_are_summed_up() -> None:
    rest = Totals(calls=7, cost=Decimal("0.25"))
    users = Breakdown(by="user", groups=[Group(name="alice", totals=Totals(calls=1))], others=3, rest=rest)
    page = page_of(replace(a_month(), by_tag={"user": users}))
    assert page.values("by_tag.user")["3 others", "calls"] == "7"
    assert page.values("by_tag.user")["3 others", "cost"] == "0.25"
