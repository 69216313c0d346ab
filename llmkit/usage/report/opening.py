"""A ledger, opened for a report."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Final
from urllib.parse import urlsplit

from llmkit.usage.reading import Ledger
from llmkit.usage.rows import COLUMNS

_NAMES: Final = ("call", *(column.name for column in COLUMNS))


def is_postgres(ledger: str) -> bool:
    """Whether it is the URL of a PostgresSink, and no file."""
    return ledger.startswith(("postgresql://", "postgres://"))


def name_of(ledger: str) -> str:
    """What to call it: the name of the file, or the server and its database, without who may read it."""
    if not is_postgres(ledger):
        return os.path.basename(ledger)
    parts = urlsplit(ledger)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


@contextmanager
def opened(
    ledger: str, *, since: float, until: float, table: str = "calls"
) -> Generator[sqlite3.Connection, None, None]:
    """A connection that reads the table `calls` of an SQLite file, or of a postgresql:// URL the calls of the period.

    `table` is that of the PostgresSink. Raises `LedgerUnavailable` or `PostgresUnavailable`.
    """
    if is_postgres(ledger):
        with closing(sqlite3.connect("")) as connection:  # in memory as long as it is small
            _copy(ledger, connection, since, until, table)
            yield connection
    else:
        with closing(Ledger(ledger)) as file, file.reading() as connection:
            yield connection


def _copy(url: str, connection: sqlite3.Connection, since: float, until: float, table: str) -> None:
    from llmkit.usage.postgres import read_calls

    connection.execute(f"CREATE TABLE calls ({', '.join(_NAMES)})")
    marks = ", ".join("?" * len(_NAMES))
    calls = read_calls(url, since=since, until=until, table=table)
    connection.executemany(f"INSERT INTO calls VALUES ({marks})", calls)  # noqa: S608 - llmkit's own names
    connection.commit()
