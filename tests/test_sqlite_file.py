from __future__ import annotations

import math
import os
import shutil
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from diary import KIND, DiaryUnavailable, said, say

from llmkit.sqlite_file import SQLiteFile, is_address


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "diary.db"


@pytest.fixture
def file(path: Path) -> Iterator[SQLiteFile]:
    with closing(SQLiteFile(path, KIND, timeout=5)) as opened:
        yield opened


def test_the_arguments_are_checked_before_anything_is_made(path: Path) -> None:
    for timeout in (-1, 0, math.nan, math.inf, 1_000_001):
        with pytest.raises(ValueError, match=f"timeout={timeout} must be above 0 and at most 1_000_000 seconds"):
            SQLiteFile(path, KIND, timeout=timeout)
    with pytest.raises(ValueError, match="path='' is no file; use a notebook"):
        SQLiteFile("", KIND, timeout=1)
    assert not path.exists()


@pytest.mark.parametrize("kind", [str, Path])
def test_the_address_of_a_server_is_refused_and_not_shown(kind: Callable[[str], str | Path]) -> None:
    with pytest.raises(
        DiaryUnavailable, match=r"that is the address of a server, and no file; use a newspaper$"
    ) as caught:
        SQLiteFile(kind("postgresql://u:kingfisher@h/d"), KIND, timeout=1)
    assert "kingfisher" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("redis://h", True), ("file:/x", True), ("C:/x", False), ("C:\\x", False), ("/a:/b", False), ("a/b", False)],
)
def test_an_address_is_told_from_a_path(path: str, expected: bool) -> None:
    assert is_address(path) is expected


def test_what_is_written_is_read_and_marked_as_ones_own(path: Path, file: SQLiteFile) -> None:
    say(file, "sunny")
    assert said(file) == [b"sunny"]
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA application_id").fetchone() == (4711,)
        assert other.execute("PRAGMA user_version").fetchone() == (3,)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_an_error_undoes_the_transaction_and_is_raised_as_it_is(file: SQLiteFile) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO days VALUES ('lost')")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), file.writing() as connection:
        fail(connection)
    say(file, "kept")
    assert said(file) == [b"kept"]


def test_an_error_of_sqlite_names_the_file_and_quotes_nothing(path: Path, file: SQLiteFile) -> None:
    with file.writing() as connection:
        connection.execute("INSERT INTO days VALUES (CAST(x'736563726574ff' AS TEXT))")
    assert said(file) == [b"secret\xff"]  # sqlite3 would raise, with the text
    told = f"^the diary {path} cannot be used: no such table: nights$"
    with pytest.raises(DiaryUnavailable, match=told) as caught, file.reading() as connection:
        connection.execute("SELECT * FROM nights")
    assert caught.value.__suppress_context__


