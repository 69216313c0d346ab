"""Budgets that the processes of one machine share, in an SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Final

from llmkit.budgets.ledger import Charge, Refusal
from llmkit.budgets.windows import GRACE
from llmkit.errors import LedgerUnavailable

_VERSION: Final = 1
_APPLICATION: Final = 0x6C6C6D62  # "llmb": tells our files from those of other programs
_SCHEMA: Final = (
    "CREATE TABLE spent (scope TEXT NOT NULL, name TEXT NOT NULL, window TEXT NOT NULL, amount INTEGER NOT NULL,"
    " ends REAL NOT NULL, PRIMARY KEY (scope, name, window)) WITHOUT ROWID",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)
_ADD: Final = (
    "INSERT INTO spent VALUES (?1, ?2, ?3, max(0, ?4), ?5)"
    " ON CONFLICT DO UPDATE SET amount = max(0, amount + ?4), ends = excluded.ends"
)


class SQLiteLedger:
    """Keeps the figures in the SQLite file `path`, which threads and processes of one machine may share.

    Waits for other writers for `timeout` seconds. The file is made when it is not there, its folder is not. It holds
    the names of limits and windows, the values of the budget's tags, and sums. Raises `LedgerUnavailable` when the
    file is locked, damaged, not writable, of a newer llmkit or of another program. The last calls before a power cut
    may be missing.
    """

    blocks = True

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 5.0) -> None:
        if timeout <= 0:
            raise ValueError(f"timeout={timeout!r} must be above 0 seconds")
        self._path = os.fspath(path)
        if self._path in {"", ":memory:"}:
            raise ValueError(f"path={self._path!r} is no file; use MemoryLedger() for a budget of one process")
        self._timeout = timeout
        self._lock = Lock()
        self._next_sweep = 0.0
        self._process = -1
        self._connection: sqlite3.Connection | None = None
        self._parents: list[sqlite3.Connection | None] = []
        with self._writing():
            pass  # a wrong file is reported here and not by the first call

    def reserve(self, charges: Sequence[Charge], *, now: float) -> Refusal | None:
        """Book all charges or none, in one transaction."""
        with self._writing() as connection:
            self._sweep(connection, now)
            for charge in charges:
                spent = _spent(connection, charge)
                if charge.most is not None and spent + charge.amount > charge.most:
                    return Refusal(charge, spent)
            _add(connection, charges)
        return None

    def settle(self, charges: Sequence[Charge], *, once: str, now: float) -> None:
        """Book all charges in one transaction, which an error leaves undone as a whole."""
        with self._writing() as connection:
            _add(connection, [charge for charge in charges if charge.ends + GRACE > now])

    def spent(self, charges: Sequence[Charge]) -> list[int]:
        """What is booked."""
        with self._opened() as connection:
            return [_spent(connection, charge) for charge in charges]

    def close(self) -> None:
        """Close the file; the next command opens it again."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    @contextmanager
    def _writing(self) -> Generator[sqlite3.Connection, None, None]:
        """A transaction that is the only one to write from its start."""
        with self._opened() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection, None, None]:
        if not self._lock.acquire(timeout=self._timeout):
            raise self._unavailable("other threads of this process wait for it")
        try:
            yield self._connected()
        except sqlite3.Error as error:
            raise self._unavailable(str(error)) from None
        finally:
            self._lock.release()

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None or self._process != os.getpid():
            self._parents.append(self._connection)  # after a fork neither used nor closed, as SQLite asks
            self._connection = self._connect()
            self._process = os.getpid()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=self._timeout, isolation_level=None, check_same_thread=False)
        try:
            if _marks(connection) == (0, 0):
                _create(connection)
            self._check(connection)
            with suppress(sqlite3.OperationalError):  # another connection is open, or the disk is a network's
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        application, version = _marks(connection)
        if application != _APPLICATION:
            raise self._unavailable("it is a database of something else; give SQLiteLedger a file of its own")
        if version != _VERSION:
            raise self._unavailable(f"it has schema {version}, this llmkit knows {_VERSION}; use a newer llmkit")

    def _sweep(self, connection: sqlite3.Connection, now: float) -> None:
        """Delete the windows that nobody asks for any more, at most once an hour."""
        if now >= self._next_sweep:
            connection.execute("DELETE FROM spent WHERE ends <= ?", (now - GRACE,))
            self._next_sweep = now + GRACE

    def _unavailable(self, reason: str) -> LedgerUnavailable:
        return LedgerUnavailable(f"the budget's ledger {self._path} cannot be used: {reason}")


def _marks(connection: sqlite3.Connection) -> tuple[int, int]:
    """What tells whose file it is, and which schema it has."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    return application, connection.execute("PRAGMA user_version").fetchone()[0]


def _create(connection: sqlite3.Connection) -> None:
    """Create the table if the file is empty now that nobody else can write to it."""
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
        for statement in _SCHEMA:
            connection.execute(statement)
    connection.execute("COMMIT")


def _spent(connection: sqlite3.Connection, charge: Charge) -> int:
    query = "SELECT amount FROM spent WHERE scope = ? AND name = ? AND window = ?"
    row = connection.execute(query, charge.key).fetchone()
    return row[0] if row else 0


def _add(connection: sqlite3.Connection, charges: Sequence[Charge]) -> None:
    connection.executemany(_ADD, [(*charge.key, charge.amount, charge.ends) for charge in charges])
