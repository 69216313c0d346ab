"""What the caches saved, how good the predictions were, what went wrong, and the dearest calls. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import starmap

from llmkit.usage.report import wording
from llmkit.usage.report.charts import bar
from llmkit.usage.report.details import Accuracy, CacheUse, Call, Effort, Trouble
from llmkit.usage.report.figures import Report, Totals
from llmkit.usage.report.markup import Markup, element, joined
from llmkit.usage.report.tables import count, facts, figure, named, row, section, share, table, tokens
from llmkit.usage.report.timing import ALL, NO_MODEL
from llmkit.usage.report.wording import money


def quality(report: Report) -> Iterator[Sequence[Markup]]:
    """Pairs of cards, and one for single calls."""
    yield [
        section("cache", "Caches", _cache(report.cache, report.totals), of="cache"),
        section("effort", "Retries and waiting", _effort(report.effort), of="effort"),
    ]
    refusals = [element("h3", "Refused before they were sent"), _troubles("refusals", report.refusals)]
    yield [
        section(
            "accuracy", "Predicted tokens", *_accuracy([report.accuracy, *report.accuracy_by_model]), of="accuracy"
        ),
        section(
            "errors", "Errors", _troubles("errors", report.errors), *(refusals if report.refusals else []), of="errors"
        ),
    ]
    yield [section("top", "Dearest calls", _top(report.top), of="top")]


def _cache(use: CacheUse, total: Totals) -> Markup:
    asked, rate, given, made = use.hits + use.misses, use.hit_rate, use.saved_input_tokens, use.saved_output_tokens
    part = figure("hit_rate", rate, wording.share(rate))
    saved = joined(tokens("saved_input_tokens", given), " in, ", tokens("saved_output_tokens", made), " out")
    unpriced = joined(" and ", count("unpriced", use.unpriced), " hits of unknown price") if use.unpriced else Markup()
    worth = figure("saved_cost", use.saved_cost, money(use.saved_cost, digits=wording.digits_for(total.cost)))
    read = share("cached_share", total.cached_tokens, total.input_tokens)
    return _occurring(
        (
            asked,
            (
                "Answered by llmkit's caches",
                joined(count("hits", use.hits), f" of {asked:,} calls, ", part),
                bar(rate or 0, color=2),
            ),
        ),
        (use.semantic, ("Answered by meaning", count("semantic", use.semantic))),
        (given + made, ("Tokens saved", saved)),
        (use.saved_cost or use.unpriced, ("Money saved", joined(worth, unpriced))),
        (
            total.cached_tokens,
            (
                "From the provider's prompt cache",
                joined(tokens("cached_tokens", total.cached_tokens), " of the input tokens, ", read),
                bar(total.cached_share or 0, color=2),
            ),
        ),
        otherwise="No cache was asked.",
    )


def _effort(effort: Effort) -> Markup:
    def of(name: str) -> Markup:
        value = getattr(effort, name)
        return figure(name, value, wording.seconds(value)) if isinstance(value, float) else count(name, value)

    return _occurring(
        (effort.attempts, ("HTTP requests", of("attempts"))),
        (effort.retries, ("Retries", joined(of("retries"), " in ", of("retried_calls"), " calls"))),
        (effort.retry_wait, ("Waited between attempts", of("retry_wait"))),
        (
            effort.limit_wait,
            ("Waited for a rate limit", joined(of("limit_wait"), " in ", of("limited_calls"), " calls")),
        ),
        (effort.fallbacks, ("Answered by a fallback", joined(of("fallbacks"), " calls"))),
        (
            effort.trimmed_calls,
            ("Shortened to fit", joined(of("trimmed_calls"), " calls by ", of("trimmed_messages"), " messages")),
        ),
        otherwise="No request was sent.",
    )


def _occurring(*lines: tuple[object, tuple[str, *tuple[Markup, ...]]], otherwise: str) -> Markup:
    """The facts of which there is something, which is the first part of each line."""
    found = [fact for there_is, fact in lines if there_is]
    return facts(*found) if found else element("p", otherwise)


def _accuracy(rows: Sequence[Accuracy]) -> Iterator[Markup]:
    known = [(NO_MODEL if number else ALL, of) for number, of in enumerate(rows) if of.calls]
    if not known:
        yield element("p", "No call of the period was counted before it was sent.")
        return
    yield element(
        "p",
        "Input tokens that llmkit has counted before a call, beside what the server has counted. "
        "Worst: with + llmkit counted more than the server, with - less.",
    )
    yield table("accuracy", "Predicted tokens", ("Model", "Exact", "Within 1%", "Worst"), starmap(_predicted, known))


def _predicted(otherwise: str, of: Accuracy) -> Markup:
    mean = _points("mean_error", of.mean_error)
    below = joined(count("calls", of.calls), " calls, off by ", mean, " on average")
    return row(
        of.model or otherwise,
        named(of.model or otherwise, below),
        share("exact_share", of.exact, of.calls),
        share("within_1_percent_share", of.within_1_percent, of.calls),
        _points("worst", of.worst, sign="+"),
    )


def _points(name: str, percent: float | None, *, sign: str = "") -> Markup:
    return figure(name, percent, wording.UNKNOWN if percent is None else f"{percent:{sign}.2f}%")


def _troubles(name: str, troubles: Sequence[Trouble]) -> Markup:
    if not troubles:
        return element("p", "No call has failed.")
    most = max(trouble.calls for trouble in troubles)
    lines = (_trouble(each, most) for each in troubles)
    return element("div", table(name, name, ("Error", "Calls", "Last"), lines), data_of=name)


def _trouble(of: Trouble, most: int) -> Markup:
    models = ", ".join(wording.cut(model, 40) for model in of.models[:5])
    below = _listed(str(of.status_code or ""), wording.cut(of.error_code or "", 40), models)
    key = f"{of.error}/{of.error_code}/{of.status_code}"
    return row(
        key,
        named(of.error, below, mark=bar(of.calls / most, color=1)),
        count("calls", of.calls),
        element("time", wording.moment(of.last_at), datetime=of.last),
    )


def _top(calls: Sequence[Call]) -> Markup:
    if not calls:
        return element("p", "No call has used anything.")
    digits = wording.digits_for(max((call.cost for call in calls if call.cost is not None), default=Decimal(0)))
    lines = (_call(call, digits) for call in calls)
    return table("top", "Dearest calls", ("Call", "Cost", "Tokens", "Took"), lines)


def _call(of: Call, digits: int) -> Markup:
    tags = ", ".join(f"{wording.cut(name, 30)}={wording.cut(str(value), 40)}" for name, value in of.tags.items())
    began = element("time", wording.moment(of.started_at), datetime=of.at)
    outcome = "" if of.outcome == "ok" else of.outcome
    below = _listed(began, *(wording.cut(each) for each in (of.operation, outcome, tags, of.request_id or "")))
    return row(
        of.at,
        named(of.model, below, otherwise=NO_MODEL),
        figure("cost", of.cost, money(of.cost, digits=digits)),
        tokens("total_tokens", of.total_tokens, estimated=of.estimated),
        figure("latency", of.latency, wording.seconds(of.latency)),
    )


def _listed(*facts: str | None) -> Markup:
    """What is known, with dots between."""
    known = [element("bdi", fact) for fact in facts if fact]
    return Markup(" \N{MIDDLE DOT} ".join(known))
