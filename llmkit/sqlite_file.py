"""An SQLite file that threads, forks and processes of one machine share."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Lock
from typing import Final

from llmkit.errors import LLMKitError
from llmkit.sqlite_lanes import Lane, Lanes

_LONGEST: Final = 1_000_000
"""Seconds that SQLite can wait, which counts milliseconds in 32 bits, with room to spare."""
_MOST_AHEAD: Final = 4_194_304
"""Bytes of "-wal" that stay when a larger transaction is over; SQLite itself empties it into the file at about that."""
_MAKING: Final = Lock()
"""Held while a file is made, as closing it drops the locks that other threads may have on it by then."""
_ADDRESS: Final = re.compile(r"[A-Za-z][\w+.-]+:/")
"""How a URL begins, also one that was made a `Path`; the name of a disk is one letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileKind:
    """What the files of one purpose have in common."""

    name: str
    """For errors: "the budget's ledger"."""
    owner: str
    """The class that keeps such files: "SQLiteLedger"."""
    instead: str
    """What needs no file: "MemoryLedger() for a budget of one process"."""
    on_server: str
    """The class that keeps the same on a server: "RedisLedger"."""
    application: int
    """SQLite's application_id, which tells them from the files of other programs."""
    schema: tuple[str, ...]
    """Statements that make the tables of the newest version."""
    error: type[LLMKitError]
    migrations: tuple[tuple[str, ...], ...] = ()
    """Statements that turn the tables of version 1 into those of 2, of 2 into those of 3, and so on."""
    private: bool = False
    """What it holds is confidential: a file that is made is for its owner alone."""

    @property
    def version(self) -> int:
        """The newest one."""
        return 1 + len(self.migrations)


class SQLiteFile:
    """Transactions on the file `path`, which is made when it is not there; its folder is not.

    Waits for other writers for `timeout` seconds; reading waits for no writer. Raises `kind.error` when the file is
    locked, damaged, full, not writable, of a newer llmkit or of another program; one of an older llmkit is brought up
    to date, all at once. A fork waits for as long until no thread is inside; if one still is, the child has this error
    from then on. When somebody deletes the file, or puts another one there and deletes those beside it ("-wal",
    "-shm"), the next command opens what is there then. The last transactions before a power cut may be missing.
    """

    def __init__(self, path: str | os.PathLike[str], kind: FileKind, *, timeout: float) -> None:
        if not 0 < timeout <= _LONGEST:
            raise ValueError(f"timeout={timeout!r} must be above 0 and at most {_LONGEST:_} seconds")
        if os.fspath(path) in {"", ":memory:"}:
            raise ValueError(f"path={os.fspath(path)!r} is no file; use {kind.instead}")
        if is_address(path):  # which may hold a password
            raise kind.error(
                f"{kind.name} cannot be used: that is the address of a server, and no file; use {kind.on_server}"
            )
        self._path = os.path.abspath(path)
        self._kind = kind
        self._timeout = timeout
        self._lanes = Lanes(timeout=timeout)

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection, None, None]:
        """A connection to read from; each statement sees the file as it is then."""
        with self._opened(self._lanes.reader) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection, None, None]:
        """A transaction that is the only one to write from its start, and which an error leaves undone as a whole."""
        with self._opened(self._lanes.writer) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file; the next command opens it again."""
        self._lanes.close()

    @contextmanager
    def _opened(self, lane: Lane) -> Generator[sqlite3.Connection, None, None]:
        if self._lanes.is_lost:
            raise self._unavailable("a thread was using it when this process was forked; fork before its first use")
        if not lane.acquire(self._timeout):
            raise self._unavailable("another call of this process is using it")
        try:
            yield self._connected(lane)
        except sqlite3.Error as error:
            raise self._unavailable(str(error)) from None
        except UnicodeDecodeError:  # of SQLite's own message, which quotes what is damaged
            raise self._unavailable("database disk image is malformed") from None
        finally:
            lane.release()

    def _connected(self, lane: Lane) -> sqlite3.Connection:
        file = _identity(self._path)
        if lane.file != file:
            lane.close()
        if lane.connection is None:
            lane.connection = self._connect()
            lane.file = file or _identity(self._path)
        return lane.connection

    def _connect(self) -> sqlite3.Connection:
        if self._kind.private:
            _make_private(self._path)
        connection = sqlite3.connect(self._path, timeout=self._timeout, isolation_level=None, check_same_thread=False)
        connection.text_factory = bytes  # what is damaged may be no UTF-8, and the error would quote it
        try:
            application, version = _marks(connection)
            if (application, version) == (0, 0):
                self._create(connection)
            elif application == self._kind.application and version < self._kind.version:
                self._migrate(connection)
            self._check(connection)
            with suppress(sqlite3.OperationalError):  # another connection is open, or the disk is a network's
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA journal_size_limit = {_MOST_AHEAD}")
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self, connection: sqlite3.Connection) -> None:
        """Make the tables if the file is empty now that nobody else can write to it."""
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            for statement in self._kind.schema:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {self._kind.application}")
            connection.execute(f"PRAGMA user_version = {self._kind.version}")
        connection.execute("COMMIT")

    def _migrate(self, connection: sqlite3.Connection) -> None:
        """Bring the tables up to date, all at once, unless another process has done so meanwhile."""
        connection.execute("BEGIN IMMEDIATE")
        version = _marks(connection)[1]
        for statements in self._kind.migrations[version - 1 :]:
            for statement in statements:
                connection.execute(statement)
            version += 1
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")

    def _check(self, connection: sqlite3.Connection) -> None:
        application, version = _marks(connection)
        known, owner = self._kind.version, self._kind.owner
        if application != self._kind.application:
            raise self._unavailable(f"it is a database of something else; give {owner} a file of its own")
        if version != known:
            raise self._unavailable(f"it has schema {version}, this llmkit knows {known}; use a newer llmkit")

    def _unavailable(self, reason: str) -> LLMKitError:
        return self._kind.error(f"{self._kind.name} {self._path} cannot be used: {reason}")


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether it is a URL, and no path."""
    return _ADDRESS.match(os.fspath(path)) is not None


def _make_private(path: str) -> None:
    """Make an empty file for its owner alone; those that SQLite makes beside it get the same rights."""
    with _MAKING, suppress(OSError):  # it is there, or SQLite will say why it cannot be made
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _identity(path: str) -> tuple[int, int] | None:
    """Which file there is under the name."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _marks(connection: sqlite3.Connection) -> tuple[int, int]:
    """What tells whose file it is, and which schema it has."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    return application, connection.execute("PRAGMA user_version").fetchone()[0]
