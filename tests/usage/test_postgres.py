from __future__ import annotations

import asyncio
import json
import math
import os
import re
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from postgres_servers import PASSWORD, LocalPostgres
from tcp_cut import Cut

import llmkit
from llmkit import CallRecord, UsageLog
from llmkit.errors import LLMKitError, PostgresUnavailable
from llmkit.runtime import SyncRuntime
from llmkit.testing import FakeOpenAI
from llmkit.usage import writer
from llmkit.usage.postgres import PostgresSink, read_calls
from llmkit.usage.rows import COLUMNS, Row, row_of

CHAT: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that coverage sees: it follows those that `threading` starts."""

    def start(work: Callable[..., None], args: tuple[Any, ...]) -> None:
        threading.Thread(target=work, args=args, daemon=True).start()

    monkeypatch.setattr(writer, "start_new_thread", start)


@pytest.fixture
def table() -> str:
    return f"calls_{uuid.uuid4().hex[:16]}"


def ask(url: str, statement: str, *values: object) -> list[Any]:
    async def asked() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(statement, *values)]
        finally:
            await connection.close()

    return asyncio.run(asked())


def record(**values: Any) -> CallRecord:
    made = CallRecord(operation="chat.completions", model="gpt-4o", runtime=SyncRuntime())
    for name, value in values.items():
        setattr(made, name, value)
    return made


def everything(url: str, table: str) -> list[Row]:
    return list(read_calls(url, since=-math.inf, until=math.inf, table=table))


def test_a_call_of_either_client_is_a_row(postgres_url: str, table: str) -> None:
    fake, sink = FakeOpenAI(), PostgresSink(postgres_url, table=table)
    records: list[CallRecord] = []
    usage = {
        "prompt_tokens": 9,
        "completion_tokens": 12,
        "total_tokens": 21,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    fake.reply("Hello", usage=usage)
    with llmkit.tags(user="alice", feature="search"):
        fake.client(middleware=[UsageLog(sinks=[sink, records.append])]).chat.completions.create(**CHAT)
    fake.reply("Hello", usage=usage)

    async def call() -> None:
        await fake.async_client(middleware=[UsageLog(sinks=[sink, records.append])]).chat.completions.create(**CHAT)

    asyncio.run(call())
    assert sink.flush(20)
    found = ask(
        postgres_url,
        f"SELECT tags->>'user', started_at < now(), stream, complete, input_tokens, cached_tokens, total_tokens, cost, "
        f"outcome FROM {table} ORDER BY id",
    )
    cost = records[0].cost
    assert cost is not None
    assert found == [
        ("alice", True, False, True, 9, 4, 21, int(cost * 10**9), "ok"),
        (None, True, False, True, 9, 4, 21, int(cost * 10**9), "ok"),
    ]
    sink.close()


def test_a_row_comes_back_as_the_ledger_has_it(postgres_url: str, table: str) -> None:
    given = record(
        started_at=1_790_000_000.25,
        latency=1.5,
        tags={"user": "alice", "n": 3, "odd": 'é"\\'},
        stream=True,
        attempts=2,
        input_tokens=10**12,
        cost=Decimal("0.000000001"),
        finish_reasons=("stop", "length"),
        error="APIError",
    )
    sink = PostgresSink(postgres_url, table=table)
    sink(given)
    sink.close()
    (row,) = everything(postgres_url, table)
    expected = row_of(row[0], given)
    for column, value, wanted in zip(("call", *(column.name for column in COLUMNS)), row, expected, strict=True):
        as_data = json.loads if column in {"tags", "finish_reasons"} else lambda same: same
        assert as_data(value) == as_data(wanted), column
        assert type(value) is type(wanted), column


def test_a_period_begins_with_its_first_moment_and_ends_before_its_last(postgres_url: str, table: str) -> None:
    sink = PostgresSink(postgres_url, table=table)
    for second in (30, 10, 20):
        sink(record(started_at=float(second)))
    sink.close()
    times = [row[1] for row in read_calls(postgres_url, since=10, until=30, table=table)]
    assert times == [10.0, 20.0]


def test_more_rows_than_are_read_or_written_at_once_all_come(postgres_url: str, table: str) -> None:
    sink = PostgresSink(postgres_url, table=table)
    for second in range(6_000):
        sink(record(started_at=float(second)))
    assert sink.flush(30)
    sink.close()
    by_name = postgres_url.replace("127.0.0.1", "localhost")
    assert [row[1] for row in everything(by_name, table)] == [float(second) for second in range(6_000)]


def test_prompts_and_answers_are_kept_only_where_they_are_wanted(postgres_url: str, table: str) -> None:
    fake = FakeOpenAI()
    sinks = [
        PostgresSink(postgres_url, table=table),
        PostgresSink(postgres_url, table=f"{table}_content", content=True),
    ]
    fake.reply("Hello")
    fake.client(middleware=[UsageLog(sinks=sinks, content=True)]).chat.completions.create(**CHAT)
    for sink in sinks:
        sink.close()
    assert ask(postgres_url, f"SELECT body, answer FROM {table}") == [(None, None)]
    question = "body->'messages'->0->>'content'"
    assert ask(postgres_url, f"SELECT {question}, answer FROM {table}_content") == [("Hi", "Hello")]


def test_sinks_that_start_together_make_one_table(postgres_url: str, table: str) -> None:
    sinks = [PostgresSink(postgres_url, table=table) for _ in range(8)]
    for sink in sinks:
        sink(record())
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda sink: sink.flush(20), sinks))
    for sink in sinks:
        sink.close()
    assert ask(postgres_url, f"SELECT count(*) FROM {table}") == [(8,)]


def test_a_table_may_have_a_schema_of_its_own(postgres_url: str, table: str) -> None:
    ask(postgres_url, f"CREATE SCHEMA {table}")
    sink = PostgresSink(postgres_url, table=f"{table}.calls")
    sink(record())
    sink.close()
    assert len(everything(postgres_url, f"{table}.calls")) == 1


def test_a_row_whose_commit_was_not_heard_of_is_not_doubled(
    postgres_url: str, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Cut(postgres_url) as cut:
        sink = PostgresSink(cut.url, table=table)
        sink(record())
        assert sink.flush(20)
        cut.after(b"COMMIT")
        sink(record())
        assert sink.flush(20)
        sink.close()
    assert cut.times == 1
    assert ask(postgres_url, f"SELECT count(*) FROM {table}") == [(2,)]
    assert not caplog.records


def test_while_the_server_is_away_calls_go_on_and_their_rows_wait(
    local_postgres: LocalPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    local_postgres.kill()
    fake, sink = FakeOpenAI(), PostgresSink(local_postgres.url)
    client = fake.client(middleware=[UsageLog(sinks=[sink])])

    def call() -> None:
        fake.reply("Hello")
        assert client.chat.completions.create(**CHAT).choices[0].message.content == "Hello"

    for _ in range(3):
        call()
        assert not sink.flush(20)
    local_postgres.start()
    assert sink.flush(20)
    local_postgres.kill()
    call()
    assert not sink.flush(20)
    local_postgres.start()
    assert sink.flush(20)
    assert len(everything(local_postgres.url, "calls")) == 4
    warnings = [entry.getMessage() for entry in caplog.records]
    assert len(warnings) == 2  # one each time
    address = f"PostgreSQL at 127.0.0.1:{local_postgres.port}"
    assert warnings[0].startswith(f"PostgresSink failed with PostgresUnavailable: {address} failed with ")
    assert PASSWORD not in caplog.text
    sink.close()


def test_a_server_that_does_not_answer_is_given_up_on(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        sink = PostgresSink(f"postgresql://user:{PASSWORD}@{address}/db", timeout=0.1)
        sink(record())
        assert not sink.flush(20)
        sink.close()
    assert f"PostgreSQL at {address} failed with TimeoutError" in caplog.text


def test_a_sink_can_be_closed_while_a_command_hangs(postgres_url: str, table: str) -> None:
    sink = PostgresSink(postgres_url, table=table, timeout=3)
    sink(record())
    assert sink.flush(20)

    async def block() -> None:
        connection = await asyncpg.connect(postgres_url)
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table}")
            sink(record())
            assert not sink.flush(0.5)
            sink._server.close()
        await connection.close()

    asyncio.run(block())
    assert sink.flush(20)
    sink.close()
    assert len(everything(postgres_url, table)) == 2


def test_a_connection_that_went_while_nobody_called_is_opened_again_in_silence(
    local_postgres: LocalPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    sink = PostgresSink(local_postgres.url)
    sink(record())
    assert sink.flush(20)
    local_postgres.kill()
    local_postgres.start()
    sink(record())
    assert sink.flush(20)
    assert len(everything(local_postgres.url, "calls")) == 2
    assert not caplog.records
    sink.close()


def test_a_table_that_was_dropped_is_made_again(postgres_url: str, table: str) -> None:
    sink = PostgresSink(postgres_url, table=table)
    sink(record())
    assert sink.flush(20)
    ask(postgres_url, f"DROP TABLE {table}")
    sink(record())
    assert sink.flush(20) or sink.flush(20)
    sink.close()
    assert len(everything(postgres_url, table)) == 1


def test_what_postgres_cannot_hold_is_taken_out_of_its_row(
    postgres_url: str, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    sink = PostgresSink(postgres_url, table=table)
    sink(record(tags={"a": "\0\ud800\\u0000", "n": math.nan}, model="x\0\ud800", started_at=1.0))
    sink(record(input_tokens=2**70, total_tokens=3, error_code=400, latency="slow", started_at=2.0))
    sink(record(started_at=3.0))
    assert sink.flush(20)
    sink.close()
    names = "model, tags, input_tokens, total_tokens, error_code, latency"
    assert ask(postgres_url, f"SELECT {names} FROM {table} ORDER BY started_at") == [
        (
            "x\ufffd\ufffd",
            json.dumps({"a": "\ufffd\ufffd\\u0000", "n": None}, ensure_ascii=False),
            None,
            None,
            None,
            None,
        ),
        ("gpt-4o", None, None, 3, "400", None),
        ("gpt-4o", None, None, None, None, None),
    ]
    assert not caplog.records


def test_a_row_that_the_table_refuses_does_not_hold_up_the_others(
    postgres_url: str, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    sink = PostgresSink(postgres_url, table=table)
    sink(record())
    assert sink.flush(20)
    ask(postgres_url, f"ALTER TABLE {table} ADD CHECK (attempts NOT IN (9, 27, 28))")
    for attempts in range(1, 50):
        sink(record(attempts=attempts))
    assert sink.flush(20)
    sink.close()
    kept = [attempts for (attempts,) in ask(postgres_url, f"SELECT attempts FROM {table} ORDER BY id")]
    assert kept == [attempts for attempts in range(50) if attempts not in (9, 27, 28)]
    (entry,) = caplog.records
    assert entry.getMessage().endswith(" refuses a call with CheckViolationError; it is left out")


def test_columns_of_a_newer_llmkit_are_added(postgres_url: str, table: str) -> None:
    sink = PostgresSink(postgres_url, table=table)
    sink(record())
    sink.close()
    ask(postgres_url, f"ALTER TABLE {table} DROP COLUMN estimated, DROP COLUMN key")
    (older,) = everything(postgres_url, table)
    place = [column.name for column in COLUMNS].index("estimated") + 1
    assert older[place] is None
    newer = PostgresSink(postgres_url, table=table)
    newer(record(estimated=True))
    newer.close()
    assert ask(postgres_url, f"SELECT estimated FROM {table} ORDER BY id") == [(None,), (True,)]


def test_a_table_of_a_newer_schema_is_left_alone(
    postgres_url: str, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    sink = PostgresSink(postgres_url, table=table)
    sink(record())
    sink.close()
    ask(postgres_url, f"COMMENT ON TABLE {table} IS 'Calls of llmkit, schema 2.'")
    older = PostgresSink(postgres_url, table=table)
    older(record())
    assert not older.flush(20)
    assert f'"{table}" has schema 2, this llmkit knows 1; use a newer llmkit' in caplog.text
    older.close()
    assert ask(postgres_url, f"SELECT count(*) FROM {table}") == [(1,)]


def test_a_table_of_something_else_is_left_alone(
    postgres_url: str, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    ask(postgres_url, f"CREATE TABLE {table} (call text, caller text)")
    sink = PostgresSink(postgres_url, table=table)
    sink(record())
    assert not sink.flush(20)
    assert f'the table "{table}" is of something else; give PostgresSink another' in caplog.text
    sink.close()
    assert ask(postgres_url, f"SELECT * FROM {table}") == []


@pytest.fixture
def clerk(local_postgres: LocalPostgres) -> str:
    """The URL of one who may write and read, and nothing else."""
    owner = PostgresSink(local_postgres.url)
    owner(record(started_at=1.0))
    owner.close()
    ask(local_postgres.url, f"CREATE ROLE clerk LOGIN PASSWORD '{PASSWORD}'")
    ask(local_postgres.url, "GRANT SELECT, INSERT ON calls TO clerk")
    return local_postgres.url.replace("//postgres:", "//clerk:")


def test_who_may_only_write_needs_a_table_that_is_there(clerk: str, caplog: pytest.LogCaptureFixture) -> None:
    sink = PostgresSink(clerk)
    sink(record())
    assert sink.flush(20)
    assert len(everything(clerk, "calls")) == 2
    assert not caplog.records
    sink.close()


def test_who_may_only_insert_can_do_so(
    clerk: str, local_postgres: LocalPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    ask(local_postgres.url, "REVOKE SELECT ON calls FROM clerk")
    with Cut(clerk) as cut:
        sink = PostgresSink(cut.url)
        sink(record())
        assert sink.flush(20)
        cut.after(b"COMMIT")
        sink(record())
        assert sink.flush(20)
        sink.close()
    assert cut.times == 1
    assert len(everything(local_postgres.url, "calls")) == 3
    assert not caplog.records
    with pytest.raises(PostgresUnavailable, match=r"InsufficientPrivilegeError \(42501\): the role lacks a right$"):
        everything(clerk, "calls")


def test_trouble_with_the_address_is_said_in_words(
    postgres_url: str, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    sink = PostgresSink(postgres_url, table=f"{table}.calls")
    sink(record())
    assert not sink.flush(20)
    sink.close()
    assert "failed with InvalidSchemaNameError (3F000): there is no such schema; calls go on" in caplog.text
    with pytest.raises(PostgresUnavailable, match=r"InvalidCatalogNameError \(3D000\): there is no such database$"):
        everything(f"{postgres_url.rpartition('/')[0]}/{table}", table)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(PostgresUnavailable, match=r"Error: nothing listens there$"):
                everything(f"postgresql://{host}:{nobody.getsockname()[1]}/db", table)
    with pytest.raises(PostgresUnavailable, match=r"failed with gaierror: there is no such host$"):
        everything("postgresql://nowhere.invalid/db", table)


def test_old_calls_that_cannot_be_dropped_are_said_once(clerk: str, caplog: pytest.LogCaptureFixture) -> None:
    sink = PostgresSink(clerk, keep_days=1)
    for _ in range(2):
        sink(record())
        assert sink.flush(20)
    sink.close()
    assert len(everything(clerk, "calls")) == 3
    (entry,) = caplog.records
    assert "drops no old calls" in entry.getMessage()
    assert "InsufficientPrivilegeError (42501)" in entry.getMessage()


def test_calls_older_than_the_days_are_dropped(postgres_url: str, table: str) -> None:
    now = record().started_at
    sink = PostgresSink(postgres_url, table=table, keep_days=2)
    for days in (0.0, 1.9, 2.1, 400.0):
        sink(record(started_at=now - days * 86_400))
    assert sink.flush(20)
    sink(record(started_at=now - 3 * 86_400))  # the next look is in an hour
    sink.close()
    kept = sorted(round((now - row[1]) / 86_400, 1) for row in everything(postgres_url, table))
    assert kept == [0.0, 1.9, 3.0]


def test_many_old_calls_are_dropped_bit_by_bit(postgres_url: str, table: str) -> None:
    sink = PostgresSink(postgres_url, table=table, keep_days=1)
    sink(record())
    sink.close()
    old = "to_timestamp(1), n::text FROM generate_series(1, 12000) AS n"
    ask(postgres_url, f"INSERT INTO {table} (started_at, call) SELECT {old}")
    sink = PostgresSink(postgres_url, table=table, keep_days=1)
    counts: list[Any] = []
    for _ in range(2):
        sink(record())
        assert sink.flush(20)
        counts += ask(postgres_url, f"SELECT count(*) FROM {table}")
    sink.close()
    assert counts == [(2_002,), (3,)]


def test_the_password_is_shown_by_nobody(local_postgres: LocalPostgres, caplog: pytest.LogCaptureFixture) -> None:
    wrong = local_postgres.url.replace(PASSWORD, "rosalind-7c21")
    sink = PostgresSink(wrong)
    sink(record())
    assert not sink.flush(20)
    with pytest.raises(PostgresUnavailable) as caught:
        everything(wrong, "calls")
    address = f"127.0.0.1:{local_postgres.port}"
    said = f"PostgreSQL at {address} failed with InvalidPasswordError (28P01): the user or the password is refused"
    assert repr(sink) == f"PostgresSink('postgresql://{address}/postgres')"
    assert str(caught.value) == said
    assert said in caplog.text
    inner: Any = vars(sink)
    shown = [caplog.text, repr(sink), repr(inner), *(repr(getattr(value, "__dict__", "")) for value in inner.values())]
    assert not [text for text in shown if "rosalind" in text]
    sink.close()


def test_a_forked_child_opens_a_connection_of_its_own(postgres_url: str, table: str) -> None:
    sink = PostgresSink(postgres_url, table=table)
    sink(record(started_at=1.0))
    assert sink.flush(20)
    child = os.fork()
    if not child:
        sink(record(started_at=2.0))
        os._exit(0 if sink.flush(20) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    sink(record(started_at=3.0))
    assert sink.flush(20)
    assert [row[1] for row in everything(postgres_url, table)] == [1.0, 2.0, 3.0]
    sink.close()


def test_of_processes_that_write_at_once_none_loses_or_doubles_what_was_written(postgres_url: str, table: str) -> None:
    script = """
