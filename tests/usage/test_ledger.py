from __future__ import annotations

import logging
import math
import os
import resource
import sqlite3
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from cache.stores import Forked, forks, needs_linux
from usage.records import finished

import llmkit
from llmkit import UsageLog
from llmkit.errors import LedgerUnavailable
from llmkit.sqlite_file import SQLiteFile
from llmkit.testing import FakeOpenAI
from llmkit.usage import ledger
from llmkit.usage.ledger import LedgerSink
from llmkit.usage.rows import COLUMNS

DAY = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.db"


@pytest.fixture
def sink(path: Path) -> Iterator[LedgerSink]:
    with closing(LedgerSink(path)) as opened:
        yield opened


def rows(path: Path, columns: str = "*") -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row if columns == "*" else None
        return connection.execute(f"SELECT {columns} FROM calls ORDER BY id").fetchall()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


async def test_every_call_is_a_row_whatever_became_of_it(path: Path, sink: LedgerSink) -> None:
    fake = FakeOpenAI()
    fake.reply("Hello", usage={"prompt_tokens": 1_000, "completion_tokens": 50, "total_tokens": 1_050})
    fake.error(400)
    fake.reply("Hello again")
    client = fake.async_client(middleware=[UsageLog(sinks=[sink])])
    ask: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "secret"}]}
    with llmkit.tags(user="alice"):
        await client.chat.completions.create(**ask)
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(**ask)
    async with await client.chat.completions.create(**ask, stream=True) as stream:
        async for _ in stream:
            break
    assert sink.flush()
    assert rows(path, "outcome, json_extract(tags, '$.user'), stream, status_code, input_tokens, cost") == [
        ("ok", "alice", 0, None, 1_000, 3_000_000),
        ("failed", "alice", 0, 400, None, None),
        ("cut", None, 1, None, rows(path)[2]["input_tokens"], rows(path)[2]["cost"]),
    ]
    assert b"secret" not in path.read_bytes() + Path(f"{path}-wal").read_bytes()


def test_a_sync_client_is_kept_account_of_too(path: Path, sink: LedgerSink) -> None:
    client = FakeOpenAI().client(middleware=[UsageLog(sinks=[sink])])
    client.embeddings.create(model="text-embedding-3-small", input="x")
    assert sink.flush()
    assert rows(path, "operation, model, outcome") == [("embeddings", "text-embedding-3-small", "ok")]


def test_a_row_has_the_columns_of_the_contract(path: Path, sink: LedgerSink) -> None:
    sink(finished(tags={"user": "alice", "level": 2}, cost=Decimal("1.5"), finish_reasons=("stop",)))
    assert sink.flush()
    [row] = rows(path)
    assert row.keys() == ["id", "call", *(column.name for column in COLUMNS)]
    assert (row["id"], row["tags"], row["cost"], row["finish_reasons"]) == (
        1,
        '{"user":"alice","level":2}',
        1_500_000_000,
        '["stop"]',
    )
    assert (row["started_at"], row["latency"], row["complete"], row["saved_cost"]) == (1_700_000_000, 1.5, 1, None)
    plan = "EXPLAIN QUERY PLAN SELECT * FROM calls WHERE started_at > 5"
    with closing(sqlite3.connect(path)) as connection:
        assert "by_start" in connection.execute(plan).fetchone()[3]


def test_texts_are_kept_only_when_the_ledger_was_asked_to(path: Path, tmp_path: Path) -> None:
    record = finished(body={"input": "secret"}, answer="reply")
    with closing(LedgerSink(path)) as plain, closing(LedgerSink(tmp_path / "texts.db", content=True)) as texts:
        plain(record)
        texts(record)
    assert rows(path, "body, answer") == [(None, None)]
    assert rows(tmp_path / "texts.db", "body, answer") == [('{"input":"secret"}', "reply")]
    assert b"secret" not in path.read_bytes()


def test_the_file_is_for_its_owner_alone_and_marked(path: Path) -> None:
    with closing(LedgerSink(path)):
        assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (0x6C6C6D75,)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_arguments_are_checked(path: Path) -> None:
    for days in (0, -1, math.nan):
        with pytest.raises(ValueError, match=f"keep_days={days} keeps nothing; use a number above 0, or None"):
            LedgerSink(path, keep_days=days)
    wrong: Any = "30"
    with pytest.raises(TypeError, match="keep_days='30' is of type str; give a number"):
        LedgerSink(path, keep_days=wrong)
    with pytest.raises(ValueError, match="timeout=0 must be above 0"):
        LedgerSink(path, timeout=0)
    with pytest.raises(ValueError, match="path='' is no file; use a sink of your own"):
        LedgerSink("")
    with pytest.raises(
        LedgerUnavailable, match=r"^the ledger cannot be used: that is the address of .*; use PostgresSink$"
    ):
        LedgerSink("postgresql://u:kingfisher@h/d")
    assert not path.exists()


