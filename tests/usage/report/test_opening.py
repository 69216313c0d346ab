from __future__ import annotations

import math
from pathlib import Path

import pytest
from postgres_servers import LocalPostgres
from usage.report.ledgers import record, write

from llmkit.errors import LedgerUnavailable, PostgresUnavailable
from llmkit.record import CallRecord
from llmkit.usage.postgres import PostgresSink
from llmkit.usage.report.figures import Filter, Report
from llmkit.usage.report.opening import name_of, opened
from llmkit.usage.report.query import report

CALLS = [record(at=10.0, tags={"user": "a"}), record(at=20.0, tags={"user": "b"}), record(at=30.0, model="o4-mini")]


def read(ledger: str, *, since: float = -math.inf, until: float = math.inf) -> Report:
    with opened(ledger, since=since, until=until) as connection:
        return report(connection, Filter())


def test_a_file_is_read_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "usage.db", CALLS)
    assert read(str(tmp_path / "usage.db")).totals.calls == 3


def test_what_is_no_ledger_is_said_to_be_none_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="there is no ledger"):
        read(str(tmp_path / "nothing.db"))
    assert not list(tmp_path.iterdir())


def test_a_postgres_gives_the_same_figures_as_a_file(tmp_path: Path, local_postgres: LocalPostgres) -> None:
    def keep(sink: PostgresSink, records: list[CallRecord]) -> None:
        for each in records:
            sink(each)
        assert sink.flush(timeout=None)
        sink.close()

    keep(PostgresSink(local_postgres.url), CALLS)
    write(tmp_path / "usage.db", CALLS)
    found, expected = read(local_postgres.url), read(str(tmp_path / "usage.db"))
    assert found == expected
    assert read(local_postgres.url, since=15.0, until=30.0).totals.calls == 1


@pytest.mark.parametrize(
    ("ledger", "name"),
    [
        ("/var/lib/usage.db", "usage.db"),
        ("postgresql://me:hunter2@db.example:5432/metrics?sslmode=require", "db.example:5432/metrics"),
        ("postgres:///metrics", "/metrics"),
    ],
)
def test_a_ledger_is_named_without_who_may_read_it(ledger: str, name: str) -> None:
    assert name_of(ledger) == name


def test_a_postgres_that_is_not_there_is_named_without_its_password() -> None:
    with pytest.raises(PostgresUnavailable) as raised:
        read("postgresql://me:secret@127.0.0.1:9/none")
    assert "secret" not in str(raised.value)
