from __future__ import annotations

import json
from dataclasses import fields
from decimal import Decimal

from llmkit.usage.report.details import CacheUse, Trouble
from llmkit.usage.report.figures import DAY, HOUR, Breakdown, Filter, Group, Slot, Totals, as_json, step_of

SOME = Totals(
    calls=9, failed=1, refused=1, cached=2, cut=1, cancelled=1, input_tokens=200, cached_tokens=50, cost=Decimal("0.25")
)


def test_totals_add_up_and_are_taken_apart() -> None:
    twice = SOME + SOME
    assert (twice.calls, twice.cached, twice.cost, twice.unpriced) == (18, 4, Decimal("0.50"), 0)
    assert twice - SOME == SOME
    assert sum([SOME, SOME], Totals()) == twice


def test_shares_are_unknown_without_a_whole() -> None:
    assert (SOME.cached_share, SOME.ok, Totals().cached_share) == (0.25, 3, None)


def test_periods_of_less_than_two_days_have_hours() -> None:
    assert (step_of(0, 2 * DAY - 1), step_of(0, 2 * DAY)) == (HOUR, DAY)


def test_json_has_every_field_every_share_and_exact_money() -> None:
    document = as_json(Breakdown(by="user", groups=(Group(name="alice", totals=SOME),)))
    assert document == json.loads(json.dumps(document))
    assert {key: document[key] for key in ("by", "others", "rest")} == {"by": "user", "others": 0, "rest": None}
    (group,) = document["groups"]
    assert group["name"] == "alice"
    assert set(group["totals"]) == {each.name for each in fields(Totals)} | {"cached_share", "ok"}
    assert (group["totals"]["cost"], group["totals"]["saved_cost"], group["totals"]["ok"]) == (
        "0.250000000",
        "0.000000000",
        3,
    )
    assert as_json(Decimal("1E-9")) == "0.000000001"
    assert as_json([{"tags": {"user": "a"}}]) == [{"tags": {"user": "a"}}]
    assert as_json(Filter(tags={"user": "a"}))["tags"] == {"user": "a"}


def test_an_unknown_cost_is_null_in_json() -> None:
    assert as_json(Totals(calls=1, unpriced=1))["cost"] is None
    assert as_json(Totals(calls=2, unpriced=1, cost=Decimal(1)))["cost"] == "1.000000000"


def test_times_are_written_in_utc() -> None:
    assert as_json(Slot(start=1_795_176_000, totals=SOME))["at"] == "2026-11-20T12:00:00Z"
    trouble = Trouble(error="X", error_code=None, status_code=500, calls=1, last_at=1_795_176_000.9, models=("m",))
    assert as_json(trouble)["last"] == "2026-11-20T12:00:00Z"


def test_a_hit_rate_is_of_the_calls_that_asked_a_cache() -> None:
    use = CacheUse(
        hits=1, semantic=0, misses=3, saved_input_tokens=0, saved_output_tokens=0, saved_cost=Decimal(0), unpriced=0
    )
    assert as_json(use)["hit_rate"] == 0.25
