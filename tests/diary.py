"""SQLite files of a kind that only the tests have."""

from __future__ import annotations

from llmkit.errors import LLMKitError
from llmkit.sqlite_file import FileKind, SQLiteFile


class DiaryUnavailable(LLMKitError):
    pass


KIND = FileKind(
    name="the diary",
    owner="Diary",
    instead="a notebook",
    on_server="a newspaper",
    application=4711,
    schema=("CREATE TABLE days (said TEXT)",),
    error=DiaryUnavailable,
    migrations=(("CREATE TABLE days (said TEXT)",), ("INSERT INTO days SELECT heard FROM nights", "DROP TABLE nights")),
)


def say(file: SQLiteFile, text: str) -> None:
    with file.writing() as connection:
        connection.execute("INSERT INTO days VALUES (?)", (text,))


def said(file: SQLiteFile) -> list[bytes]:
    with file.reading() as connection:
        return [text for (text,) in connection.execute("SELECT said FROM days")]
