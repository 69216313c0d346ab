from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest
from cache.stores import FULL, KEY, NOW, entry, long_entry

from llmkit.cache.entry import Entry
from llmkit.cache.sqlite import SQLiteStore
from llmkit.conversation import SQLiteStore as ConversationStore
from llmkit.errors import CacheUnavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@contextmanager
def store_at(path: Path, *, timeout: float = 5.0, max_bytes: int = 10**9) -> Iterator[SQLiteStore]:
    with closing(SQLiteStore(path, timeout=timeout, max_bytes=max_bytes)) as store:
        yield store


def rows(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return connection.execute(query).fetchall()


def kept(store: SQLiteStore) -> list[float]:
    return [found.created_at - NOW for found in store.entries(now=NOW)]


def test_it_does_io() -> None:
    assert SQLiteStore.blocks is True


@pytest.mark.parametrize("most", [0, 999_999])
def test_a_bound_that_leaves_no_room_is_refused(path: Path, most: int) -> None:
    with pytest.raises(ValueError, match=f"max_bytes={most} must be at least 1_000_000"):
        SQLiteStore(path, max_bytes=most)
    assert not path.exists()


@pytest.mark.parametrize("path", ["", ":memory:"])
def test_a_path_that_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"is no file; use MemoryStore\(\) for a cache of one process"):
        SQLiteStore(path)


def test_a_timeout_of_nothing_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="timeout=0 must be above 0 and at most 1_000_000 seconds"):
        SQLiteStore(path, timeout=0)


def test_a_wrong_file_is_reported_when_the_store_is_made(path: Path) -> None:
    path.write_bytes(b"my notes " * 1000)
    with pytest.raises(CacheUnavailable, match=f"the cache {path} cannot be used: file is not a database"):
        SQLiteStore(path)


def test_answers_outlive_the_store(path: Path) -> None:
    with store_at(path) as store:
        store.put(FULL, now=NOW)
        store.add({"hits": 1})
    with store_at(path) as store:
        assert store.get(KEY, now=NOW) == FULL
        assert store.counts() == {"hits": 1}


def test_a_closed_store_opens_again(path: Path) -> None:
    with store_at(path) as store:
        store.put(FULL, now=NOW)
        store.close()
        store.close()
        assert store.get(KEY, now=NOW) == FULL


def test_the_file_is_written_ahead_so_that_readers_and_a_writer_do_not_wait_for_each_other(path: Path) -> None:
    with store_at(path):
        assert rows(path, "PRAGMA journal_mode") == [("wal",)]


def test_reading_waits_neither_for_another_process_that_writes_nor_for_a_thread_that_waits_for_it(path: Path) -> None:
    with store_at(path, timeout=30) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        store.put(FULL, now=NOW)
        other.execute("BEGIN IMMEDIATE")
        other.execute("DELETE FROM entries")
        waits = threading.Thread(target=store.put, args=(entry(1),), kwargs={"now": NOW})
        waits.start()
        assert store.get(KEY, now=NOW) == FULL
        assert kept(store) == [FULL.created_at - NOW]
        assert store.counts() == {}
        assert waits.is_alive()
        other.execute("ROLLBACK")
        waits.join()
        assert store.get(entry(1).key, now=NOW) == entry(1)


def test_a_locked_file_is_waited_for_and_then_an_error(path: Path) -> None:
    with store_at(path, timeout=0.05) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        store.put(FULL, now=NOW)
        other.execute("BEGIN IMMEDIATE")
        for write in (
            lambda: store.put(entry(1), now=NOW),
            lambda: store.delete([KEY]),
            lambda: store.add({"hits": 1}),
            lambda: store.claim(KEY, owner="a", seconds=1, now=NOW),
            lambda: store.release(KEY, owner="a"),
        ):
            with pytest.raises(CacheUnavailable, match=f"the cache {path} cannot be used: database is locked"):
                write()
        other.execute("ROLLBACK")
        store.put(entry(1), now=NOW)


def test_expired_entries_are_deleted_once_a_minute(path: Path) -> None:
    with store_at(path) as store:
        store.put(entry(1, ends=NOW + 10), now=NOW)
        store.put(entry(2, ends=None), now=NOW + 59)
        assert rows(path, "SELECT count(*) FROM entries") == [(2,)]
        store.put(entry(3, ends=NOW + 100), now=NOW + 60)
        assert rows(path, "SELECT count(*) FROM entries") == [(2,)]
        assert store.get(entry(2).key, now=NOW + 60) == entry(2, ends=None)


def test_many_that_have_expired_are_deleted_by_several_puts(path: Path) -> None:
    with store_at(path) as store:
        for number in range(510):
            store.put(entry(number, ends=NOW + 1), now=NOW)
        for number, left in ((600, 11), (601, 2), (602, 3)):
            store.put(entry(number), now=NOW + 60)
            assert rows(path, "SELECT count(*) FROM entries") == [(left,)]


def test_claims_end_by_themselves_and_are_swept(path: Path) -> None:
    with store_at(path) as store:
        assert store.claim(KEY, owner="a", seconds=10, now=NOW)
        assert not store.claim(KEY, owner="b", seconds=10, now=NOW + 9.9)
        assert store.claim(KEY, owner="a", seconds=10, now=NOW + 9.9)
        assert not store.claim(KEY, owner="b", seconds=10, now=NOW + 19.8)
        assert store.claim(KEY, owner="b", seconds=10, now=NOW + 19.9)
        store.release(KEY, owner="a")
        assert rows(path, "SELECT key, owner FROM claims") == [(KEY, "b")]
        store.put(entry(1), now=NOW + 29.9)
        assert rows(path, "SELECT key, owner FROM claims") == []