def test_it_is_shown_with_its_path(path: Path, sink: LedgerSink) -> None:
    assert repr(sink) == f"LedgerSink('{path}')"


def test_a_file_that_cannot_be_the_ledger_is_refused_at_once(path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="cannot be used: unable to open database file"):
        LedgerSink(path / "no" / "folder.db")
    path.write_bytes(b"no database" * 100)
    with pytest.raises(LedgerUnavailable, match=f"^the ledger {path} cannot be used: file is not a database$"):
        LedgerSink(path)
    path.unlink()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE calls (mine)")
    with pytest.raises(LedgerUnavailable, match="a database of something else; give LedgerSink a file of its own"):
        LedgerSink(path)


def test_names_of_calls_are_unique_also_in_another_sink(path: Path) -> None:
    with closing(LedgerSink(path)) as one, closing(LedgerSink(path)) as other:
        for _ in range(100):
            one(finished())
            other(finished())
    names = [name for (name,) in rows(path, "call")]
    assert len({*names}) == 200
    assert len({name[:12] for name in names}) == 2


@needs_linux
@forks
def test_a_sink_made_before_a_fork_is_used_in_both(path: Path, sink: LedgerSink) -> None:
    sink(finished(model="before"))

    def work(tell: Callable[[object], None]) -> None:
        sink(finished(model="child"))
        tell(sink.flush())

    children = [Forked(work) for _ in range(3)]
    assert [child.said() for child in children] == [True] * 3
    assert [child.end() for child in children] == [0] * 3
    sink(finished(model="after"))
    assert sink.flush()
    assert sorted(model for (model,) in rows(path, "model")) == ["after", "before", "child", "child", "child"]


def test_what_is_written_twice_is_one_row(path: Path) -> None:
    with closing(SQLiteFile(path, ledger.FILE, timeout=5)) as file:
        table = ledger._Table(file, None, "it")
        batch = [("a", *([None] * len(COLUMNS))), ("b", *([None] * len(COLUMNS)))]
        table.write(batch[:1])
        table.write(batch)
    assert rows(path, "call") == [("a",), ("b",)]


