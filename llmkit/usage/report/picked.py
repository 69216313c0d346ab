"""The calls of a ledger that a report is about, picked out once and then counted in many ways."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, cast

from llmkit.tagging import Tag
from llmkit.usage.report.figures import Filter
from llmkit.usage.rows import COLUMNS, fields_of
from llmkit.usage.rules import MODEL

_PICK: Final = f"""
    CREATE TEMP TABLE picked AS
    SELECT started_at, latency, time_to_first_token, operation, {MODEL} AS model, key, tags,
        outcome, estimated, fallback, attempts, retry_wait, limit_wait, cache, predicted_tokens, trimmed_messages,
        input_tokens, output_tokens, total_tokens, cached_tokens, reasoning_tokens, audio_seconds, cost,
        saved_input_tokens, saved_output_tokens, saved_cost, status_code, error, error_code, request_id
    FROM main.calls WHERE """  # noqa: S608 - all of it is llmkit's own
_CONDITIONS: Final = {
    "since": "started_at >= ?",
    "until": "started_at < ?",
    "model": f"{MODEL} = ?",
    "operation": "operation = ?",
    "outcome": "outcome = ?",
}
_NAMES: Final = ", ".join(column.name for column in COLUMNS)
_REMEMBERED: Final = 10_000


@contextmanager
def picked(connection: sqlite3.Connection, wanted: Filter) -> Generator[None, None, None]:
    """The temporary tables `picked`, of the calls, and `tagged`, of what their tags say; all of one moment."""
    condition, values = _condition(connection, wanted)
    connection.execute("BEGIN")
    try:
        connection.execute(_PICK + condition, values)
        _tell_tags_apart(connection)
        yield
    finally:
        connection.rollback()  # and with it the tables


def calls(connection: sqlite3.Connection, wanted: Filter) -> Iterator[dict[str, object]]:
    """The calls themselves, oldest first: the fields of a `CallRecord` and the name `call`."""
    condition, values = _condition(connection, wanted)
    query = f"SELECT call, {_NAMES} FROM main.calls WHERE {condition} ORDER BY started_at, call"  # noqa: S608
    yield from map(fields_of, connection.execute(query, values))


def _condition(connection: sqlite3.Connection, wanted: Filter) -> tuple[str, tuple[object, ...]]:
    given = {name: value for name in _CONDITIONS if (value := getattr(wanted, name)) is not None}
    conditions = [_CONDITIONS[name] for name in given]
    if wanted.tags:
        connection.create_function("has_tags", 1, _has(wanted.tags))
        conditions.append("has_tags(tags)")
    return " AND ".join(conditions) or "TRUE", (*given.values(),)


def read_tags(text: str | None) -> dict[str, Tag]:
    """The tags of a call; none where there is something else."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    return cast("dict[str, Tag]", found) if isinstance(found, dict) else {}


@lru_cache(_REMEMBERED)
def shown_tags(text: str | None) -> dict[str, str]:
    """The same as they are shown, which is text that SQLite can hold."""
    return {_holdable(name): _holdable(_shown(value)) for name, value in read_tags(text).items()}


def _tell_tags_apart(connection: sqlite3.Connection) -> None:
    texts = connection.execute("SELECT DISTINCT tags FROM picked WHERE tags IS NOT NULL")
    connection.execute("CREATE TEMP TABLE tagged (tags TEXT, name TEXT, value TEXT)")
    rows = ((text, *pair) for (text,) in texts.fetchall() for pair in shown_tags(text).items())
    connection.executemany("INSERT INTO tagged VALUES (?, ?, ?)", rows)


def _has(wanted: Mapping[str, str]) -> Callable[[str | None], bool]:
    return lambda text: wanted.items() <= shown_tags(text).items()


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _holdable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