def test_the_oldest_make_room_and_the_file_stays_within_its_bound(path: Path) -> None:
    with store_at(path, max_bytes=1_000_000) as store:
        for number in range(400):
            store.put(entry(number, body=b"x" * 10_000, made=NOW + number), now=NOW)
        left = kept(store)
        assert 70 <= len(left) <= 95
        assert left == [float(number) for number in range(400 - len(left), 400)]
    assert path.stat().st_size <= 1_100_000


def test_a_file_that_was_much_larger_is_cut_down_step_by_step(path: Path) -> None:
    with store_at(path) as store:
        for number in range(1_100):
            store.put(entry(number, body=b"x" * 4_000, made=NOW + number), now=NOW)
    with store_at(path, max_bytes=1_000_000) as store:
        store.put(entry(2_000, made=NOW + 2_000), now=NOW)
        assert len(kept(store)) == 601
        store.put(entry(2_001, made=NOW + 2_001), now=NOW)
        left = kept(store)
        assert 90 <= len(left) <= 260
        assert left[-2:] == [2_000, 2_001]


def test_an_entry_larger_than_half_of_the_bound_is_not_kept(path: Path) -> None:
    with store_at(path, max_bytes=1_000_000) as store:
        store.put(entry(1), now=NOW)
        store.put(entry(2), now=NOW)
        store.put(entry(2, body=b"x" * 500_001), now=NOW)
        assert store.get(entry(2).key, now=NOW) is None
        assert store.get(entry(1).key, now=NOW) == entry(1)


def test_an_entry_whose_head_is_large_does_not_push_out_the_others(path: Path) -> None:
    with store_at(path, max_bytes=1_000_000) as store:
        store.put(entry(1), now=NOW)
        store.put(replace(entry(2), question="q" * 500_000), now=NOW)
        assert kept(store) == [0]
        store.put(replace(entry(3), question="q" * 499_000), now=NOW)
        assert [found.key for found in store.entries(now=NOW)] == [entry(1).key, entry(3).key]


def test_what_is_written_ahead_of_a_large_answer_does_not_stay(path: Path) -> None:
    with store_at(path) as store:
        store.put(entry(1, body=b"x" * 20_000_000), now=NOW)
        for number in range(2, 4):
            store.put(entry(number), now=NOW)
        assert Path(f"{path}-wal").stat().st_size <= 4_200_000


def test_a_file_of_conversations_is_refused(path: Path) -> None:
    anyio.run(partial(ConversationStore(path).load, "a"))
    with pytest.raises(CacheUnavailable, match="it is a database of something else; give SQLiteStore a file of its"):
        SQLiteStore(path)


@pytest.mark.parametrize(
    "damage",
    [
        "head = CAST('my notes' AS BLOB)",
        "head = 'my notes'",
        "head = 7",
        "head = (SELECT head FROM entries WHERE id = 2)",
        "rest = CAST('my notes' AS BLOB)",
        "rest = 'my notes'",
        "rest = x'ff'",
        "rest = CAST(x'ff' AS TEXT)",
        "rest = 1.5",
    ],
)
def test_a_damaged_entry_is_not_there_and_is_warned_of_once(
    path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    with store_at(path) as store:
        store.put(FULL, now=NOW)
        store.put(entry(1), now=NOW)
        rows(path, f"UPDATE entries SET {damage} WHERE key = '{KEY}'")
        for _ in range(2):
            assert store.get(KEY, now=NOW) is None
            assert list(store.entries(now=NOW, bodies=True)) == [entry(1)]
        assert len(caplog.messages) == 1
        assert caplog.messages[0].startswith(f"the cache {path}: the entry {KEY} is left out: it")
        assert "notes" not in caplog.text
        store.put(FULL, now=NOW)
        assert store.get(KEY, now=NOW) == FULL


@pytest.mark.parametrize("damage", ["CAST(x'ff41' AS TEXT)", "7", "x'ff'"])
def test_an_entry_whose_key_is_damaged_is_left_out(path: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
    with store_at(path) as store:
        for kept_entry in (FULL, entry(1)):
            store.put(kept_entry, now=NOW)
        rows(path, f"UPDATE entries SET key = {damage} WHERE key = '{KEY}'")
        assert store.get(KEY, now=NOW) is None
        for bodies in (True, False):
            assert [found.key for found in store.entries(now=NOW, bodies=bodies)] == [entry(1).key]
        assert len(caplog.messages) == 1
        assert "it was kept under another key" in caplog.text


def test_a_list_reads_no_answers(path: Path) -> None:
    with store_at(path) as store:
        for number in range(50):
            store.put(long_entry(number), now=NOW)
        rows(path, "UPDATE entries SET rest = x'00'")
        assert [found.size for found in store.entries(now=NOW)] == [len(long_entry(n).body) for n in range(50)]


def test_what_changes_in_the_meantime_is_not_mixed_up(path: Path) -> None:
    with store_at(path) as store, store_at(path) as other:
        store.put(FULL, now=NOW)
        newer: Entry = replace(FULL, body=b"{}", events=None, vector=None, size=-1)
        other.put(newer, now=NOW)
        assert store.get(KEY, now=NOW) == newer
