from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from usage.report.pages import Page, a_month, nothing

from llmkit.usage.report.figures import Totals
from llmkit.usage.report.headline import headline


def test_the_headline_has_the_totals_and_percentiles() -> None:
    report = a_month()
    page, total, latency = Page(headline(report)), report.totals, report.latency.latency
    assert latency is not None
    assert page.values("totals") == {
        ("", "cost"): f"{total.cost:f}",
        ("", "calls"): "400",
        ("", "total_tokens"): str(total.total_tokens),
        ("", "input_tokens"): str(total.input_tokens),
        ("", "output_tokens"): str(total.output_tokens),
        ("", "saved_cost"): f"{total.saved_cost:f}",
        ("", "cached"): str(total.cached),
        ("", "saved_tokens"): str(total.saved_tokens),
        ("", "failed_share"): repr(total.failed / 400),
        ("", "failed"): str(total.failed),
        ("", "refused"): str(total.refused),
        ("", "latency.p50"): repr(latency.p50),
        ("", "latency.p90"): repr(latency.p90),
        ("", "unpriced"): str(total.unpriced),
        ("", "estimated"): str(total.estimated),
        ("", "cut"): str(total.cut),
        ("", "cancelled"): str(total.cancelled),
    }


def test_what_is_not_certain_is_said() -> None:
    total = Totals(calls=1_000, unpriced=1, estimated=20, cost=Decimal(7))
    text = Page(headline(replace(a_month(), totals=total))).text
    assert "1 call (0.1%) has no known price and is not in the spend." in text
    assert "20 calls (2.0%) had no figures from the server, so that llmkit has estimated the tokens (~)." in text


def test_certain_figures_have_no_notes_and_a_spend_without_prices_is_unknown() -> None:
    assert Page(headline(replace(a_month(), totals=Totals(calls=1)))).all("li") == []
    page = Page(headline(replace(a_month(), totals=Totals(calls=1, unpriced=1))))
    assert [each.shown for each in page.figures if each.figure == "cost"] == ["unknown"]


def test_without_answers_there_is_no_latency() -> None:
    page = Page(headline(nothing()))
    assert "no answer has arrived whole" in page.text
    assert page.values("totals")["", "latency.p50"] == ""
