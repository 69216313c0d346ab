from __future__ import annotations

from dataclasses import replace

from usage.report.pages import Page, a_month, nothing

from llmkit.usage.report.markup import joined
from llmkit.usage.report.timing import timing


def test_percentiles_of_all_calls_come_first_and_then_those_of_each_model() -> None:
    report = a_month()
    page = Page(joined(*next(timing(report))))
    latency, first = {}, {}
    for of in (report.latency, *report.latency_by_model):
        name = of.model or "all models"
        assert of.latency is not None
        latency |= {(name, each): repr(getattr(of.latency, each)) for each in ("p50", "p90", "p99")}
        latency[name, "calls"] = str(of.calls)
        if of.tokens_per_second is not None:
            latency[name, "tokens_per_second"] = repr(of.tokens_per_second)
        if of.first_token is not None:
            first |= {(name, each): repr(getattr(of.first_token, each)) for each in ("p50", "p90", "p99")}
            first[name, "calls"] = str(of.streams)
    assert page.values("latency") == latency
    assert page.values("first_token") == first
    assert len(first) < len(latency)  # embeddings do not stream


def test_a_chart_says_what_it_shows() -> None:
    titles = [each["aria-label"] for each in Page(joined(*next(timing(a_month())))).all("svg")]
    assert str(titles[0]).startswith("all models: half within ")


def test_calls_without_a_model_are_told_from_all_calls() -> None:
    report = a_month()
    page = Page(joined(*next(timing(replace(report, latency_by_model=[replace(report.latency, calls=1)])))))
    assert page.values("latency")["no model", "calls"] == "1"
    assert page.values("latency")["all models", "calls"] == str(report.latency.calls)


def test_there_may_be_nothing_to_tell() -> None:
    page = Page(joined(*next(timing(nothing()))))
    assert "No answer has arrived whole." in page.text
    assert "No stream has brought a token." in page.text
    assert page.figures == []
