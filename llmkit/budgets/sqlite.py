"""Budgets that the processes of one machine share, in an SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from typing import Final

from llmkit.budgets.ledger import Charge, Refusal
from llmkit.budgets.windows import GRACE
from llmkit.errors import LedgerUnavailable
from llmkit.sqlite_file import FileKind, SQLiteFile

_FILE: Final = FileKind(
    name="the budget's ledger",
    owner="SQLiteLedger",
    instead="MemoryLedger() for a budget of one process",
    on_server="RedisLedger",
    application=0x6C6C6D62,  # "llmb"
    schema=(
        "CREATE TABLE spent (scope TEXT NOT NULL, name TEXT NOT NULL, window TEXT NOT NULL, amount INTEGER NOT NULL,"
        " ends REAL NOT NULL, PRIMARY KEY (scope, name, window)) WITHOUT ROWID",
    ),
    error=LedgerUnavailable,
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
        self._file = SQLiteFile(path, _FILE, timeout=timeout)
        self._next_sweep = 0.0
        with self._file.writing():
            pass  # a wrong file is reported here and not by the first call

    def reserve(self, charges: Sequence[Charge], *, now: float) -> Refusal | None:
        """Book all charges or none, in one transaction."""
        with self._file.writing() as connection:
            self._sweep(connection, now)
            for charge in charges:
                spent = _spent(connection, charge)
                if charge.most is not None and spent + charge.amount > charge.most:
                    return Refusal(charge, spent)
            _add(connection, charges)
        return None

    def settle(self, charges: Sequence[Charge], *, once: str, now: float) -> None:
        """Book all charges in one transaction, which an error leaves undone as a whole."""
        with self._file.writing() as connection:
            _add(connection, [charge for charge in charges if charge.ends + GRACE > now])

    def spent(self, charges: Sequence[Charge]) -> list[int]:
        """What is booked."""
        with self._file.reading() as connection:
            return [_spent(connection, charge) for charge in charges]

    def close(self) -> None:
        """Close the file; the next command opens it again."""
        self._file.close()

    def _sweep(self, connection: sqlite3.Connection, now: float) -> None:
        """Delete the windows that nobody asks for any more, at most once an hour."""
        if now >= self._next_sweep:
            connection.execute("DELETE FROM spent WHERE ends <= ?", (now - GRACE,))
            self._next_sweep = now + GRACE


def _spent(connection: sqlite3.Connection, charge: Charge) -> int:
    query = "SELECT amount FROM spent WHERE scope = ? AND name = ? AND window = ?"
    row = connection.execute(query, charge.key).fetchone()
    return row[0] if row else 0


def _add(connection: sqlite3.Connection, charges: Sequence[Charge]) -> None:
    connection.executemany(_ADD, [(*charge.key, charge.amount, charge.ends) for charge in charges])
