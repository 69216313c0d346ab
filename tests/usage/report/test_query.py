from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from usage.report.ledgers import DAY, month, record, write

from llmkit.record import CallRecord
from llmkit.usage.report.details import Accuracy, CacheUse, Effort, Latency, Spread
from llmkit.usage.report.figures import HOUR, Filter, Report, Totals
from llmkit.usage.report.opening import opened
from llmkit.usage.report.query import report

END = 1_795_000_000.0
Key = Callable[[CallRecord], object]


@pytest.fixture(scope="module")
def records() -> list[CallRecord]:
    return list(month(calls=800, until=END))


@pytest.fixture(scope="module")
def path(records: list[CallRecord], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "usage.db"
    write(path, records)
    return path


def read(path: Path, wanted: Filter = Filter(), **how: Any) -> Report:  # noqa: B008
    with opened(str(path), since=-math.inf, until=math.inf) as connection:
        return report(connection, wanted, **how)


def read_all(tmp_path: Path, *records: CallRecord, wanted: Filter = Filter(), **how: Any) -> Report:  # noqa: B008
    write(tmp_path / "usage.db", records)
    return read(tmp_path / "usage.db", wanted, **how)


def asked(record: CallRecord) -> str | None:
    return record.sent_model or record.model


def totals(records: Sequence[CallRecord]) -> Totals:
    """The sums, without SQL."""

    def tokens(name: str) -> int:
        return sum(getattr(each, name) or 0 for each in records)

    outcomes = Counter(each.outcome for each in records)
    named = ("failed", "refused", "cached", "cut", "cancelled")
    return Totals(
        calls=len(records),
        **{name: outcomes[name] for name in named},
        estimated=sum(each.estimated for each in records),
        unpriced=sum(each.cost is None and bool(each.total_tokens or each.audio_seconds) for each in records),
        input_tokens=tokens("input_tokens"),
        output_tokens=tokens("output_tokens"),
        total_tokens=tokens("total_tokens"),
        cached_tokens=tokens("cached_tokens"),
        reasoning_tokens=tokens("reasoning_tokens"),
        cost=sum((each.cost or Decimal(0) for each in records), Decimal(0)),
        saved_tokens=tokens("saved_input_tokens") + tokens("saved_output_tokens"),
        saved_cost=sum((each.saved_cost or Decimal(0) for each in records), Decimal(0)),
    )


def by(records: Sequence[CallRecord], key: Key) -> dict[object, Totals]:
    found: dict[object, list[CallRecord]] = {}
    for each in records:
        found.setdefault(key(each), []).append(each)
    return {name: totals(group) for name, group in found.items()}


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of the values do not exceed."""
    return min(value for value in values if 100 * sum(other <= value for other in values) >= percent * len(values))


def spread(values: Sequence[float]) -> Spread | None:
    return Spread(**{f"p{each}": percentile(values, each) for each in (50, 90, 99)}) if values else None


def test_totals_are_the_sums_of_the_records(records: list[CallRecord], path: Path) -> None:
    found = read(path)
    assert found.totals == totals(records)
    outcomes = Counter(each.outcome for each in records)
    assert min(outcomes[name] for name in ("ok", "cached", "cut", "cancelled", "refused", "failed")) > 0
    assert found.totals.ok == outcomes["ok"]
    assert found.totals.cost > 0 < found.totals.unpriced


@pytest.mark.parametrize(
    ("of", "key"),
    [
        (lambda report: report.by_model, asked),
        (lambda report: report.by_operation, lambda record: record.operation),
        (lambda report: report.by_key, lambda record: record.key),
        (lambda report: report.by_tag["user"], lambda record: record.tags.get("user")),
        (lambda report: report.by_tag["feature"], lambda record: record.tags.get("feature")),
    ],
)
def test_each_breakdown_adds_up(of: Callable[[Report], Any], key: Key, records: list[CallRecord], path: Path) -> None:
    found = read(path)
    assert {group.name: group.totals for group in of(found).groups} == by(records, key)
    assert sum((group.totals for group in of(found).groups), Totals()) == found.totals
    costs = [group.totals.cost for group in of(found).groups]
    assert costs == sorted(costs, reverse=True)


def test_groups_that_are_too_many_are_added_up(path: Path) -> None:
    everything, some = read(path).by_tag["user"], read(path, most=3).by_tag["user"]
    assert some.groups == everything.groups[:3]
    assert some.others == len(everything.groups) - 3
    assert some.rest == sum((group.totals for group in everything.groups[3:]), Totals())


def test_every_day_is_there_also_without_calls(records: list[CallRecord], path: Path) -> None:
    wanted = Filter(since=END - 40 * DAY, until=END + 2 * DAY)
    found = read(path, wanted)
    assert (found.since, found.until, found.step) == (wanted.since, wanted.until, DAY)
    first = (END - 40 * DAY) // DAY * DAY
    days = by(records, lambda record: record.started_at // DAY * DAY)
    assert [slot.start for slot in found.slots] == [first + number * DAY for number in range(43)]
    assert [slot.totals for slot in found.slots] == [days.get(slot.start, Totals()) for slot in found.slots]


def test_short_periods_are_told_by_the_hour(records: list[CallRecord], path: Path) -> None:
    found = read(path, Filter(since=END - DAY, until=END))
    inside = [each for each in records if END - DAY <= each.started_at < END]
    assert found.totals == totals(inside)
    hours = by(inside, lambda record: record.started_at // HOUR * HOUR)
    assert {slot.start: slot.totals for slot in found.slots if slot.totals.calls} == hours
    assert len(found.slots) == math.ceil(END / HOUR) - (END - DAY) // HOUR


def test_the_step_can_be_given(path: Path) -> None:
    assert {slot.start % HOUR for slot in read(path, step=HOUR).slots} == {0}
    assert read(path, step=HOUR).step == HOUR


def test_without_a_filter_the_period_is_from_the_first_call_to_the_last(records: list[CallRecord], path: Path) -> None:
    found = read(path)
    assert (found.since, found.until) == (records[0].started_at, math.nextafter(records[-1].started_at, math.inf))


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        (Filter(model="gpt-4o"), lambda record: asked(record) == "gpt-4o"),
        (Filter(operation="embeddings"), lambda record: record.operation == "embeddings"),
        (Filter(outcome="failed"), lambda record: record.outcome == "failed"),
        (Filter(tags={"user": "王小明"}), lambda record: record.tags.get("user") == "王小明"),
        (
            Filter(tags={"user": "alice", "feature": "chat"}, since=END - 9 * DAY),
            lambda record: record.tags == {"user": "alice", "feature": "chat"} and record.started_at >= END - 9 * DAY,
        ),
    ],
)
def test_a_filter_holds_for_all_figures(
    wanted: Filter, holds: Callable[[CallRecord], bool], records: list[CallRecord], path: Path
) -> None:
    inside = [each for each in records if holds(each)]
    found = read(path, wanted)
    assert found.filter is wanted
    assert found.totals == totals(inside)
    assert found.totals.calls > 0
    assert {group.name: group.totals for group in found.by_model.groups} == by(inside, asked)
    assert sum(each.calls for each in found.latency_by_model) == sum(each.outcome == "ok" for each in inside)


def test_percentiles_are_those_of_the_sorted_values(records: list[CallRecord], path: Path) -> None:
    found = read(path)
    for latency in (found.latency, *found.latency_by_model):
        answers = [
            each
            for each in records
            if each.outcome == "ok" and (latency is found.latency or asked(each) == latency.model)
        ]
        first = [each.time_to_first_token for each in answers if each.time_to_first_token is not None]
        made = [each for each in answers if each.output_tokens]
        seconds = sum((each.latency or 0) - each.retry_wait - each.limit_wait for each in made)
        speed = latency.tokens_per_second
        assert replace(latency, tokens_per_second=None) == Latency(
            model=latency.model,
            calls=len(answers),
            latency=spread([each.latency or 0 for each in answers]),
            streams=len(first),
            first_token=spread(first),
            tokens_per_second=None,
        )
        assert speed == (pytest.approx(sum(each.output_tokens or 0 for each in made) / seconds) if made else None)
    assert [each.calls for each in found.latency_by_model] == sorted(
        (each.calls for each in found.latency_by_model), reverse=True
    )


@pytest.mark.parametrize(("count", "expected"), [(1, (1, 1, 1)), (2, (1, 2, 2)), (10, (5, 9, 10)), (100, (50, 90, 99))])
def test_percentiles_of_a_few(count: int, expected: tuple[float, ...], tmp_path: Path) -> None:
    answers = [record(latency=float(number), complete=True, attempts=1) for number in range(count, 0, -1)]
    found = read_all(tmp_path, *answers).latency.latency
    assert found is not None
    assert (found.p50, found.p90, found.p99) == expected


def test_the_cache_is_told_by_its_hits(records: list[CallRecord], path: Path) -> None:
    hits = [each for each in records if each.from_cache]
    misses = sum(each.cache == "miss" for each in records)
    found = read(path).cache
    assert found == CacheUse(
        hits=len(hits),
        semantic=sum(each.cache == "semantic" for each in records),
        misses=misses,
        saved_input_tokens=sum(each.saved_input_tokens for each in hits),
        saved_output_tokens=sum(each.saved_output_tokens for each in hits),
        saved_cost=sum((each.saved_cost or Decimal(0) for each in hits), Decimal(0)),
        unpriced=0,
    )
    assert found.hit_rate == len(hits) / (len(hits) + misses)


def test_predictions_are_compared_with_what_the_server_counted(records: list[CallRecord], path: Path) -> None:
    found = read(path)
    for accuracy in (found.accuracy, *found.accuracy_by_model):
        compared = [
            (each.predicted_tokens, each.input_tokens)
            for each in records
            if each.predicted_tokens and each.input_tokens and not each.estimated and each.outcome != "cached"
            if accuracy is found.accuracy or asked(each) == accuracy.model
        ]
        errors = [100 * (predicted - counted) / counted for predicted, counted in compared]
        assert accuracy == Accuracy(
            model=accuracy.model,
            calls=len(compared),
            exact=sum(predicted == counted for predicted, counted in compared),
            within_1_percent=sum(abs(predicted - counted) * 100 <= counted for predicted, counted in compared),
            mean_error=pytest.approx(sum(map(abs, errors)) / len(errors)),
            bias=pytest.approx(sum(errors) / len(errors)),
            worst=max(errors, key=abs),
        )


@pytest.mark.parametrize("outcome", ["failed", "refused"])
def test_troubles_are_told_by_how_calls_ended(outcome: str, records: list[CallRecord], path: Path) -> None:
    found = read(path)
    troubles = found.errors if outcome == "failed" else found.refusals
    ended = Counter((each.error, each.error_code, each.status_code) for each in records if each.outcome == outcome)
    assert {(each.error, each.error_code, each.status_code): each.calls for each in troubles} == ended
    for trouble in troubles:
        calls = [
            each
            for each in records
            if (each.outcome, each.error, each.error_code) == (outcome, trouble.error, trouble.error_code)
        ]
        assert trouble.last_at == max(each.started_at for each in calls)
        assert list(trouble.models) == sorted({str(asked(each)) for each in calls})
    assert [each.calls for each in troubles] == sorted((each.calls for each in troubles), reverse=True)


def test_further_attempts_and_waits_are_added_up(records: list[CallRecord], path: Path) -> None:
    assert read(path).effort == Effort(
        attempts=sum(each.attempts for each in records),
        retries=sum(max(each.attempts - 1, 0) for each in records),
        retried_calls=sum(each.attempts > 1 for each in records),
        retry_wait=pytest.approx(sum(each.retry_wait for each in records)),
        limited_calls=sum(each.limit_wait > 0 for each in records),
        limit_wait=pytest.approx(sum(each.limit_wait for each in records)),
        fallbacks=0,
        trimmed_calls=0,
        trimmed_messages=0,
    )


def test_the_dearest_calls_come_first_and_those_of_unknown_price_last(
    records: list[CallRecord], path: Path, tmp_path: Path
) -> None:
    costs = sorted((each.cost for each in records if each.cost is not None), reverse=True)
    assert [call.cost for call in read(path, top=7).top] == costs[:7]
    unknown = [record(total_tokens=tokens, input_tokens=tokens) for tokens in (5, 9)]
    free = record(cost=Decimal(0), total_tokens=1, tags={"user": "a", "n": 2}, request_id="req_1", latency=1.5)
    top = read_all(tmp_path, *unknown, free).top
    assert [(call.cost, call.total_tokens) for call in top] == [(Decimal(0), 1), (None, 9), (None, 5)]
    assert (top[0].tags, top[0].request_id, top[0].latency, top[0].estimated) == (
        {"user": "a", "n": 2},
        "req_1",
        1.5,
        False,
    )


def test_an_unknown_price_is_never_nothing(tmp_path: Path) -> None:
    found = read_all(
        tmp_path,
        record(cost=Decimal("0.5"), input_tokens=10, total_tokens=10),
        record(input_tokens=7, total_tokens=7),
        record(audio_seconds=3.0),
        record(error="APIConnectionError", attempts=1),
        record(cache="hit", cost=Decimal(0), saved_input_tokens=4, saved_output_tokens=1, complete=True),
    )
    assert (found.totals.cost, found.totals.unpriced) == (Decimal("0.5"), 2)
    assert (found.cache.unpriced, found.cache.saved_cost, found.totals.saved_tokens) == (1, 0, 5)


def test_sums_are_exact_beyond_64_bits(tmp_path: Path) -> None:
    dear = Decimal(2**63 - 1).scaleb(-9)
    found = read_all(tmp_path, *(record(cost=dear, saved_cost=dear, total_tokens=2**63 - 1) for _ in range(3)))
    assert (found.totals.cost, found.totals.saved_cost) == (3 * dear, 3 * dear)
    assert found.totals.total_tokens == 3 * (2**63 - 1)
    assert found.by_model.groups[0].totals == found.slots[0].totals == found.totals


def test_a_model_is_the_one_that_was_asked_in_the_end(tmp_path: Path) -> None:
    routed = record(model="auto", sent_model="gpt-4o-mini", response_model="gpt-4o-mini-2024-07-18")
    found = read_all(tmp_path, routed, wanted=Filter(model="gpt-4o-mini"))
    assert [group.name for group in found.by_model.groups] == ["gpt-4o-mini"]


def test_a_call_that_asked_for_no_model_has_the_one_that_answered(tmp_path: Path) -> None:
    looked = record(operation="batches.get", model=None, response_model="gpt-4o", total_tokens=5)
    found = read_all(tmp_path, looked, record(operation="models.get", model=None), wanted=Filter(model="gpt-4o"))
    assert [(group.name, group.totals.total_tokens) for group in found.by_model.groups] == [("gpt-4o", 5)]


def test_tags_are_told_apart_as_they_are_shown(tmp_path: Path) -> None:
    values = ("alice", 'al"ice', "\x1b[31mred", "半\ud83d", 7, 7.5, True, "true", 2**70)
    found = read_all(tmp_path, *(record(tags={"user": value}) for value in values), record())
    groups = {group.name: group.totals.calls for group in found.by_tag["user"].groups}
    assert groups.pop("true") == 2
    assert groups.pop(None) == 1
    assert set(groups.values()) == {1}
    assert {"alice", 'al"ice', "\x1b[31mred", "7", "7.5", str(2**70)} < set(groups)


def test_a_tag_that_more_calls_have_comes_first(tmp_path: Path) -> None:
    found = read_all(tmp_path, record(tags={"b": 1}), record(tags={"b": 1, "a": 1}), record(tags={"c": 1}))
    assert list(found.by_tag) == ["b", "a", "c"]


@pytest.mark.parametrize("wanted", [Filter(), Filter(since=10.0), Filter(until=20.0)])
def test_nothing_is_a_report_too(wanted: Filter, tmp_path: Path) -> None:
    found = read_all(tmp_path, wanted=wanted)
    moment = wanted.since or wanted.until or 0.0
    assert (found.since, found.until, found.totals) == (moment, moment, Totals())
    assert [slot.totals for slot in found.slots] == [Totals()] * bool(moment)
    assert (found.latency.calls, found.latency.latency, found.latency.tokens_per_second) == (0, None, None)
    assert (found.accuracy.calls, found.accuracy.mean_error) == (0, None)
    assert (found.by_model.groups, found.by_tag, found.top, found.errors) == ((), {}, (), ())
    assert (found.cache.hit_rate, found.totals.cached_share, found.accuracy.exact_share) == (None, None, None)
    assert found.accuracy.within_1_percent_share is None


def test_all_figures_are_of_one_moment(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "usage.db"
    copy.write_bytes(path.read_bytes())
    with opened(str(copy), since=0, until=0) as connection:
        late = record(tags={"user": "late"})
        counted = iter(range(1_000))

        def add_one(statement: str) -> None:
            if statement.lstrip().startswith("SELECT") and next(counted) == 3:
                write(copy, [late])

        connection.set_trace_callback(add_one)
        found = report(connection)
        connection.set_trace_callback(None)
        assert sum((group.totals for group in found.by_tag["user"].groups), Totals()) == found.totals
        assert report(connection).totals.calls == found.totals.calls + 1


def test_a_report_leaves_nothing_behind(path: Path) -> None:
    with opened(str(path), since=0, until=0) as connection:
        report(connection)
        assert connection.execute("SELECT count(*) FROM sqlite_temp_schema").fetchone() == (0,)
        assert not connection.in_transaction
