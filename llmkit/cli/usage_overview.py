"""What `llmkit usage` says above its tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from llmkit.cli.output import print_facts, terminal
from llmkit.cli.sparkline import merged, sparkline
from llmkit.cli.units import dollars
from llmkit.cli.usage_columns import cost
from llmkit.usage.report.details import Accuracy, CacheUse, Effort, Latency, when
from llmkit.usage.report.figures import DAY, Filter, Report, Totals
from llmkit.usage.report.wording import roughly, seconds, share, times

_BESIDE = 26
"""Columns of a line that bars do not have: the name before them, the highest value behind."""


def print_overview(report: Report) -> None:
    """The sums, a line each, and bars over time."""
    print_facts(_facts(report))
    print_facts([("", ""), *_bars(report)])


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    of = report.totals
    yield "period", f"{when(report.since)} to {when(report.until)}"
    if chosen := " ".join(_chosen(report.filter)):
        yield "only", chosen
    yield "calls", _with_parts(f"{of.calls:,}", _outcomes(of))
    cached = f" ({share(of.cached_share)} cached)" if of.cached_tokens else ""
    reasoned = f" ({of.reasoning_tokens:,} reasoning)" if of.reasoning_tokens else ""
    total, given, made = (
        roughly(f"{count:,}", of.estimated) for count in (of.total_tokens, of.input_tokens, of.output_tokens)
    )
    yield "tokens", f"{total}: {given} input{cached}, {made} output{reasoned}"
    if of.estimated:
        yield "", f"estimated in {times(of.estimated, 'call')}, for which the server sent no figures (~)"
    yield "cost", cost(of)
    if of.unpriced:
        yield (
            "",
            (
                f"not known for {times(of.unpriced, 'call')}: install llmkit[prices] where they are made, "
                "or register_price their model (it holds for calls from then on)"
            ),
        )
    yield from _behaviour(report)


def _behaviour(report: Report) -> Iterator[tuple[str, str]]:
    cache, latency, accuracy = report.cache, report.latency, report.accuracy
    if cache.hit_rate is not None:
        yield "cache", _cache(cache)
    if latency.latency is not None:
        yield "latency", _latency(latency)
    if accuracy.calls:
        yield "token count", _accuracy(accuracy)
    if waits := "; ".join(_efforts(report.effort)):
        yield "extra", waits


def _chosen(wanted: Filter) -> Iterator[str]:
    for name in ("model", "operation", "outcome"):
        if (value := getattr(wanted, name)) is not None:
            yield f"{name}={value}"
    yield from (f"{name}={value}" for name, value in wanted.tags.items())


def _outcomes(of: Totals) -> Iterator[str]:
    named = (
        (of.cached, "answered by a cache"),
        (of.failed, "failed"),
        (of.refused, "refused"),
        (of.cut, "cut short"),
        (of.cancelled, "cancelled"),
    )
    return (f"{count:,} {name}" for count, name in named if count)


def _cache(cache: CacheUse) -> str:
    semantic = f" ({cache.semantic:,} by meaning)" if cache.semantic else ""
    unpriced = f" and {times(cache.unpriced, 'answer')} of unknown price" if cache.unpriced else ""
    saved = cache.saved_input_tokens + cache.saved_output_tokens
    return (
        f"{share(cache.hit_rate)}: {cache.hits:,} of {cache.hits + cache.misses:,}{semantic}; "
        f"saved {dollars(cache.saved_cost)}{unpriced}, {saved:,} tokens"
    )


def _latency(latency: Latency) -> str:
    assert latency.latency is not None
    of, first = latency.latency, latency.first_token
    until_first = f"; first token p50 {seconds(first.p50)}, p99 {seconds(first.p99)}" if first else ""
    return f"p50 {seconds(of.p50)}, p90 {seconds(of.p90)}, p99 {seconds(of.p99)}{until_first}"


def _accuracy(of: Accuracy) -> str:
    near = f"exact in {share(of.exact_share)}, within 1% in {share(of.within_1_percent_share)} of {of.calls:,}"
    return f"{near}; off by {of.mean_error:.2f}% on average, {of.worst:+.1f}% at worst"


def _efforts(of: Effort) -> Iterator[str]:
    if of.retries:
        waited = f", {seconds(of.retry_wait)} between" if of.retry_wait else ""
        yield f"{times(of.retries, 'further attempt')} in {times(of.retried_calls, 'call')}{waited}"
    if of.limited_calls:
        yield f"{times(of.limited_calls, 'call')} waited {seconds(of.limit_wait)} for a rate limit"
    if of.fallbacks:
        yield f"{times(of.fallbacks, 'call')} answered by a fallback"
    if of.trimmed_calls:
        yield f"{times(of.trimmed_messages, 'message')} left out of {times(of.trimmed_calls, 'call')}"


def _bars(report: Report) -> Iterator[tuple[str, str]]:
    slots, most = report.slots, max(8, terminal().width - _BESIDE)
    size, costs = merged([int(slot.totals.cost.scaleb(9)) for slot in slots], most=most)
    _, calls = merged([slot.totals.calls for slot in slots], most=most)
    plain = not terminal().encoding.lower().startswith("utf")
    if any(costs):
        yield "cost", f"{sparkline(costs, plain=plain)}  max {dollars(Decimal(max(costs)).scaleb(-9))}"
    yield "calls", f"{sparkline(calls, plain=plain)}  max {max(calls):,}"
    length, unit = (10, "a day") if report.step == DAY else (16, "an hour")
    each = unit if size == 1 else f"{size} {unit.split()[1]}s"
    yield "", f"{slots[0].at[:length]} to {slots[-1].at[:length]}, a bar is {each}"


def _with_parts(whole: str, parts: Iterable[str]) -> str:
    named = ", ".join(parts)
    return f"{whole}: {named}" if named else whole
