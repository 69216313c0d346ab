"""A ledger, opened for a report."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from typing import Final

from llmkit.usage.reading import Ledger
from llmkit.usage.rows import COLUMNS

_NAMES: Final = ("call", *(column.name for column in COLUMNS))


@contextmanager
def opened(ledger: str, *, since: float, until: float) -> Generator[sqlite3.Connection, None, None]:
    """A connection that reads the table `calls` of an SQLite file, or of a postgresql:// URL the calls of the period.

    Raises `LedgerUnavailable` or `PostgresUnavailable`.
    """
    if ledger.startswith(("postgresql://", "postgres://")):
        with closing(sqlite3.connect("")) as connection:  # in memory as long as it is small
            _copy(ledger, connection, since, until)
            yield connection
    else:
        with closing(Ledger(ledger)) as file, file.reading() as connection:
            yield connection


def _copy(url: str, connection: sqlite3.Connection, since: float, until: float) -> None:
    from llmkit.usage.postgres import read_calls

    connection.execute(f"CREATE TABLE calls ({', '.join(_NAMES)})")
    marks = ", ".join("?" * len(_NAMES))
    calls = read_calls(url, since=since, until=until)
    connection.executemany(f"INSERT INTO calls VALUES ({marks})", calls)  # noqa: S608 - llmkit's own names
    connection.commit()
