"""A cache that the processes of one machine share, in an SQLite file."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from llmkit.cache.entry import Entry
from llmkit.cache.packing import pack
from llmkit.cache.reading import Reader, pages
from llmkit.errors import CacheUnavailable
from llmkit.sqlite_file import FileKind, SQLiteFile

_FILE: Final = FileKind(
    name="the cache",
    owner="SQLiteStore",
    instead="MemoryStore() for a cache of one process",
    on_server="RedisStore",
    application=0x6C6C6D61,  # "llma"; "llmc" are conversations
    schema=(
        "CREATE TABLE entries (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, created REAL NOT NULL, expires REAL,"
        " head BLOB NOT NULL, rest BLOB NOT NULL)",  # last, so that a list of the heads reads no answers
        "CREATE INDEX by_age ON entries (created)",
        "CREATE INDEX by_expiry ON entries (expires) WHERE expires IS NOT NULL",
        "CREATE TABLE claims (key TEXT PRIMARY KEY, owner TEXT NOT NULL, ends REAL NOT NULL) WITHOUT ROWID",
        "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    ),
    error=CacheUnavailable,
    private=True,
)
_PUT: Final = "INSERT OR REPLACE INTO entries (key, created, expires, head, rest) VALUES (?, ?, ?, ?, ?)"
_DROP_EXPIRED: Final = "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE expires <= ? LIMIT ?)"
_DROP_OLDEST: Final = "DELETE FROM entries WHERE id IN (SELECT id FROM entries ORDER BY created, id LIMIT ?)"
_ADD: Final = "INSERT INTO counters VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = value + ?2"
_CLAIM: Final = (
    "INSERT INTO claims VALUES (?1, ?2, ?3)"
    " ON CONFLICT DO UPDATE SET owner = ?2, ends = ?3 WHERE owner = ?2 OR ends <= ?4"
)
_SWEEP_EVERY: Final = 60.0
_MOST_SWEPT: Final = 500
"""Expired entries that one `put` deletes."""
_BATCH: Final = 10
_BATCHES: Final = 50
"""Entries that are deleted between two looks at the size of the file, and how often one `put` looks."""
_FIGURES: Final = ("page_count", "freelist_count", "page_size")
_LEAST_BYTES: Final = 1_000_000


class SQLiteStore:
    """Keeps answers in the SQLite file `path`, which threads, forks and processes of one machine may share.

    Waits for other writers for `timeout` seconds; reading waits for nobody. The file is made when it is not there, its
    folder is not. It holds answers as they came, and is made for its owner alone; an empty file that is there already
    keeps its rights. When the entries take more than `max_bytes`, the oldest are dropped, and an entry of more than
    half of it is not kept; the file itself does not shrink, and "-wal" beside it takes up to 5 MB more, or for a while
    what the largest entry takes. Raises `CacheUnavailable` when the file is locked, damaged, full, not writable, of a
    newer llmkit or of another program. The last entries before a power cut may be missing.
    """

    blocks = True

    def __init__(self, path: str | os.PathLike[str], *, timeout: float = 1.0, max_bytes: int = 1_000_000_000) -> None:
        if max_bytes < _LEAST_BYTES:
            raise ValueError(f"max_bytes={max_bytes!r} must be at least {_LEAST_BYTES:_}")
        self._file = SQLiteFile(path, _FILE, timeout=timeout)
        self._reader = Reader(f"the cache {os.fspath(path)}")
        self._max_bytes = max_bytes
        self._next_sweep = 0.0
        with self._file.reading():
            pass  # a wrong file is reported here and not by the first call

    def get(self, key: str, *, now: float) -> Entry | None:
        """The entry."""
        with self._file.reading() as connection:
            row = connection.execute("SELECT head, rest FROM entries WHERE key = ?", (key,)).fetchone()
        return None if row is None else self._reader.entry(key, *row, now=now)

    def put(self, entry: Entry, *, now: float) -> None:
        """Keep an entry, in one transaction, and drop some of those that have expired or must make room."""
        head, rest = pack(entry)
        with self._file.writing() as connection:
            self._sweep(connection, now)
            if len(head) + len(rest) > self._max_bytes // 2:
                connection.execute("DELETE FROM entries WHERE key = ?", (entry.key,))
                return
            connection.execute(_PUT, (entry.key, entry.created_at, entry.expires_at, head, rest))
            for _ in range(_BATCHES):
                if _bytes_used(connection) <= self._max_bytes:
                    break
                connection.execute(_DROP_OLDEST, (_BATCH,))

    def delete(self, keys: Iterable[str]) -> int:
        """Forget entries, in short transactions."""
        deleted = 0
        for page in pages(list(keys)):
            with self._file.writing() as connection:
                deleted += connection.executemany(
                    "DELETE FROM entries WHERE key = ?", [(key,) for key in page]
                ).rowcount
        return deleted

    def entries(self, *, now: float, since: float | None = None, bodies: bool = False) -> Iterator[Entry]:
        """Those that are there now, but for what is deleted meanwhile."""
        after = -math.inf if since is None else since
        with self._file.reading() as connection:
            ids = connection.execute(
                "SELECT id FROM entries WHERE created > ? ORDER BY created, id", (after,)
            ).fetchall()
        for page in pages(ids):
            for key, *parts in self._rows(page, "key, head, rest" if bodies else "key, head"):
                read = self._reader.entry if bodies else self._reader.listed
                entry = read(_text(key), *parts, now=now)
                if entry is not None:
                    yield entry

    def add(self, counts: Mapping[str, int]) -> None:
        """Add to the counters."""
        with self._file.writing() as connection:
            connection.executemany(_ADD, list(counts.items()))

    def counts(self) -> dict[str, int]:
        """The counters since the file was made."""
        with self._file.reading() as connection:
            return {_text(name): value for name, value in connection.execute("SELECT name, value FROM counters")}

    def claim(self, key: str, *, owner: str, seconds: float, now: float) -> bool:
        """Whether no other process has claimed it."""
        with self._file.writing() as connection:
            return connection.execute(_CLAIM, (key, owner, now + seconds, now)).rowcount == 1

    def release(self, key: str, *, owner: str) -> None:
        """Give up a claim."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM claims WHERE key = ? AND owner = ?", (key, owner))

    def close(self) -> None:
        """Close the file; the next command opens it again."""
        self._file.close()

    def _rows(self, ids: list[tuple[int]], columns: str) -> list[tuple[object, ...]]:
        with self._file.reading() as connection:
            found = (connection.execute(f"SELECT {columns} FROM entries WHERE id = ?", one).fetchone() for one in ids)  # noqa: S608
            return [row for row in found if row is not None]

    def _sweep(self, connection: sqlite3.Connection, now: float) -> None:
        """Delete what has expired, at most once a minute, or some of it when it is much."""
        if now < self._next_sweep:
            return
        connection.execute("DELETE FROM claims WHERE ends <= ?", (now,))
        if connection.execute(_DROP_EXPIRED, (now, _MOST_SWEPT)).rowcount < _MOST_SWEPT:
            self._next_sweep = now + _SWEEP_EVERY


def _bytes_used(connection: sqlite3.Connection) -> int:
    """Bytes of the file without the pages that are free to be used again."""
    count, free, size = (int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in _FIGURES)
    return (count - free) * size


def _text(value: object) -> str:
    """Text as the file gives it; what is damaged becomes some text."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
