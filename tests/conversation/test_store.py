"""The stores of conversations: whole turns, whatever happens."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from llmkit.conversation.errors import ConversationConflict, InvalidStore
from llmkit.conversation.records import ConversationTurn
from llmkit.conversation.store import JSONStore, SQLiteStore
from llmkit.usage.totals import Usage

SETTINGS = {"model": "gpt-4o", "system": "S"}
BOTH = pytest.mark.parametrize("kind", [JSONStore, SQLiteStore])


def turn(number: int, text: str = "hi") -> ConversationTurn:
    messages = ({"role": "user", "content": text}, {"role": "assistant", "content": "yes ☀"})
    return ConversationTurn(number=number, messages=messages, usage=Usage(calls=number))


async def fill(store: Any, name: str, *numbers: int) -> None:
    for number in numbers:
        await store.append(name, turn(number), settings=SETTINGS if number == 1 else None)


@BOTH
async def test_a_store_gives_back_the_last_turns_of_each_conversation(kind: Any, tmp_path: Path) -> None:
    store = kind(tmp_path / "chats")
    assert await store.load("a") is None
    await fill(store, "a", 1, 2, 3)
    await fill(store, "b", 1)
    await fill(store, "a", 4)
    for reader in (store, kind(str(tmp_path / "chats"))):
        saved = await reader.load("a", last=2)
        assert (saved.settings, saved.turns) == (SETTINGS, (turn(3), turn(4)))
        assert (await reader.load("a")).turns == tuple(map(turn, (1, 2, 3, 4)))
        assert (await reader.load("b")).turns == (turn(1),)
        assert await reader.load("c") is None


@BOTH
async def test_the_newest_settings_hold(kind: Any, tmp_path: Path) -> None:
    store = kind(tmp_path / "chats")
    await fill(store, "a", 1, 2)
    await store.append("a", turn(3), settings={"model": "gpt-5"})
    await fill(store, "a", 4)
    assert (await store.load("a", last=1)).settings == {"model": "gpt-5"}


@BOTH
async def test_a_turn_that_somebody_else_has_stored_is_refused(kind: Any, tmp_path: Path) -> None:
    mine, other = kind(tmp_path / "chats"), kind(tmp_path / "chats")
    await fill(mine, "a", 1)
    await fill(other, "a", 2)
    with pytest.raises(ConversationConflict, match=r"turn 2 of the conversation 'a'.*Conversation\.load"):
        await mine.append("a", turn(2, "late"), settings=None)
    assert (await mine.load("a")).turns == (turn(1), turn(2))


@BOTH
async def test_many_threads_share_a_store(kind: Any, tmp_path: Path) -> None:
    store = kind(tmp_path / "chats")
    async with anyio.create_task_group() as group:
        for name in "abcdefgh":
            group.start_soon(partial(fill, store, name, *range(1, 6)))
    for name in "abcdefgh":
        assert [one.number for one in (await store.load(name)).turns] == [1, 2, 3, 4, 5]


CHILD = """
import asyncio, sys
from llmkit.conversation.conversation import Conversation
from llmkit.conversation import store
from llmkit.testing import FakeOpenAI

async def main(kind, path):
    fake = FakeOpenAI()
    async def look():
        return "x" * 1000

    conversation = Conversation(
        fake.async_client(middleware=[]), model="gpt-4o", store=getattr(store, kind)(path), id="alice",
        tools=[look],
    )
    for number in range(10_000):
        fake.reply(tool_calls=[("look", {})]).reply("done")
        await conversation.send(str(number))
        fake.requests.clear()
        if number > 2:
            print(number + 1, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


@BOTH
async def test_after_kill_9_the_turns_that_were_over_are_there_and_all_are_whole(kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "chats"

    def run_and_kill() -> int:
        arguments = [sys.executable, "-c", CHILD, kind.__name__, str(path)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            over = [int(child.stdout.readline()) for _ in range(3)][-1]
            child.send_signal(signal.SIGKILL)
        return over

    over = await anyio.to_thread.run_sync(run_and_kill)
    store = kind(path)
    turns = (await store.load("alice")).turns
    assert [one.number for one in turns] == list(range(1, len(turns) + 1))
    assert len(turns) >= over
    assert all([m["role"] for m in one.messages] == ["user", "assistant", "tool", "assistant"] for one in turns)
    await store.append("alice", turn(len(turns) + 1), settings=None)
    assert (await kind(path).load("alice", last=1)).turns == (turn(len(turns) + 1),)


async def test_a_line_torn_anywhere_is_left_out_and_the_next_turn_takes_its_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "chat.jsonl"
    await fill(JSONStore(path), "a", 1, 2)
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole)):
        path.write_bytes(whole[:length])
        store = JSONStore(path)
        survived = len((await store.load("a")).turns)
        assert survived == (2 if length == len(whole) - 1 else 1)
        await store.append("a", turn(survived + 1, "again"), settings=None)
        assert (await JSONStore(path).load("a")).turns[-1] == turn(survived + 1, "again")
    assert f"{path}:2 is torn and left out" in caplog.text


async def test_of_two_lines_with_one_number_the_first_counts(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    await fill(JSONStore(path), "a", 1, 2)
    path.write_bytes(path.read_bytes() + path.read_bytes().splitlines(keepends=True)[1].replace(b"hi", b"ho"))
    assert (await JSONStore(path).load("a")).turns == (turn(1), turn(2))


async def test_a_disk_that_takes_half_a_line_is_an_error_and_the_turn_can_be_stored_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chat.jsonl"
    store = JSONStore(path)
    await fill(store, "a", 1)

    class Full:
        def __init__(self, *args: Any, **options: Any) -> None:
            self._file = open(*args, **options)  # noqa: SIM115

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *exception: object) -> None:
            self._file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

        def write(self, data: bytes) -> int:
            return int(self._file.write(data[:10]))

    monkeypatch.setattr("llmkit.conversation.store.open", Full, raising=False)
    with pytest.raises(OSError, match="disk full"):
        await store.append("a", turn(2), settings=None)
    monkeypatch.undo()
    await store.append("a", turn(2), settings=None)
    assert (await store.load("a")).turns == (turn(1), turn(2))


async def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.jsonl"
    for line in ('{"a": 1}', "[1]"):
        path.write_text(line + "\n")
        with pytest.raises(InvalidStore, match=r"other\.jsonl:1 is no turn"):
            await JSONStore(path).load("a")
    database = tmp_path / "other.db"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE turns (x)")
    with pytest.raises(InvalidStore, match="database of something else"):
        await SQLiteStore(database).load("a")
    for name in ("", ":memory:"):
        with pytest.raises(ValueError, match="is no file"):
            SQLiteStore(name)


async def test_a_database_of_a_newer_llmkit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chats.db"
    await fill(SQLiteStore(path), "a", 1)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(InvalidStore, match="has schema 2, this llmkit knows 1"):
        await SQLiteStore(path).append("a", turn(2), settings=None)


async def test_two_processes_may_create_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "chats.db"
    create = SQLiteStore._create

    def too_late(store: SQLiteStore, connection: sqlite3.Connection) -> None:
        monkeypatch.undo()
        SQLiteStore(path)._connect().close()
        create(store, connection)

    monkeypatch.setattr(SQLiteStore, "_create", too_late)
    store = SQLiteStore(path)
    await fill(store, "a", 1)
    assert (await store.load("a")).turns == (turn(1),)
