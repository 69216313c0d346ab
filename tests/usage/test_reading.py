from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from usage.records import finished

from llmkit import AsyncOpenAI, Cache, MemoryStore, UsageLog
from llmkit.cache.warming import warm
from llmkit.errors import LedgerUnavailable
from llmkit.sqlite_file import SQLiteFile
from llmkit.testing import FakeOpenAI
from llmkit.usage import ledger, reading
from llmkit.usage.ledger import LedgerSink
from llmkit.usage.reading import Ledger
from llmkit.usage.rows import COLUMNS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.db"


@pytest.fixture
def sink(path: Path) -> Iterator[LedgerSink]:
    with closing(LedgerSink(path, content=True)) as opened:
        yield opened


@pytest.fixture
def read(path: Path, sink: LedgerSink) -> Iterator[Ledger]:
    with closing(Ledger(path)) as opened:
        yield opened


def models(calls: Iterator[dict[str, Any]]) -> list[str]:
    return [call["model"] for call in calls]


def test_a_call_is_read_as_it_was_kept(sink: LedgerSink, read: Ledger) -> None:
    record = finished(
        tags={"user": "Zoë", "level": 2},
        cost=Decimal("0.00125"),
        saved_cost=Decimal(0),
        finish_reasons=("stop",),
        stream=True,
        body={"input": "Hello"},
        answer="Hi",
    )
    sink(record)
    assert sink.flush()
    [call] = read.calls()
    assert call.pop("call")
    assert (call.pop("finish_reasons"), call["cost"]) == (["stop"], Decimal("0.00125"))
    assert call == {column.name: getattr(record, column.name) for column in COLUMNS if column.name in call}
    assert [type(call[name]) for name in ("stream", "cost", "tags")] == [bool, Decimal, dict]


def test_what_is_unknown_is_none(path: Path, read: Ledger) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("INSERT INTO calls (call, started_at) VALUES ('a', 5)")
        other.commit()
    [call] = read.calls()
    assert call == {"call": "a", **dict.fromkeys(column.name for column in COLUMNS), "started_at": 5.0, "tags": {}}


def test_calls_of_a_period_come_in_the_order_in_which_they_began(
    sink: LedgerSink, read: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_AT_ONCE", 3)
    for at in (5, 3, 3, 9, 1, 3, 3, 7):
        sink(finished(at=float(at), model=str(at)))
    assert sink.flush()
    assert models(read.calls()) == ["1", "3", "3", "3", "3", "5", "7", "9"]
    assert models(read.calls(since=3, until=7)) == ["3", "3", "3", "3", "5"]
    assert models(read.calls(since=7)) == ["7", "9"]
    assert models(read.calls(until=3)) == ["1"]
    assert models(read.calls(since=10)) == []
    assert models(read.calls(since=Decimal("7.5"), until=Decimal(100))) == ["9"]  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [datetime(2026, 1, 1, tzinfo=UTC), "7d"])
def test_times_are_numbers(read: Ledger, wrong: Any) -> None:
    for period in ({"since": wrong}, {"until": wrong}):
        with pytest.raises(TypeError, match=f"of type {type(wrong).__name__}; give a number"):
            read.calls(**period)


def test_calls_are_written_and_read_at_the_same_time(sink: LedgerSink, read: Ledger) -> None:
    for number in range(reading._AT_ONCE + 1):
        sink(finished(at=float(number)))
    assert sink.flush()
    found = read.calls()
    next(found)
    assert next(read.calls())["started_at"] == 0.0
    sink(finished(at=10_000.0))
    assert sink.flush()
    assert len([*found]) == reading._AT_ONCE + 1
    with read.reading() as connection:
        assert connection.execute("SELECT operation FROM calls LIMIT 1").fetchone() == ("chat.completions",)