import sys
from llmkit import CallRecord
from llmkit.runtime import SyncRuntime
from llmkit.usage.postgres import PostgresSink

sink = PostgresSink(sys.argv[1], table=sys.argv[2])
for number in range(1_000):
    record = CallRecord(operation="chat.completions", model="gpt-4o", runtime=SyncRuntime())
    record.tags = {"worker": sys.argv[3], "number": number}
    sink(record)
    if number % 20 == 19:
        assert sink.flush(60)
        print(number, flush=True)
"""
    root = Path(llmkit.__file__).parent.parent
    workers: list[subprocess.Popen[str]] = []
    for name in "abcd":
        command = [sys.executable, "-c", script, postgres_url, table, name]
        workers.append(subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True))
    killed = workers[0].stdout
    assert killed is not None
    written = [killed.readline() for _ in range(5)]
    workers[0].kill()
    written += killed.readlines()
    for worker in workers:
        worker.communicate()
    found = ask(postgres_url, f"SELECT tags->>'worker', (tags->>'number')::int FROM {table} ORDER BY 1, 2")
    for name in "bcd":
        assert [number for worker, number in found if worker == name] == [*range(1_000)]
    of_the_killed = [number for worker, number in found if worker == "a"]
    assert of_the_killed == [*range(len(of_the_killed))]
    assert len(of_the_killed) > int(written[-1])


def test_a_script_that_ends_at_once_has_written_its_calls(postgres_url: str, table: str) -> None:
    script = """
