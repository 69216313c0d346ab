from __future__ import annotations

from dataclasses import asdict, replace
from decimal import Decimal

from usage.report.pages import Page, a_month, nothing

from llmkit.usage.report.figures import Report
from llmkit.usage.report.markup import joined
from llmkit.usage.report.quality import quality


def page_of(report: Report) -> Page:
    return Page(joined(*(card for cards in quality(report) for card in cards)))


def test_caches_and_effort_have_their_figures() -> None:
    report, page = a_month(), page_of(a_month())
    use, total = report.cache, report.totals
    assert page.values("cache") == {
        ("", "hits"): str(use.hits),
        ("", "semantic"): str(use.semantic),
        ("", "hit_rate"): repr(use.hit_rate),
        ("", "saved_input_tokens"): str(use.saved_input_tokens),
        ("", "saved_output_tokens"): str(use.saved_output_tokens),
        ("", "saved_cost"): f"{use.saved_cost:f}",
        ("", "cached_tokens"): str(total.cached_tokens),
        ("", "cached_share"): repr(total.cached_share),
    }
    assert page.values("effort") == {("", name): repr(value) for name, value in asdict(report.effort).items() if value}


def test_predictions_have_their_figures() -> None:
    report = a_month()
    expected = {}
    for of in (report.accuracy, *report.accuracy_by_model):
        name = of.model or "all models"
        expected |= {(name, each): repr(getattr(of, each)) for each in ("calls", "mean_error", "worst")}
        expected[name, "exact_share"] = repr(of.exact / of.calls)
        expected[name, "within_1_percent_share"] = repr(of.within_1_percent / of.calls)
    assert page_of(report).values("accuracy") == expected


def test_errors_and_refusals_are_counted() -> None:
    report = a_month()
    page = page_of(report)
    for of, troubles in (("errors", report.errors), ("refusals", report.refusals)):
        assert page.values(of) == {
            (f"{each.error}/{each.error_code}/{each.status_code}", "calls"): str(each.calls) for each in troubles
        }
    assert "Refused before they were sent" in page.text
    assert "429 \N{MIDDLE DOT} rate_limit_exceeded \N{MIDDLE DOT} gpt-4o" in page.text


def test_the_dearest_calls_say_who_made_them() -> None:
    report = a_month()
    call = replace(report.top[0], tags={"user": "alice", "tries": 3}, outcome="cut", request_id="req_1", estimated=True)
    page = page_of(replace(report, top=[call]))
    assert page.values("top") == {
        (call.at, "latency"): repr(call.latency),
        (call.at, "total_tokens"): str(call.total_tokens),
        (call.at, "cost"): f"{call.cost:f}",
    }
    said = "chat.completions \N{MIDDLE DOT} cut \N{MIDDLE DOT} user=alice, tries=3 \N{MIDDLE DOT} req_1"
    assert said in page.text
    assert next(each.shown for each in page.figures if each.figure == "total_tokens")[0] == "~"


def test_a_dear_call_has_no_hundredths_of_a_cent() -> None:
    call = replace(a_month().top[0], cost=Decimal("12.3456"))
    page = page_of(replace(a_month(), top=[call, replace(call, cost=None)]))
    assert [each.shown for each in page.figures if each.of == "top" and each.figure == "cost"] == ["$12.35", "unknown"]


def test_hits_of_unknown_price_are_said() -> None:
    report = a_month()
    page = page_of(replace(report, cache=replace(report.cache, unpriced=2)))
    assert page.values("cache")["", "unpriced"] == "2"
    assert "and 2 hits of unknown price" in page.text


def test_there_may_be_nothing_to_tell() -> None:
    page = page_of(nothing())
    for said in (
        "No cache was asked.",
        "No request was sent.",
        "No call of the period was counted before it was sent.",
        "No call has failed.",
        "No call has used anything.",
    ):
        assert said in page.text
    assert "Refused before" not in page.text