@pytest.mark.usefixtures("measured")
def test_a_row_that_no_column_can_hold_costs_no_other_row(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(LedgerSink(path)) as sink:
        for _ in range(2):
            sink(finished(model="good"))
            sink(finished(model={"messages": "sk-secret"}))
            sink(finished(model="large", input_tokens=2**64, output_tokens=7))
            sink(finished(model="half \ud83d", tags={"half": "\ud83d"}))
            sink(finished(model="odd", tags={"odd": object()}))
            sink(finished(model="nan", time_to_first_token=math.nan, cost=Decimal("0.5")))
            sink(finished(model="good"))
            assert sink.flush()
    expected = ["good", None, "large", "half \ufffd", "odd", "nan", "good"]
    assert [model for (model,) in rows(path, "model")] == expected * 2
    assert rows(path, "input_tokens, output_tokens, time_to_first_token, cost")[2:6] == [
        (None, 7, None, None),
        (None, None, None, None),
        (None, None, None, None),
        (None, None, None, 500_000_000),
    ]
    told = "a call has a figure or a text that it cannot hold and leaves out (OverflowError)"
    assert warnings(caplog) == [f"the ledger {path}: {told}"]


def test_a_locked_file_costs_no_call_and_gets_its_rows_later(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(LedgerSink(path, timeout=0.01)) as sink:
        sink(finished(model="before"))
        assert sink.flush()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for model in ("one", "two"):
                sink(finished(model=model))
                assert not sink.flush()
        assert sink.flush()
    assert [model for (model,) in rows(path, "model")] == ["before", "one", "two"]
    told = f"LedgerUnavailable: the ledger {path} cannot be used: database is locked"
    waits = "calls go on, and the last 100_000 wait until it works again"
    assert warnings(caplog) == [f"the ledger {path} failed with {told}; {waits}"]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@needs_linux
def test_a_full_disk_costs_no_call_and_gets_its_rows_later(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(LedgerSink(path)) as sink:
        with files_of_at_most(100_000):
            for number in range(1_000):
                sink(finished(predicted_tokens=number))
            assert not sink.flush()
        assert sink.flush()
    assert rows(path, "predicted_tokens") == [(number,) for number in range(1_000)]
    assert len(warnings(caplog)) == 1
    assert "disk" in warnings(caplog)[0]


@pytest.mark.parametrize("beside", [True, False], ids=["with those beside it", "alone"])
def test_a_deleted_file_is_made_anew(path: Path, sink: LedgerSink, beside: bool) -> None:
    sink(finished(model="gone"))
    assert sink.flush()
    for each in [*path.parent.iterdir()] if beside else [path]:
        each.unlink()
    sink(finished(model="new"))
    assert sink.flush()
    assert rows(path, "model") == [("new",)]


@needs_linux
def test_a_folder_that_is_not_there_for_a_while_costs_no_call(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = path.parent / "mounted"
    folder.mkdir()
    with closing(LedgerSink(folder / "usage.db")) as sink:
        folder.rename(path.parent / "away")
        sink(finished(model="kept"))
        assert not sink.flush()
        (path.parent / "away").rename(folder)
        assert sink.flush()
    assert rows(folder / "usage.db", "model") == [("kept",)]
    assert len(warnings(caplog)) == 1


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may write to read-only files; nobody may not."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@needs_linux
def test_a_folder_that_may_only_be_read_costs_no_call(caplog: pytest.LogCaptureFixture) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to nobody
        path = Path(folder) / "usage.db"
        with closing(LedgerSink(path)) as sink:
            sink(finished(model="before"))
            sink.close()
            path.chmod(0o444)
            Path(folder).chmod(0o555)
            with without_privileges():
                sink(finished(model="kept"))
                assert not sink.flush()
            Path(folder).chmod(0o700)
            path.chmod(0o600)
            assert sink.flush()
        assert rows(path, "model") == [("before",), ("kept",)]
    assert len(warnings(caplog)) == 1


@pytest.mark.usefixtures("measured")
def test_old_rows_go_a_few_at_a_time_and_once_an_hour(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(ledger, "_MOST_SWEPT", 10)
    with closing(LedgerSink(path, keep_days=30)) as sink:
        for age in [31 * DAY] * 25 + [29 * DAY]:
            sink(finished(at=now - age))
        counts: list[int] = []
        for _ in range(4):
            sink(finished(at=now))
            assert sink.flush()
            counts.append(len(rows(path)))
        assert counts == [17, 8, 4, 5]
        sink(finished(at=now - 31 * DAY))
        assert sink.flush()
        assert len(rows(path)) == 6
        monkeypatch.setattr(time, "time", lambda: now + 3_601)
        sink(finished(at=now))
        assert sink.flush()
        assert len(rows(path)) == 6
    assert rows(path, "min(started_at)") == [(now - 29 * DAY,)]


def test_without_keep_days_every_row_stays(path: Path, sink: LedgerSink) -> None:
    sink(finished(at=0.0))
    assert sink.flush()
    assert len(rows(path)) == 1


def test_a_closed_sink_opens_the_file_again(path: Path, sink: LedgerSink) -> None:
    sink(finished())
    sink.close()
    assert not Path(f"{path}-wal").exists()
    sink(finished())
    sink.close()
    assert len(rows(path)) == 2


def test_a_ledger_of_an_older_llmkit_keeps_its_rows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(LedgerSink(path)) as older:
        older(finished(model="older"))
    newer = replace(ledger.FILE, migrations=(("ALTER TABLE calls ADD COLUMN region TEXT",),))
    with monkeypatch.context() as changed:
        changed.setattr(ledger, "FILE", newer)
        with closing(LedgerSink(path)) as sink:
            sink(finished(model="newer"))
    assert rows(path, "model, region") == [("older", None), ("newer", None)]
    with pytest.raises(LedgerUnavailable, match="it has schema 2, this llmkit knows 1; use a newer llmkit"):
        LedgerSink(path)


def test_an_older_llmkit_that_has_it_open_goes_on(path: Path, sink: LedgerSink) -> None:
    sink(finished(model="before"))
    assert sink.flush()
    newer = replace(ledger.FILE, migrations=(("ALTER TABLE calls ADD COLUMN region TEXT",),))
    with closing(SQLiteFile(path, newer, timeout=5)) as file, file.reading():
        pass
    sink(finished(model="after"))
    assert sink.flush()
    assert rows(path, "model, region") == [("before", None), ("after", None)]


def test_prices_are_loaded_where_they_are_installed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "genai_prices", raising=False)
    with closing(LedgerSink(path)):
        assert "genai_prices" in sys.modules