import sys
from llmkit import UsageLog
from llmkit.testing import FakeOpenAI
from llmkit.usage.postgres import PostgresSink

fake = FakeOpenAI()
fake.reply("Hello")
sink = PostgresSink(sys.argv[1], table=sys.argv[2])
client = fake.client(middleware=[UsageLog(sinks=[sink])])
client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
"""
    root = Path(llmkit.__file__).parent.parent
    by_name = postgres_url.replace("127.0.0.1", "localhost")
    command = [sys.executable, "-W", "error", "-c", script, by_name, table]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert len(everything(postgres_url, table)) == 1


def test_what_is_written_when_the_process_ends_leaves_no_connection(
    postgres_url: str, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = PostgresSink(postgres_url, table=table)
    sink(record())
    assert sink.flush(20)
    assert sink._server._session is not None
    monkeypatch.setattr(threading.main_thread(), "is_alive", lambda: False)
    sink(record())
    assert sink.flush(20)
    assert sink._server._session is None
    monkeypatch.undo()
    assert len(everything(postgres_url, table)) == 2


def test_a_sink_can_be_used_after_it_was_closed(postgres_url: str, table: str) -> None:
    sink = PostgresSink(postgres_url, table=table)
    sink.close()
    for _ in range(2):
        sink(record())
        sink.close()
    assert len(everything(postgres_url, table)) == 2


def test_reading_a_table_that_is_not_there_says_so(postgres_url: str, table: str) -> None:
    with pytest.raises(PostgresUnavailable, match=f'has no table "{table}"'):
        everything(postgres_url, table)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql+asyncpg://user:kingfisher@host/db",
        "kingfisher",
        "host=localhost password=kingfisher",
        "postgresql://user:king/fisher@host/db",
        "postgresql://user:king?fisher@host/db",
        "postgresql://user:king#fisher@host/db",
        "postgresql://user:kingfisher@[::1/db",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_without_being_shown(dsn: str) -> None:
    with pytest.raises(ValueError, match="the address of PostgreSQL cannot be read; write") as caught:
        PostgresSink(dsn)
    assert "king" not in str(caught.value)
    assert "fisher" not in str(caught.value)


def test_an_address_without_a_host_is_that_of_the_environment() -> None:
    with pytest.raises(PostgresUnavailable, match=r"^PostgreSQL at its usual place failed with "):
        list(read_calls("postgresql:///nothing?host=/nowhere", since=0, until=1))


def test_a_port_that_is_no_number_is_trouble_of_the_server() -> None:
    with pytest.raises(PostgresUnavailable, match=r"failed with ValueError$"):
        list(read_calls("postgresql://user:pa@host:word/db", since=0, until=1))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"timeout": 0}, "timeout=0 must be above 0 seconds, and finite"),
        ({"timeout": math.inf}, "timeout=inf must be above 0 seconds, and finite"),
        ({"keep_days": 0}, "keep_days=0 must be above 0 and at most 36_500 days; None keeps all"),
        ({"keep_days": 10**9}, "keep_days=1000000000 must be above 0 and at most 36_500 days; None keeps all"),
        ({"table": "my-calls"}, "table='my-calls' must be a name of small letters, digits and _"),
        ({"table": "a" * 41}, "at most 40 of them"),
        ({"table": 'x"; DROP TABLE y'}, "must be a name of small letters"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], error: str) -> None:
    with pytest.raises(ValueError, match=re.escape(error)):
        PostgresSink("postgresql://host/db", **options)


def test_days_as_text_are_refused() -> None:
    wrong: Any = "7"
    with pytest.raises(TypeError, match="keep_days='7' is of type str; give a number"):
        PostgresSink("postgresql://host/db", keep_days=wrong)


def test_without_asyncpg_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(LLMKitError, match=r"pip install 'llmkit\[postgres\]'"):
        PostgresSink("postgresql://host/db")
