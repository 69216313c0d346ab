from __future__ import annotations

import csv
import json
import math
import sqlite3
import stat
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from llmkit import CallRecord
from llmkit.errors import LLMKitError
from llmkit.runtime import SyncRuntime
from llmkit.usage import export
from llmkit.usage.export import export_calls
from llmkit.usage.ledger import LedgerSink
from llmkit.usage.rows import COLUMNS, usd

NAMES = ["call", *(column.name for column in COLUMNS)]
FORMATS = ["csv", "jsonl", "parquet"]


def from_csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def from_jsonl(path: Path) -> list[dict[str, Any]]:
    texts = path.read_text(encoding="utf-8").removesuffix("\n").split("\n") if path.stat().st_size else []
    return [json.loads(text, parse_float=Decimal, parse_constant=pytest.fail) for text in texts]


def from_parquet(path: Path) -> list[dict[str, Any]]:
    return pyarrow.parquet.read_table(path).to_pylist()


READ: Mapping[str, Callable[[Path], list[dict[str, Any]]]] = {
    "csv": from_csv,
    "jsonl": from_jsonl,
    "parquet": from_parquet,
}


def of_ledger(path: Path) -> Iterator[dict[str, Any]]:
    """The rows as they are to be given: costs in dollars, JSON as data."""
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute("SELECT * FROM calls"):
            call = {"call": row["call"]}
            for name, kind in COLUMNS:
                value = row[name]
                data = usd(value) if kind == "nanos" else json.loads(value) if kind == "json" and value else value
                call[name] = data
            yield call
    connection.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    sink = LedgerSink(tmp_path / "usage.db")
    for number in range(1, 101):
        record = CallRecord(operation="chat.completions", model=f"gpt-{number}", runtime=SyncRuntime())
        record.started_at = 1_790_000_000 + number / 7
        record.tags = {"user": f"u-{number % 7}", "n": number}
        record.input_tokens, record.cached_tokens = number, None if number % 3 else number // 2
        record.cost = None if number % 5 == 0 else Decimal(number) / 7
        record.latency, record.stream, record.finish_reasons = number / 3, number % 2 == 0, ("stop",)
        sink(record)
    sink.close()
    return tmp_path / "usage.db"


@pytest.mark.parametrize("form", FORMATS)
def test_sums_of_the_file_equal_those_of_the_ledger(form: str, ledger: Path, tmp_path: Path) -> None:
    path = tmp_path / f"calls.{form}"
    assert export_calls(of_ledger(ledger), path) == 100
    with sqlite3.connect(ledger) as connection:
        sums = "SELECT sum(input_tokens), sum(cached_tokens), sum(cost), sum(cost IS NULL), sum(stream) FROM calls"
        tokens, cached, cost, unknown, streams = connection.execute(sums).fetchone()
    connection.close()
    rows = READ[form](path)
    assert list(rows[0]) == NAMES
    assert sum(int(row["input_tokens"]) for row in rows) == tokens
    assert sum(int(row["cached_tokens"] or 0) for row in rows) == cached
    assert sum(Decimal(row["cost"] or 0) for row in rows) == usd(cost)
    assert sum(row["cost"] in (None, "") for row in rows) == unknown
    assert sum(row["stream"] in (True, "true") for row in rows) == streams


@pytest.mark.parametrize("form", FORMATS)
def test_each_value_comes_back(form: str, ledger: Path, tmp_path: Path) -> None:
    path = tmp_path / f"calls.{form}"
    export_calls(of_ledger(ledger), path)
    for row, call in zip(READ[form](path), of_ledger(ledger), strict=True):
        began = row["started_at"]
        moment = began if isinstance(began, datetime) else datetime.fromisoformat(began)
        assert abs(moment.timestamp() - call["started_at"]) < 1e-6
        assert moment.utcoffset() == datetime.now(UTC).utcoffset()
        tags = row["tags"]
        assert (tags if isinstance(tags, dict) else json.loads(tags)) == call["tags"]
        assert float(row["latency"]) == call["latency"]
        assert (row["call"], row["model"]) == (call["call"], call["model"])
        assert row["error"] in (None, "")


