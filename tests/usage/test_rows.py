from __future__ import annotations

import dataclasses
import json
import math
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from usage.records import finished

from llmkit.record import CallRecord
from llmkit.usage.rows import COLUMNS, fields_of, fitting, nanos, row_of, usd

NAMES = [column.name for column in COLUMNS]


def values(record: CallRecord, **settings: Any) -> dict[str, Any]:
    call, *row = row_of("a", record, **settings)
    assert call == "a"
    return dict(zip(NAMES, row, strict=True))


def test_a_column_is_a_field_of_the_record_or_its_outcome() -> None:
    fields = {field.name for field in dataclasses.fields(CallRecord)}
    assert {*NAMES} - fields == {"outcome"}
    assert len({*NAMES}) == len(NAMES)
    assert fields - {*NAMES} == {"queued", "failures", "similar", "hint", "capture_content", "prompt"}


def test_what_is_known_of_a_call_is_in_its_row() -> None:
    record = finished(
        tags={"user": "Zoë", "paying": True, "level": 3, "share": 0.5},
        stream=True,
        time_to_first_token=0.25,
        input_tokens=1_200,
        output_tokens=34,
        total_tokens=1_234,
        cached_tokens=1_024,
        reasoning_tokens=0,
        cost=Decimal("0.00123456789"),
        saved_cost=Decimal(0),
        finish_reasons=("stop", "length"),
        key="...wxyz",
    )
    row = values(record)
    assert json.loads(row["tags"]) == {"user": "Zoë", "paying": True, "level": 3, "share": 0.5}
    assert row["finish_reasons"] == '["stop","length"]'
    assert (row["cost"], row["saved_cost"]) == (1_234_568, 0)
    flags = [row[column.name] for column in COLUMNS if column.kind == "flag"]
    assert [(type(flag), flag) for flag in flags] == [(int, 1), (int, 0), (int, 1), (int, 0)]
    told = {"tags", "finish_reasons", "cost", "saved_cost", "stream", "estimated", "complete", "fallback"}
    assert {name: row[name] for name in NAMES if name not in told} == {
        name: getattr(record, name) for name in NAMES if name not in told
    }
    assert (row["outcome"], row["started_at"], row["latency"]) == ("ok", 1_700_000_000.0, 1.5)


def test_what_is_unknown_is_null_and_not_0() -> None:
    row = values(finished())
    unknown = {name for name in NAMES if row[name] is None}
    assert unknown >= {"tags", "finish_reasons", "cost", "saved_cost", "input_tokens", "total_tokens", "audio_seconds"}


@pytest.mark.parametrize("odd", [b"gpt-4o", 5, None, ["gpt-4o"], object()])
def test_what_is_no_text_is_no_name_of_a_model(odd: Any) -> None:
    row = values(finished(model=odd, sent_model=odd))
    assert (row["model"], row["sent_model"]) == (None, None)
    assert (values(finished(model="a"))["model"], values(finished(sent_model="b"))["sent_model"]) == ("a", "b")


def test_texts_are_kept_only_where_they_are_asked_for() -> None:
    asked = MappingProxyType({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]})
    record = finished(body=asked, answer="Hi", prompt=asked["messages"])
    row = values(record)
    assert json.loads(row["body"]) == {**asked}
    assert row["answer"] == "Hi"
    without = row_of("a", record, content=False)
    assert without[-2:] == (None, None)
    assert "Hello" not in str(without)
    assert values(finished(answer="Hi"))["body"] is None


def test_texts_with_half_a_character_and_odd_values_are_json_all_the_same() -> None:
    row = values(finished(body={"text": "a\ud83db", "odd": object(), "no": math.nan}, tags={"half": "a\ud83d"}))
    assert json.loads(row["body"]) == {"text": "a\ufffdb", "odd": "object", "no": None}
    assert json.loads(row["tags"]) == {"half": "a\ufffd"}
    assert json.loads(values(finished(tags={"odd": object(), "no": math.inf}))["tags"]) == {"odd": "object", "no": None}
    assert json.loads(values(finished(tags={1: "number", "list": [1]}))["tags"]) == {"1": "number", "list": [1]}


@pytest.mark.parametrize(
    ("dollars", "expected"),
    [
        ("0", 0),
        ("1", 10**9),
        ("0.0000000015", 2),
        ("0.0000000025", 2),
        ("0.0000000004", 0),
        ("123456.789", 123456789 * 10**6),
    ],
)
def test_dollars_are_whole_nano_dollars_to_the_nearest(dollars: str, expected: int) -> None:
    assert nanos(Decimal(dollars)) == expected
    assert usd(expected) == Decimal(expected) / 10**9


def test_an_unknown_price_stays_unknown() -> None:
    assert nanos(None) is None
    assert usd(None) is None


def test_what_a_column_cannot_hold_is_left_out_alone() -> None:
    record = finished(
        model={"secret": "prompt"},
        response_model="gpt\ud83d",
        input_tokens=2**63,
        output_tokens=-(2**63),
        total_tokens="many",
        latency=math.nan,
        retry_wait=True,
        limit_wait=10**400,
        audio_seconds="long",
        cached_tokens=5,
        reasoning_tokens=True,
    )
    record.latency = math.nan
    call, *mended = fitting(row_of("a", record))
    row = dict(zip(NAMES, mended, strict=True))
    assert call == "a"
    assert (row["model"], row["response_model"], row["operation"]) == (None, "gpt\ufffd", "chat.completions")
    assert (row["input_tokens"], row["output_tokens"], row["total_tokens"]) == (None, -(2**63), None)
    assert (row["latency"], row["retry_wait"], row["limit_wait"], row["audio_seconds"]) == (None, 1.0, None, None)
    assert (row["cached_tokens"], row["reasoning_tokens"]) == (5, 1)
    assert row["tags"] is None


def test_a_row_gives_the_fields_that_it_was_made_of() -> None:
    record = finished(tags={"user": "Zoë"}, cost=Decimal("0.5"), body={"input": "x"}, finish_reasons=("stop",))
    fields = fields_of(row_of("a", record))
    assert (*fields,) == ("call", *NAMES)
    assert (fields["call"], fields["tags"], fields["cost"]) == ("a", {"user": "Zoë"}, Decimal("0.5"))
    assert (fields["body"], fields["finish_reasons"], fields["saved_cost"]) == ({"input": "x"}, ["stop"], None)
    assert (fields["complete"], fields["stream"], fields["attempts"]) == (True, False, 1)


def test_a_row_that_fits_stays_as_it_is() -> None:
    row = row_of("a", finished(tags={"user": "Zoë"}, cost=Decimal("0.5"), body={"input": "x"}, answer="y"))
    assert fitting(row) == row
