"""A ledger that is there already, to read from."""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from llmkit.cache.wanted import FIELDS
from llmkit.errors import LedgerUnavailable
from llmkit.figures import check_figures
from llmkit.sqlite_file import SQLiteFile
from llmkit.usage.ledger import FILE
from llmkit.usage.rows import COLUMNS, fields_of

_AT_ONCE: Final = 500
"""Rows that are read at a time, so that others may read between."""
_CALLS: Final = (
    f"SELECT id, call, {', '.join(column.name for column in COLUMNS)} FROM calls"  # noqa: S608 - of our own
    " WHERE (started_at, id) > (?, ?) AND started_at < ? ORDER BY started_at, id LIMIT ?"
)
_NEWEST: Final = (
    "SELECT max(id) FROM calls WHERE body IS NOT NULL AND outcome IN ('ok', 'cached', 'cut')"  # noqa: S608
    f" AND operation IN ({', '.join('?' * len(FIELDS))}) GROUP BY operation, body ORDER BY 1 DESC"
)
_ASKED: Final = "SELECT operation, body, tags FROM calls WHERE id = ?"


class Ledger:
    """Reads the file of a `LedgerSink`, also while calls are written to it.

    Raises `LedgerUnavailable` when it is not there, or is no ledger, or one of a newer llmkit. One of an older llmkit
    is brought up to date.
    """

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 5.0) -> None:
        self._path = os.path.abspath(path)
        self._file = SQLiteFile(path, FILE, timeout=timeout)
        with self.reading():
            pass  # a wrong file is reported here

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection, None, None]:
        """A connection to read from, one thread at a time; each statement sees the file as it is then."""
        if not os.path.isfile(self._path) or os.path.getsize(self._path) == 0:  # which would be made
            raise LedgerUnavailable(f"there is no ledger {self._path}: LedgerSink({self._path!r}) makes one")
        with self._file.reading() as connection:
            connection.text_factory = _text
            yield connection

    def calls(self, *, since: float | None = None, until: float | None = None) -> Iterator[dict[str, Any]]:
        """The calls that began from `since` and before `until`, in seconds since the epoch, oldest first.

        `datetime.timestamp()` gives such seconds. Each call has the names of `LedgerSink`'s columns: costs are dollars
        as Decimal, `tags` is a dict.
        """
        check_figures(since=since, until=until)
        return self._calls(-math.inf if since is None else float(since), math.inf if until is None else float(until))

    def _calls(self, since: float, until: float) -> Iterator[dict[str, Any]]:
        after = since, 0
        while True:
            with self.reading() as connection:
                rows = connection.execute(_CALLS, (*after, until, _AT_ONCE)).fetchall()
            for _, *row in rows:
                yield fields_of((*row,))
            if len(rows) < _AT_ONCE:
                return
            after = rows[-1][2], rows[-1][0]

    def wanted(self) -> Iterator[Mapping[str, Any]]:
        """The requests of a ledger kept with `content=True`, newest first, as `llmkit.cache.warm` takes them.

        Only those that were answered and whose answers a cache keeps, each body once.
        """
        with self.reading() as connection:
            ids = connection.execute(_NEWEST, (*FIELDS,)).fetchall()
        for each in ids:
            with self.reading() as connection:
                row = connection.execute(_ASKED, each).fetchone()
            if row is not None:  # it was not too old meanwhile
                operation, body, tags = row
                yield {"operation": operation, "body": _json(body), "tags": _json(tags) or {}}

    def close(self) -> None:
        """Close the file; what is read next opens it again."""
        self._file.close()


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
