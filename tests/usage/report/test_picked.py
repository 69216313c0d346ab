from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest
from usage.report.ledgers import record, write

from llmkit.usage.report.figures import Filter
from llmkit.usage.report.opening import opened
from llmkit.usage.report.picked import calls, picked, read_tags, shown_tags
from llmkit.usage.rows import COLUMNS


@pytest.mark.parametrize("text", [None, "", "no JSON", "[1]", "7"])
def test_what_is_no_tags_is_none(text: str | None) -> None:
    assert read_tags(text) == {}
    assert shown_tags(text) == {}


def test_tags_are_shown_as_text_that_sqlite_can_hold() -> None:
    assert read_tags('{"a": true, "b": 7}') == {"a": True, "b": 7}
    assert shown_tags('{"a": true, "b": 7.5, "c": "x", "d": "\\ud83d"}') == {
        "a": "true",
        "b": "7.5",
        "c": "x",
        "d": "\\ud83d",
    }


def test_calls_come_as_the_records_they_were(tmp_path: Path) -> None:
    path = str(tmp_path / "usage.db")
    later = record(
        at=20.0, latency=1.5, model="gpt-5", tags={"user": "a", "n": 1}, cost=Decimal("0.000000001"), stream=True
    )
    write(path, [later, record(at=10.0)])
    with opened(path, since=0, until=0) as connection:
        first, second = calls(connection, Filter())
        assert [each["started_at"] for each in calls(connection, Filter(tags={"n": "1"}, since=15.0))] == [20.0]
    assert list(second) == ["call", *(column.name for column in COLUMNS)]
    assert (first["started_at"], first["tags"], first["cost"], first["stream"]) == (10.0, {}, None, False)
    assert (second["model"], second["tags"], second["cost"]) == ("gpt-5", {"user": "a", "n": 1}, Decimal("1E-9"))
    assert (second["stream"], second["latency"]) == (True, 1.5)


def test_the_temporary_tables_go_also_after_an_error() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        names = ", ".join(column.name for column in COLUMNS)
        connection.execute(f"CREATE TABLE calls (call, {names})")
        with pytest.raises(sqlite3.OperationalError), picked(connection, Filter()):
            connection.execute("SELECT nothing FROM picked")
        assert connection.execute("SELECT count(*) FROM sqlite_temp_schema").fetchone() == (0,)
        assert not connection.in_transaction