def test_the_files_of_others_and_of_later_versions_are_refused(path: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.db"
    with closing(sqlite3.connect(theirs)) as connection:
        connection.execute("CREATE TABLE days (x)")
    before = theirs.read_bytes()
    with pytest.raises(DiaryUnavailable, match="it is a database of something else; give Diary a file of its own"):
        said(SQLiteFile(theirs, KIND, timeout=1))
    assert theirs.read_bytes() == before
    with closing(SQLiteFile(path, KIND, timeout=1)) as file:
        say(file, "sunny")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 4")
    with pytest.raises(DiaryUnavailable, match="it has schema 4, this llmkit knows 3; use a newer llmkit"):
        said(SQLiteFile(path, KIND, timeout=1))


def test_a_folder_is_not_made_and_when_it_comes_the_file_is(path: Path) -> None:
    with closing(SQLiteFile(path / "sub" / "diary.db", KIND, timeout=1)) as file:
        with pytest.raises(DiaryUnavailable, match="unable to open database file"):
            said(file)
        (path / "sub").mkdir(parents=True)
        assert said(file) == []


def test_a_folder_that_is_changed_to_changes_nothing(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(SQLiteFile("diary.db", KIND, timeout=1)) as file:
        say(file, "here")
        (tmp_path / "sub").mkdir()
        monkeypatch.chdir(tmp_path / "sub")
        say(file, "still here")
        assert said(file) == [b"here", b"still here"]
    assert list((tmp_path / "sub").iterdir()) == []


def rights(path: Path) -> set[str]:
    return {oct(stat.S_IMODE(each.stat().st_mode)) for each in path.parent.iterdir()}


@pytest.fixture
def usual_rights() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("usual_rights")
def test_a_confidential_file_is_made_for_its_owner_alone_unless_it_is_there(path: Path) -> None:
    for kind, expected in ((replace(KIND, private=True), {"0o600"}), (KIND, {"0o644"})):
        with closing(SQLiteFile(path, kind, timeout=1)) as file:
            say(file, "sunny")
            assert len(list(path.parent.iterdir())) == 3
            assert rights(path) == expected
        path.unlink()
    path.touch(0o640)
    with closing(SQLiteFile(path, replace(KIND, private=True), timeout=1)) as file:
        say(file, "sunny")
        assert rights(path) == {"0o640"}


@pytest.mark.usefixtures("usual_rights")
def test_a_confidential_file_behind_a_link_is_made_for_its_owner_alone(path: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    path.symlink_to(tmp_path / "there" / "diary.db")
    with closing(SQLiteFile(path, replace(KIND, private=True), timeout=1)) as file:
        say(file, "sunny")
        assert rights(tmp_path / "there" / "diary.db") == {"0o600"}


@pytest.mark.usefixtures("usual_rights")
def test_no_moment_shows_a_confidential_file_to_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, connect = list[set[str]](), sqlite3.connect

    def look_and_connect(*args: Any, **settings: Any) -> sqlite3.Connection:
        seen.append(rights(path))
        return connect(*args, **settings)

    monkeypatch.setattr(sqlite3, "connect", look_and_connect)
    with closing(SQLiteFile(path, replace(KIND, private=True), timeout=1)) as file:
        say(file, "sunny")
        assert said(file) == [b"sunny"]
    assert seen == [{"0o600"}] * 2


def delete_one(path: Path) -> None:
    path.unlink()


def delete_all(path: Path) -> None:
    for each in path.parent.iterdir():
        each.unlink()


def delete_folder(path: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.mkdir()


@pytest.mark.parametrize("delete", [delete_one, delete_all, delete_folder])
def test_a_file_that_was_deleted_is_made_anew(path: Path, file: SQLiteFile, delete: Callable[[Path], None]) -> None:
    say(file, "gone")
    assert said(file) == [b"gone"]
    delete(path)
    assert said(file) == []
    say(file, "new")
    assert said(file) == [b"new"]
    file.close()
    assert said(file) == [b"new"]


def test_a_file_that_was_replaced_is_opened_anew(path: Path, tmp_path: Path, file: SQLiteFile) -> None:
    say(file, "old")
    with closing(SQLiteFile(tmp_path / "other.db", KIND, timeout=1)) as other:
        say(other, "restored")
    for beside in ("-wal", "-shm"):
        Path(f"{path}{beside}").unlink()
    os.replace(tmp_path / "other.db", path)
    say(file, "new")
    assert said(file) == [b"restored", b"new"]


def test_closing_a_deleted_file_leaves_the_new_one_whole(path: Path) -> None:
    with closing(SQLiteFile(path, KIND, timeout=1)) as new:
        with closing(SQLiteFile(path, KIND, timeout=1)) as old:
            say(old, "old")
            delete_all(path)
            say(new, "new")
        assert said(new) == [b"new"]
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("SELECT said FROM days").fetchall() == [("new",)]


def test_a_thread_that_reads_does_not_wait_for_one_that_writes(file: SQLiteFile) -> None:
    inside, leave = threading.Event(), threading.Event()

    def write() -> None:
        with file.writing() as connection:
            connection.execute("INSERT INTO days VALUES ('slowly')")
            inside.set()
            leave.wait()

    thread = threading.Thread(target=write)
    thread.start()
    inside.wait()
    assert said(file) == []
    leave.set()
    thread.join()
    assert said(file) == [b"slowly"]


def test_a_thread_that_waits_for_another_gives_up(path: Path) -> None:
    failures: list[str] = []

    def write() -> None:
        try:
            say(file, "never")
        except DiaryUnavailable as error:
            failures.append(str(error))

    with closing(SQLiteFile(path, KIND, timeout=0.05)) as file, file.writing():
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert failures == [f"the diary {path} cannot be used: another call of this process is using it"]


def test_a_damaged_schema_whose_error_is_no_text_is_an_error_of_the_kind(path: Path) -> None:
    with closing(SQLiteFile(path, KIND, timeout=1)) as file:
        say(file, "sunny")
    path.write_bytes(path.read_bytes().replace(b"days", b"\xff\xfeys").replace(b"TABLE", b"TABEL"))
    with pytest.raises(DiaryUnavailable, match=f"^the diary {path} cannot be used: .*malformed"):
        said(SQLiteFile(path, KIND, timeout=1))


# A file of an older llmkit.


def older(path: Path) -> None:
    """A file of the first version, with nights in place of days."""
    first = replace(KIND, schema=("CREATE TABLE nights (heard TEXT)",), migrations=())
    with closing(SQLiteFile(path, first, timeout=5)) as file, file.writing() as connection:
        connection.execute("INSERT INTO nights VALUES ('owls')")


def marks_and_tables(path: Path) -> tuple[int, list[str]]:
    with closing(sqlite3.connect(path)) as other:
        tables = [name for (name,) in other.execute("SELECT name FROM sqlite_schema")]
        return other.execute("PRAGMA user_version").fetchone()[0], tables


def test_an_older_file_is_brought_up_to_date_with_what_it_holds(path: Path, file: SQLiteFile) -> None:
    older(path)
    assert said(file) == [b"owls"]
    say(file, "sunny")
    assert marks_and_tables(path) == (3, ["days"])
    with closing(SQLiteFile(path, KIND, timeout=1)) as again:
        assert said(again) == [b"owls", b"sunny"]


def test_one_that_is_half_way_goes_the_rest(path: Path, file: SQLiteFile) -> None:
    older(path)
    halfway = replace(KIND, migrations=KIND.migrations[:1])
    with closing(SQLiteFile(path, halfway, timeout=5)) as earlier:
        assert said(earlier) == []
    assert marks_and_tables(path) == (2, ["nights", "days"])
    assert said(file) == [b"owls"]


def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    older(path)
    broken = replace(KIND, migrations=(KIND.migrations[0], (*KIND.migrations[1], "DROP TABLE noons")))
    with pytest.raises(DiaryUnavailable, match="no such table: noons"):
        said(SQLiteFile(path, broken, timeout=1))
    assert marks_and_tables(path) == (1, ["nights"])


def test_threads_that_open_an_older_file_at_once_bring_it_up_to_date_once(path: Path) -> None:
    older(path)
    found, ready = list[list[bytes]](), threading.Barrier(8)

    def open_it() -> None:
        with closing(SQLiteFile(path, KIND, timeout=60)) as file:
            ready.wait()
            found.append(said(file))

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[b"owls"]] * 8
    assert marks_and_tables(path) == (3, ["days"])


def test_an_older_program_refuses_what_a_newer_one_has_changed(path: Path, file: SQLiteFile) -> None:
    older(path)
    assert said(file) == [b"owls"]
    with pytest.raises(DiaryUnavailable, match="it has schema 3, this llmkit knows 1; use a newer llmkit"):
        said(SQLiteFile(path, replace(KIND, migrations=()), timeout=1))
