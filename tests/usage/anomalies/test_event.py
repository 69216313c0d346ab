from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from llmkit.usage.anomalies import Unusual


def unusual(**fields: Any) -> Unusual:
    facts: dict[str, Any] = {
        "tags": {"user": "alice", "feature": "search"},
        "model": "gpt-4o",
        "measure": "requests",
        "start": datetime(2026, 1, 5, 13, 5, tzinfo=UTC),
        "end": datetime(2026, 1, 5, 14, 2, tzinfo=UTC),
        "value": 4200.0,
        "expected": 1200.0,
        "usual": (0.0, 2600.4),
    }
    return Unusual(**(facts | fields))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {},
            "user alice, feature search, gpt-4o: 4,200 calls between 2026-01-05 13:05 and 14:02 UTC; "
            "1,200 calls expected at this time (3.5 times as much), at most 2,600 calls",
        ),
        (
            {"measure": "error_rate", "value": 0.2, "expected": 0.01, "usual": (0.0, 0.09), "tags": {}},
            "gpt-4o: 20.0% failed calls between 2026-01-05 13:05 and 14:02 UTC; "
            "1.0% failed calls expected at this time (20.0 times as much), at most 9.0% failed calls",
        ),
        (
            {"measure": "cost", "value": 12.5, "expected": 0.0, "usual": (0.0, 1.0), "tags": {}, "model": None},
            "no model: $12.50 between 2026-01-05 13:05 and 14:02 UTC; $0.00 expected at this time, at most $1.00",
        ),
        (
            {"measure": "off_hours", "value": 10.0, "expected": 0.0, "usual": (0.0, 0.0), "tags": {"user": "bob"}},
            "user bob, gpt-4o: 10 calls between 2026-01-05 13:05 and 14:02 UTC; "
            "there are none at this time of the day otherwise",
        ),
    ],
)
def test_a_sentence_says_who_how_much_when_and_what_is_usual(fields: dict[str, Any], sentence: str) -> None:
    assert unusual(**fields).sentence == sentence


def test_a_minute_is_said_once_and_always_in_which_zone() -> None:
    start = datetime(2026, 1, 5, 0, 40, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    [_, said] = unusual(start=start, end=start.replace(second=59)).sentence.split("4,200 calls ")
    assert said.startswith("in the minute of 2026-01-05 00:40 CET; ")
    [_, said] = unusual(start=start, end=start.replace(minute=41)).sentence.split("4,200 calls ")
    assert said.startswith("between 2026-01-05 00:40 and 00:41 CET; ")


def test_its_fields_are_json() -> None:
    fields = json.loads(json.dumps(unusual().fields()))
    assert fields.pop("sentence") == unusual().sentence
    assert fields == {
        "tags": {"user": "alice", "feature": "search"},
        "model": "gpt-4o",
        "measure": "requests",
        "start": "2026-01-05T13:05:00+00:00",
        "end": "2026-01-05T14:02:00+00:00",
        "value": 4200.0,
        "expected": 1200.0,
        "usual": [0.0, 2600.4],
        "factor": 3.5,
    }


def test_there_is_no_factor_of_nothing() -> None:
    assert unusual(expected=0.0).factor is None