def test_what_is_no_ledger_is_refused_and_untouched(path: Path, tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match=f"there is no ledger {path}: LedgerSink.* makes one"):
        Ledger(path)
    path.touch()
    with pytest.raises(LedgerUnavailable, match="there is no ledger"):
        Ledger(path)
    assert path.stat().st_size == 0
    with pytest.raises(LedgerUnavailable, match="there is no ledger"):
        Ledger(tmp_path)
    path.write_text("no database" * 100)
    with pytest.raises(LedgerUnavailable, match="file is not a database"):
        Ledger(path)


def test_ledgers_of_other_versions(path: Path, sink: LedgerSink, monkeypatch: pytest.MonkeyPatch) -> None:
    sink(finished(model="older"))
    sink.close()
    newer = replace(ledger.FILE, migrations=(("ALTER TABLE calls ADD COLUMN region TEXT",),))
    with monkeypatch.context() as changed:
        changed.setattr(reading, "FILE", newer)
        with closing(Ledger(path)) as found:
            assert models(found.calls()) == ["older"]
    with pytest.raises(LedgerUnavailable, match="it has schema 2, this llmkit knows 1; use a newer llmkit"):
        Ledger(path)


def test_a_ledger_that_is_deleted_meanwhile_is_not_made_by_reading(path: Path, read: Ledger) -> None:
    for each in [*path.parent.iterdir()]:
        each.unlink()
    with pytest.raises(LedgerUnavailable, match="there is no ledger"):
        next(read.calls())
    assert not path.exists()


def test_text_that_is_damaged_is_read_all_the_same(path: Path, read: Ledger) -> None:
    with closing(SQLiteFile(path, ledger.FILE, timeout=5)) as file, file.writing() as connection:
        connection.execute("INSERT INTO calls (call, started_at, model) VALUES ('a', 1, CAST(x'6fff' AS TEXT))")
    assert models(read.calls()) == ["o\ufffd"]


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}


def test_wanted_are_answered_requests_once_and_the_newest_first(sink: LedgerSink, read: Ledger) -> None:
    sink(finished(body=chat("one"), tags={"user": "alice"}))
    sink(finished(body=chat("two")))
    sink(finished(body=chat("one"), tags={"user": "bob"}))
    sink(finished(body=chat("failed"), error="APIError"))
    sink(finished(body={"model": "dall-e-3", "prompt": "a cat"}, operation="images"))
    sink(finished(operation="embeddings", body=None))
    sink(finished(body=chat("hit"), cache="hit"))
    assert sink.flush()
    assert [*read.wanted()] == [
        {"operation": "chat.completions", "body": chat("hit"), "tags": {}},
        {"operation": "chat.completions", "body": chat("one"), "tags": {"user": "bob"}},
        {"operation": "chat.completions", "body": chat("two"), "tags": {}},
    ]


def test_a_request_that_becomes_too_old_meanwhile_is_left_out(path: Path, sink: LedgerSink, read: Ledger) -> None:
    for text in ("one", "two"):
        sink(finished(body=chat(text)))
    assert sink.flush()
    found = read.wanted()
    assert next(found)["body"] == chat("two")
    with closing(sqlite3.connect(path)) as other:
        other.execute("DELETE FROM calls")
        other.commit()
    assert [*found] == []


async def test_a_cache_is_warmed_from_a_ledger(sink: LedgerSink, read: Ledger) -> None:
    fake = FakeOpenAI()
    yesterday = fake.async_client(middleware=[UsageLog(sinks=[sink], content=True)])
    for text in ("one", "two", "one"):
        await yesterday.chat.completions.create(**chat(text))
    await yesterday.embeddings.create(model="text-embedding-3-small", input="x")
    assert sink.flush()
    today: AsyncOpenAI = fake.async_client(middleware=[Cache(MemoryStore())])
    assert (await warm(today, read.wanted())).made == 3
    sent = len(fake.requests)
    await today.chat.completions.create(**chat("one"))
    assert len(fake.requests) == sent
