from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cache.stores import Forked, forks, needs_linux
from diary import KIND, DiaryUnavailable, said, say

from llmkit import sqlite_lanes
from llmkit.sqlite_file import SQLiteFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "diary.db"


@pytest.fixture
def file(path: Path) -> Iterator[SQLiteFile]:
    with closing(SQLiteFile(path, KIND, timeout=5)) as opened:
        yield opened


def test_a_thread_that_is_inside_already_does_not_wait_for_itself(path: Path) -> None:
    with closing(SQLiteFile(path, KIND, timeout=100_000)) as file:
        for lane in (file.writing, file.reading):
            with lane(), pytest.raises(DiaryUnavailable, match="another call of this process is using it"), lane():
                pass
        say(file, "after")
        assert said(file) == [b"after"]


def text_of(file: SQLiteFile) -> list[str]:
    return [text.decode() for text in said(file)]


@needs_linux
@forks
def test_processes_that_are_forked_while_a_thread_writes_go_on(file: SQLiteFile) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            say(file, "parent")

    def work(tell: Callable[[object], None]) -> None:
        say(file, "child")
        tell(set(text_of(file)) >= {"child"})

    thread = threading.Thread(target=write)
    thread.start()
    children = [Forked(work) for _ in range(5)]
    stop.set()
    thread.join()
    assert [(child.said(), child.end()) for child in children] == [(True, 0)] * 5
    assert said(file).count(b"child") == 5


@needs_linux
@forks
def test_what_a_child_writes_is_kept_when_its_parent_closes_the_file(file: SQLiteFile) -> None:
    say(file, "parent")
    reads, writes = os.pipe()

    def work(tell: Callable[[object], None]) -> None:
        say(file, "before")
        tell("open")
        os.read(reads, 1)
        say(file, "after")
        tell(text_of(file))

    child = Forked(work)
    assert child.said() == "open"
    assert said(file) == [b"parent", b"before"]
    file.close()
    os.write(writes, b"!")
    assert child.said() == ["parent", "before", "after"]
    assert child.end() == 0
    assert said(file) == [b"parent", b"before", b"after"]
    os.close(reads)
    os.close(writes)


def failure(file: SQLiteFile) -> str:
    try:
        say(file, "never")
    except DiaryUnavailable as error:
        return str(error)
    return ""


LOST = "cannot be used: a thread was using it when this process was forked; fork before its first use"


@needs_linux
@forks
def test_a_fork_does_not_wait_for_ever_and_says_so_in_the_child(path: Path) -> None:
    inside, leave = threading.Event(), threading.Event()

    def write() -> None:
        with file.writing() as connection:
            connection.execute("INSERT INTO days VALUES ('slowly')")
            inside.set()
            leave.wait()

    def work(tell: Callable[[object], None]) -> None:
        tell(failure(file))
        grandchild = Forked(lambda tell: tell(failure(file)))
        tell(grandchild.said())
        file.close()
        tell(grandchild.end())

    with closing(SQLiteFile(path, KIND, timeout=0.05)) as file:
        thread = threading.Thread(target=write)
        thread.start()
        inside.wait()
        child = Forked(work)
        leave.set()
        thread.join()
        assert [child.said() for _ in range(3)] == [f"the diary {path} {LOST}"] * 2 + [0]
        assert child.end() == 0
        say(file, "after")
        assert said(file) == [b"slowly", b"after"]


@needs_linux
@forks
def test_a_thread_that_forks_while_it_is_inside_does_not_wait_for_itself(path: Path) -> None:
    with closing(SQLiteFile(path, KIND, timeout=100_000)) as file:
        with file.writing() as connection:
            child = Forked(lambda tell: tell(failure(file)))
            connection.execute("INSERT INTO days VALUES ('parent')")
        assert child.said() == f"the diary {path} {LOST}"
        assert child.end() == 0
        assert said(file) == [b"parent"]


@needs_linux
@forks
def test_a_file_that_was_never_opened_is_not_opened_by_a_fork(path: Path, file: SQLiteFile) -> None:
    child = Forked(lambda tell: tell(path.exists()))
    assert child.said() is False
    assert child.end() == 0
    assert not path.exists()


def test_where_no_fork_is_announced_the_child_leaves_alone_what_its_parent_has_open(
    path: Path, file: SQLiteFile
) -> None:
    say(file, "parent")
    with file.writing() as parents:
        pass
    sqlite_lanes._after_fork_in_child()  # all that uWSGI runs
    assert said(file) == [b"parent"]
    with file.writing():
        file._lanes.open_after_fork()
    assert failure(file) == f"the diary {path} {LOST}"
    file.close()
    assert parents.execute("SELECT count(*) FROM days").fetchone() == (1,)
    parents.close()
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM days").fetchone() == (1,)
