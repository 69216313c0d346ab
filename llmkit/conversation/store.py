"""Where conversations are kept: a file of JSON lines, or SQLite."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from threading import Lock
from typing import Any, Final, Protocol, cast

import anyio.to_thread

from llmkit.conversation.errors import ConversationConflict, InvalidStore
from llmkit.conversation.records import ConversationTurn, JSONObject, SavedConversation

logger = logging.getLogger("llmkit")

_VERSION: Final = 1
_APPLICATION: Final = 0x6C6C6D63  # "llmc": tells our files from those of other programs
_SCHEMA: Final = (
    "CREATE TABLE turns (conversation TEXT NOT NULL, number INTEGER NOT NULL, turn TEXT NOT NULL, settings TEXT,"
    " PRIMARY KEY (conversation, number)) WITHOUT ROWID",
    f"PRAGMA application_id = {_APPLICATION}",
    f"PRAGMA user_version = {_VERSION}",
)
_FIELDS: Final = {"conversation", "number", "turn"}


class ConversationStore(Protocol):
    """Keeps the turns of conversations; one store may serve many of them."""

    async def append(self, conversation_id: str, turn: ConversationTurn, *, settings: JSONObject | None) -> None:
        """Keep one turn, whole or not at all, for good when this returns.

        `settings` (JSON) hold from this turn on; None: as before. Raises `ConversationConflict` when the conversation
        has a turn of that number.
        """
        ...

    async def load(self, conversation_id: str, *, last: int | None = None) -> SavedConversation | None:
        """The last `last` turns, or all, oldest first, with the newest settings; None when there is no turn."""
        ...


class JSONStore:
    """Conversations in one file of JSON lines, one line a turn, each on the disk when its turn is over.

    A line torn by a crash is left out. One process may write to the file; for several, and for many conversations,
    use `SQLiteStore`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._lock = Lock()
        self._size = -1
        self._numbers: dict[str, int] = {}

    async def append(self, conversation_id: str, turn: ConversationTurn, *, settings: JSONObject | None) -> None:
        """Append one line and wait until it is on the disk."""
        line: JSONObject = {"conversation": conversation_id, "number": turn.number, "turn": turn.to_json()}
        if settings is not None:
            line["settings"] = settings
        await anyio.to_thread.run_sync(self._append, conversation_id, turn.number, _dump(line).encode() + b"\n")

    async def load(self, conversation_id: str, *, last: int | None = None) -> SavedConversation | None:
        """Read the file through, holding on to the last `last` turns."""
        return await anyio.to_thread.run_sync(self._load, conversation_id, last)

    def _append(self, conversation_id: str, number: int, data: bytes) -> None:
        with self._lock, open(self._path, "a+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size != self._size:
                self._numbers = {line["conversation"]: line["number"] for line in self._lines()}
            if number <= self._numbers.get(conversation_id, 0):
                raise _conflict(conversation_id, number)
            file.seek(max(size - 1, 0))
            if file.read(1) not in {b"", b"\n"}:
                data = b"\n" + data  # what a crash has torn stays on a line of its own
            if file.write(data) < len(data):
                raise OSError(f"{self._path}: the turn could not be written whole; is the disk full?")
            os.fsync(file.fileno())
            self._numbers[conversation_id] = number
            self._size = size + len(data)

    def _load(self, conversation_id: str, last: int | None) -> SavedConversation | None:
        settings: JSONObject | None = None
        turns: deque[JSONObject] = deque(maxlen=last)
        newest = 0
        with self._lock:
            for line in self._lines():
                if line["conversation"] == conversation_id and line["number"] > newest:
                    newest = line["number"]
                    settings = line.get("settings", settings)
                    turns.append(line)
        if settings is None:
            return None
        found = tuple(ConversationTurn.from_json(line["number"], line["turn"]) for line in turns)
        return SavedConversation(settings=settings, turns=found)

    def _lines(self) -> Iterator[JSONObject]:
        if not os.path.exists(self._path):
            return
        with open(self._path, "rb") as file:
            for number, text in enumerate(file, 1):
                try:
                    line = json.loads(text)
                except ValueError:
                    logger.warning("%s:%d is torn and left out", self._path, number)
                    continue
                if not (isinstance(line, dict) and cast("JSONObject", line).keys() >= _FIELDS):
                    raise InvalidStore(f"{self._path}:{number} is no turn; give JSONStore a file of its own")
                yield cast("JSONObject", line)


class SQLiteStore:
    """Conversations in an SQLite file, one row and one transaction a turn; several processes may share it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        if self._path in {"", ":memory:"}:
            raise ValueError(f"path={self._path!r} is no file; each turn opens it anew, so it must be one")

    async def append(self, conversation_id: str, turn: ConversationTurn, *, settings: JSONObject | None) -> None:
        """Insert one row and wait until it is on the disk."""
        row = (conversation_id, turn.number, _dump(turn.to_json()), None if settings is None else _dump(settings))
        await anyio.to_thread.run_sync(self._append, row)

    async def load(self, conversation_id: str, *, last: int | None = None) -> SavedConversation | None:
        """Read the last `last` rows."""
        return await anyio.to_thread.run_sync(partial(self._load, conversation_id, -1 if last is None else last))

    def _append(self, row: tuple[Any, ...]) -> None:
        with closing(self._connect()) as connection:
            try:
                connection.execute("INSERT INTO turns VALUES (?, ?, ?, ?)", row)  # autocommit: one transaction
            except sqlite3.IntegrityError:
                raise _conflict(row[0], row[1]) from None

    def _load(self, conversation_id: str, last: int) -> SavedConversation | None:
        with closing(self._connect()) as connection:
            settings = connection.execute(
                "SELECT settings FROM turns WHERE conversation = ? AND settings IS NOT NULL"
                " ORDER BY number DESC LIMIT 1",
                (conversation_id,),
            ).fetchone()
            rows = connection.execute(
                "SELECT number, turn FROM turns WHERE conversation = ? ORDER BY number DESC LIMIT ?",
                (conversation_id, last),
            ).fetchall()
        if settings is None:
            return None
        turns = tuple(ConversationTurn.from_json(number, json.loads(turn)) for number, turn in reversed(rows))
        return SavedConversation(settings=json.loads(settings[0]), turns=turns)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = FULL")
            if _marks(connection) != (_APPLICATION, _VERSION):
                self._create(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self, connection: sqlite3.Connection) -> None:
        """Create the table in an empty file; the file is looked at again now that nobody else can write to it."""
        connection.execute("BEGIN IMMEDIATE")
        application, version = _marks(connection)
        if application == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            for statement in _SCHEMA:
                connection.execute(statement)
        elif application != _APPLICATION:
            raise InvalidStore(f"{self._path} is a database of something else; give SQLiteStore a file of its own")
        elif version != _VERSION:
            raise InvalidStore(f"{self._path} has schema {version}, this llmkit knows {_VERSION}; use a newer llmkit")
        connection.execute("COMMIT")
        with suppress(sqlite3.OperationalError):  # another connection is open; turns are safe without it
            connection.execute("PRAGMA journal_mode = WAL")


def _marks(connection: sqlite3.Connection) -> tuple[int, int]:
    """What tells whose file it is, and which schema it has."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    return application, connection.execute("PRAGMA user_version").fetchone()[0]


def _dump(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _conflict(conversation_id: str, number: int) -> ConversationConflict:
    return ConversationConflict(
        f"The store has turn {number} of the conversation {conversation_id!r} already: somebody else wrote to it. "
        "Go on from there with Conversation.load(...), or take another id."
    )
