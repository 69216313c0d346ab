"""A row for every call, in an SQLite file that the processes of one machine share."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import Final

from llmkit.errors import LedgerUnavailable
from llmkit.figures import check_figures
from llmkit.record import CallRecord, logger
from llmkit.sqlite_file import FileKind, SQLiteFile
from llmkit.usage import prices
from llmkit.usage.call_names import CallNames
from llmkit.usage.rows import COLUMNS, Kind, Row, fitting, row_of
from llmkit.usage.writer import MOST, MOST_WITH_CONTENT, Writer

_TYPES: Final[dict[Kind, str]] = {
    "text": "TEXT",
    "integer": "INTEGER",
    "real": "REAL",
    "flag": "INTEGER",
    "nanos": "INTEGER",
    "json": "TEXT",
}
_NAMES: Final = ("call", *(column.name for column in COLUMNS))
FILE: Final = FileKind(
    name="the ledger",
    owner="LedgerSink",
    instead="a sink of your own",
    on_server="PostgresSink",
    application=0x6C6C6D75,  # "llmu"
    schema=(
        "CREATE TABLE calls (id INTEGER PRIMARY KEY, call TEXT NOT NULL UNIQUE, "
        + ", ".join(f"{column.name} {_TYPES[column.kind]}" for column in COLUMNS)
        + ")",
        "CREATE INDEX by_start ON calls (started_at)",
    ),
    error=LedgerUnavailable,
    private=True,
)
"""A column that is added to `COLUMNS` also wants a migration here."""
_INSERT: Final = (
    f"INSERT INTO calls ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"  # noqa: S608 - of our own
    " ON CONFLICT (call) DO NOTHING"
)
_DROP_OLD: Final = "DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE started_at < ? LIMIT ?)"
_DAY: Final = 86_400.0
_SWEEP_EVERY: Final = 3_600.0
_MOST_SWEPT: Final = 500
"""Old rows that go with one batch, so that nobody waits long for them."""
_UNFIT: Final = (sqlite3.ProgrammingError, sqlite3.InterfaceError, OverflowError, UnicodeEncodeError)
"""What sqlite3 raises for a value that no column can hold."""


class LedgerSink:
    """Keeps a row for each call in the table `calls` of the SQLite file `path`: `UsageLog(sinks=[LedgerSink("u.db")])`.

    Columns are named like the fields of `CallRecord`; costs are whole nano-dollars (1e-9 USD), NULL where a price is
    not known (extra `llmkit[prices]`). Threads, forks and processes of one machine may share the file, which is made
    for its owner alone when it is not there; its folder is not. `keep_days` deletes older rows. `content=True` also
    keeps the request and the answer, where `UsageLog(content=True)` takes note of them.

    Rows are written in batches by a thread, a quarter of a second after the call and when the process ends. While the
    file cannot be written to, the last 100,000 wait (10,000 with `content=True`), and calls go on. It waits up to
    `timeout` seconds for other writers, at the end of the process up to 5. Close your streams before that: one that is
    still open has no row. Raises `LedgerUnavailable` at once when the file cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        keep_days: float | None = None,
        content: bool = False,
        timeout: float = 5.0,
    ) -> None:
        check_figures(keep_days=keep_days)
        if keep_days is not None and not keep_days > 0:
            raise ValueError(f"keep_days={keep_days!r} keeps nothing; use a number above 0, or None to keep all")
        self._file = SQLiteFile(path, FILE, timeout=timeout)
        with self._file.reading():
            pass  # a wrong file is reported here
        self._path = os.fspath(path)
        name = f"the ledger {self._path}"
        self._writer: Writer[Row] = Writer(
            _Table(self._file, keep_days, name).write, name=name, most_waiting=MOST_WITH_CONTENT if content else MOST
        )
        self._content = content
        self._names = CallNames()
        prices.load_if_installed()

    def __repr__(self) -> str:
        return f"LedgerSink({self._path!r})"

    def __call__(self, record: CallRecord) -> None:
        """Keep the finished call."""
        self._writer.put(row_of(self._names.next(), record, content=self._content))

    def flush(self, timeout: float | None = 5.0) -> bool:
        """Write the rows that wait; whether that has worked within `timeout` seconds."""
        return self._writer.flush(timeout)

    def close(self) -> None:
        """Write the rows that wait and close the file; a call that comes later opens it again."""
        self._writer.close()
        self._file.close()


class _Table:
    """What the thread writes to; it does not know the sink, which could else not go while rows wait."""

    def __init__(self, file: SQLiteFile, keep_days: float | None, name: str) -> None:
        self._file = file
        self._keep = None if keep_days is None else keep_days * _DAY
        self._name = name
        self._next_sweep = 0.0
        self._told = False

    def write(self, batch: list[Row]) -> None:
        """Add the rows that are not there yet, in one transaction."""
        with self._file.writing() as connection:
            try:
                connection.executemany(_INSERT, batch)
            except _UNFIT as error:
                self._tell(error)
                for row in batch:
                    _insert(connection, row)
        if self._keep is not None and time.time() >= self._next_sweep:
            self._sweep(self._keep, time.time())

    def _tell(self, error: Exception) -> None:
        if not self._told:
            self._told = True
            left_out = "a call has a figure or a text that it cannot hold and leaves out"
            logger.warning("%s: %s (%s)", self._name, left_out, type(error).__name__)

    def _sweep(self, seconds: float, now: float) -> None:
        """Delete some rows that are too old; what is left goes with the next batch, or else there is an hour's rest."""
        with self._file.writing() as connection:
            dropped = connection.execute(_DROP_OLD, (now - seconds, _MOST_SWEPT)).rowcount
        if dropped < _MOST_SWEPT:
            self._next_sweep = now + _SWEEP_EVERY


def _insert(connection: sqlite3.Connection, row: Row) -> None:
    try:
        connection.execute(_INSERT, row)
    except _UNFIT:
        connection.execute(_INSERT, fitting(row))