def test_parquet_has_types(ledger: Path, tmp_path: Path) -> None:
    path = tmp_path / "calls.parquet"
    export_calls(of_ledger(ledger), path)
    types = {field.name: str(field.type) for field in pyarrow.parquet.read_schema(path)}
    chosen = ("started_at", "cost", "input_tokens", "latency", "stream", "tags", "model")
    assert [types[name] for name in chosen] == [
        "timestamp[us, tz=UTC]",
        "decimal128(28, 9)",
        "int64",
        "double",
        "bool",
        "string",
        "string",
    ]


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_text_that_a_spreadsheet_would_run_has_an_apostrophe_before_it(text: str, tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    export_calls([{"call": "a", "model": text, "answer": f'"{text}', "latency": -1.5}], path)
    (row,) = from_csv(path)
    assert (row["model"], row["answer"], row["latency"]) == (f"'{text}", f'"{text}', "-1.5")


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_other_files_have_such_a_text_as_it_is(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"calls.{form}"
    export_calls([{"call": "a", "model": "=1+1"}], path)
    assert READ[form](path)[0]["model"] == "=1+1"


@pytest.mark.parametrize("form", FORMATS)
def test_odd_texts_and_figures_do_no_harm(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"calls.{form}"
    answer = 'a "quoted", line\nand another; \u2028 é 漢'
    odd = {"call": "a", "answer": answer, "tags": {"n": math.nan}, "cost": Decimal("0.000000001"), "model": "\ud800"}
    assert export_calls([odd, {"call": "b"}], path) == 2
    row, empty = READ[form](path)
    tags = row["tags"] if form == "jsonl" else json.loads(row["tags"])
    assert tags == {"n": None}
    assert row["answer"] == answer
    assert Decimal(row["cost"]) == Decimal("0.000000001")
    assert row["model"] == "\ufffd"
    assert {value for name, value in empty.items() if name != "call"} <= {None, ""}


def test_a_csv_writes_small_costs_out(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    export_calls([{"call": "a", "cost": Decimal("1E-9")}, {"call": "b", "cost": Decimal("0E-9")}], path)
    assert [row["cost"] for row in from_csv(path)] == ["0.000000001", "0.000000000"]


@pytest.mark.parametrize("form", FORMATS)
def test_without_calls_there_is_a_file_without_rows(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"calls.{form}"
    assert export_calls([], path) == 0
    assert READ[form](path) == []


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_half_written_is_left_and_what_was_there_stays(form: str, tmp_path: Path) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield {"call": "a"}
        raise RuntimeError("the ledger has gone")

    path = tmp_path / f"calls.{form}"
    path.write_text("before")
    with pytest.raises(RuntimeError):
        export_calls(broken(), path)
    assert path.read_text() == "before"
    assert [*tmp_path.iterdir()] == [path]


def test_the_file_is_for_its_owner_alone_and_its_ending_may_be_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "CALLS.CSV"
    export_calls([{"call": "a"}], path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("form", FORMATS)
def test_memory_does_not_grow_with_the_calls(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_AT_ONCE", 100)

    def calls(count: int) -> Iterator[dict[str, Any]]:
        for number in range(count):
            yield {"call": f"{number}", "started_at": 1.0, "tags": {"n": number}, "error": "x" * 2_000}

    def most(count: int) -> int:
        tracemalloc.start()
        export_calls(calls(count), tmp_path / f"calls.{form}")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    most(1)
    assert most(2_000) < 2 * most(500)


@pytest.mark.parametrize("name", ["calls", "calls.xlsx", "csv", ".csv"])
def test_a_name_that_does_not_say_the_format_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"let it end with \.csv, \.jsonl or \.parquet"):
        export_calls([], tmp_path / name)


def test_the_path_may_be_text(tmp_path: Path) -> None:
    assert export_calls([{"call": "a"}], f"{tmp_path}/calls.jsonl") == 1
    assert [call["call"] for call in from_jsonl(tmp_path / "calls.jsonl")] == ["a"]


def test_a_place_where_no_file_can_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for path in (tmp_path / "missing" / "calls.csv", tmp_path / "folder.csv"):
        with pytest.raises(ValueError, match="cannot be a file; give a name in a folder that is there"):
            export_calls([], path)


def test_without_pyarrow_the_error_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(LLMKitError, match=r"pip install 'llmkit\[parquet\]'"):
        export_calls([], tmp_path / "calls.parquet")
    assert [*tmp_path.iterdir()] == []
