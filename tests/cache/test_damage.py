"""Whatever happens to a store, nothing wrong is ever served: an entry is as it was put, or not there."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cache.stores import KEY, NOW, Forked, entry, forks, long_entry, needs_linux, opened

from llmkit.cache.entry import Entry
from llmkit.cache.sqlite import SQLiteStore
from llmkit.cache.store import CacheStore
from llmkit.errors import CacheUnavailable

KEPT = {kept.key: kept for kept in [*map(entry, range(12)), *map(long_entry, range(12, 18))]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


def fill(path: Path) -> None:
    with closing(SQLiteStore(path)) as store:
        for kept in KEPT.values():
            store.put(kept, now=NOW)


def found(path: Path, kept: Mapping[str, Entry] = KEPT) -> int:
    """How many entries are read; each must be as it was put, and the file may be refused."""
    right = 0
    with suppress(CacheUnavailable), closing(SQLiteStore(path, timeout=0.2)) as store:
        for key, expected in kept.items():
            with suppress(CacheUnavailable):
                read = store.get(key, now=NOW)
                assert read in (None, expected)
                right += read is not None
        with suppress(CacheUnavailable):
            assert all(read == kept[read.key] for read in store.entries(now=NOW, bodies=True))
        with suppress(CacheUnavailable):
            assert all(read.size == kept[read.key].size for read in store.entries(now=NOW))
    return right


def written(path: Path, files: Mapping[str, bytes]) -> None:
    for name in ("", "-wal", "-shm"):
        Path(f"{path}{name}").unlink(missing_ok=True)
    for name, content in files.items():
        Path(f"{path}{name}").write_bytes(content)


def test_a_flipped_byte_anywhere_in_the_file_is_never_a_wrong_entry(path: Path) -> None:
    fill(path)
    whole, chance, hurt = path.read_bytes(), random.Random(7), 0
    for place in [*range(0, 100, 3), *(chance.randrange(len(whole)) for _ in range(400))]:
        damaged = bytearray(whole)
        damaged[place] ^= chance.randrange(1, 256)
        written(path, {"": bytes(damaged)})
        hurt += found(path) < len(KEPT)
    assert hurt > 50
    written(path, {"": whole})
    assert found(path) == len(KEPT)


def test_many_flipped_bytes_are_never_a_wrong_entry(path: Path) -> None:
    fill(path)
    whole, chance = path.read_bytes(), random.Random(8)
    for _ in range(60):
        damaged = bytearray(whole)
        for _ in range(40):
            damaged[chance.randrange(100, len(whole))] = chance.randrange(256)
        written(path, {"": bytes(damaged)})
        found(path)


def test_pages_that_have_changed_places_are_never_a_wrong_entry(path: Path) -> None:
    fill(path)
    whole, chance = path.read_bytes(), random.Random(9)
    pages = [whole[start : start + 4096] for start in range(0, len(whole), 4096)]
    for _ in range(100):
        shuffled = pages.copy()
        one, other = chance.sample(range(1, len(pages)), 2)
        shuffled[one], shuffled[other] = shuffled[other], shuffled[one]
        written(path, {"": b"".join(shuffled)})
        found(path)


def test_a_damaged_log_of_a_process_that_has_died_is_never_a_wrong_entry(path: Path) -> None:
    with closing(SQLiteStore(path)) as store:
        for kept in KEPT.values():
            store.put(kept, now=NOW)
        left = {name: Path(f"{path}{name}").read_bytes() for name in ("", "-wal")}
    chance = random.Random(10)
    written(path, left)
    assert found(path) == len(KEPT)
    for _ in range(150):
        damaged = bytearray(left["-wal"])
        damaged[chance.randrange(len(damaged))] ^= chance.randrange(1, 256)
        written(path, left | {"-wal": bytes(damaged)})
        found(path)


@pytest.mark.parametrize("left", [0, 1, 50, 100, 4095, 4096, 5000, 8192, 20_000, -1])
def test_a_file_that_is_cut_off_is_never_a_wrong_entry(path: Path, left: int) -> None:
    fill(path)
    written(path, {"": path.read_bytes()[:left]})
    assert found(path) < len(KEPT)


def test_a_file_that_becomes_empty_is_a_new_cache(path: Path) -> None:
    fill(path)
    written(path, {"": b""})
    with closing(SQLiteStore(path)) as store:
        assert list(store.entries(now=NOW)) == []
        store.put(entry(1), now=NOW)
        assert store.get(entry(1).key, now=NOW) == entry(1)


def test_a_file_that_is_damaged_while_it_is_used_is_refused_and_used_again_when_it_has_been_deleted(path: Path) -> None:
    with closing(SQLiteStore(path, timeout=0.2)) as store:
        for kept in KEPT.values():
            store.put(kept, now=NOW)
        store.close()
        path.write_bytes(os.urandom(50_000))
        for _ in range(2):
            with pytest.raises(CacheUnavailable, match="file is not a database"):
                store.get(KEY, now=NOW)
            with pytest.raises(CacheUnavailable, match="file is not a database"):
                store.put(entry(1), now=NOW)
        path.unlink()
        assert store.get(KEY, now=NOW) is None
        store.put(entry(1), now=NOW)
        assert store.get(entry(1).key, now=NOW) == entry(1)


def test_a_file_that_was_replaced_by_another_cache_serves_that_one(path: Path, tmp_path: Path) -> None:
    fill(tmp_path / "other.db")
    with closing(SQLiteStore(path)) as store:
        store.put(entry(100), now=NOW)
        written(path, {"": (tmp_path / "other.db").read_bytes()})
        assert store.get(entry(100).key, now=NOW) is None
        assert {read.key: read for read in store.entries(now=NOW, bodies=True)} == KEPT


def test_a_file_that_was_replaced_beside_the_log_of_the_one_before_serves_nothing_wrong(
    path: Path, tmp_path: Path
) -> None:
    fill(tmp_path / "other.db")
    with closing(SQLiteStore(path)) as store:
        for number in range(100, 110):
            store.put(long_entry(number), now=NOW)
        os.replace(tmp_path / "other.db", path)
        both = KEPT | {long_entry(number).key: long_entry(number) for number in range(100, 110)}
        found(path, both)
        for key, kept in both.items():
            with suppress(CacheUnavailable):
                assert store.get(key, now=NOW) in (None, kept)


def test_the_database_of_another_program_is_refused_and_untouched(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE entries (key, head, rest)")
    before = path.read_bytes()
    with pytest.raises(CacheUnavailable, match="a database of something else; give SQLiteStore a file of its own"):
        SQLiteStore(path)
    assert path.read_bytes() == before


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may write to read-only files; nobody may not."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def read_only() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to nobody
        path = Path(folder) / "cache.db"
        fill(path)
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
        Path(folder).chmod(0o555)
        yield path
        Path(folder).chmod(0o700)


def test_a_file_that_may_only_be_read_in_a_folder_that_may_only_be_read_is_refused(read_only: Path) -> None:
    with without_privileges(), pytest.raises(CacheUnavailable, match="cannot be used: "):
        SQLiteStore(read_only)


def test_a_file_that_may_only_be_read_serves_what_it_has(read_only: Path) -> None:
    read_only.parent.chmod(0o777)
    with without_privileges(), closing(SQLiteStore(read_only)) as store:
        assert store.get(entry(1).key, now=NOW) == entry(1)
        with pytest.raises(CacheUnavailable, match="readonly"):
            store.put(entry(100), now=NOW)
        assert store.get(entry(2).key, now=NOW) == entry(2)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@needs_linux
def test_a_full_disk_keeps_what_it_has_and_heals(path: Path) -> None:
    refused, kept = 0, {}
    with closing(SQLiteStore(path)) as store:
        with files_of_at_most(300_000):
            for number in range(60):
                each = long_entry(number)
                try:
                    store.put(each, now=NOW)
                    kept[each.key] = each
                except CacheUnavailable:
                    refused += 1
                    assert store.get(each.key, now=NOW) is None
            with pytest.raises(CacheUnavailable, match="disk"):
                store.put(long_entry(60), now=NOW)
            assert all(store.get(key, now=NOW) == each for key, each in kept.items())
        assert 5 < len(kept) < 60
        assert refused == 60 - len(kept)
        store.put(long_entry(59), now=NOW)
        assert store.get(long_entry(59).key, now=NOW) == long_entry(59)
    assert found(path, kept | {long_entry(59).key: long_entry(59)}) == len(kept) + 1


@needs_linux
@forks
def test_a_process_that_is_killed_in_mid_write_leaves_whole_entries(path: Path) -> None:
    chance, numbers = random.Random(11), range(20)
    versions = {number: [entry(number, body=b"%d" % turn * 4_000) for turn in range(10)] for number in numbers}
    for _ in range(40):
        store = SQLiteStore(path)

        def work(tell: Callable[[Any], None], store: SQLiteStore = store) -> None:
            for turn in range(10_000):
                number = turn % len(numbers)
                store.put(versions[number][turn % 10], now=NOW)
                tell(turn)

        child = Forked(work)
        for _ in range(chance.randrange(1, 40)):
            child.said()
        os.kill(child.id, signal.SIGKILL)
        assert child.end() == -signal.SIGKILL
        for number in numbers:
            read = store.get(entry(number).key, now=NOW)
            assert read is None or read in versions[number]
        store.put(versions[0][0], now=NOW)
        assert store.get(entry(0).key, now=NOW) == versions[0][0]
        store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@needs_linux
@forks
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_of_three_processes_that_race_for_a_claim_exactly_one_has_it(kind: str, redis_url: str) -> None:
    with opened(kind, redis_url) as make:
        store = make()

        def work(tell: Callable[[Any], None]) -> None:
            tell("ready")
            os.read(starts, 1)
            owner = str(os.getpid())
            tell([number for number in range(100) if store.claim(str(number), owner=owner, seconds=60, now=NOW)])

        starts, start = os.pipe()
        racers = [Forked(work) for _ in range(3)]
        assert [racer.said() for racer in racers] == ["ready"] * 3
        os.write(start, b"123")
        won = [number for racer in racers for number in racer.said()]
        assert [racer.end() for racer in racers] == [0, 0, 0]
        assert sorted(won) == list(range(100))
        os.close(starts)
        os.close(start)


@needs_linux
@forks
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_the_claim_of_a_killed_process_ends(kind: str, redis_url: str) -> None:
    with opened(kind, redis_url) as make:
        store = make()

        def work(tell: Callable[[Any], None]) -> None:
            tell(store.claim(KEY, owner="killed", seconds=0.3, now=NOW))
            signal.pause()

        child = Forked(work)
        assert child.said() is True
        os.kill(child.id, signal.SIGKILL)
        child.end()
        if kind == "sqlite":
            assert store.claim(KEY, owner="other", seconds=60, now=NOW + 0.2) is False
        wait_for(store)
        assert store.claim(KEY, owner="other", seconds=60, now=NOW + 0.3) is True


def wait_for(store: CacheStore) -> None:
    """Until the server has no claim any more; its clock is the real one."""
    while not store.claim(KEY, owner="other", seconds=60, now=NOW + 0.3):
        pass


@pytest.fixture(autouse=True)
def no_files_left(tmp_path: Path) -> Iterator[None]:
    yield
    shutil.rmtree(tmp_path)
