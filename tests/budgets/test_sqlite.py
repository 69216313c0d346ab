from __future__ import annotations

import os
import resource
import sqlite3
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from budgets.ledgers import ENDS, NOW, charge

from llmkit.budgets import Refusal, SQLiteLedger
from llmkit.errors import LedgerUnavailable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "budget.db"


@contextmanager
def ledger_at(path: Path, *, timeout: float = 5.0) -> Iterator[SQLiteLedger]:
    with closing(SQLiteLedger(path, timeout=timeout)) as ledger:
        yield ledger


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


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def rows(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM spent ORDER BY scope, name").fetchall()


def test_the_figures_outlive_the_ledger_in_one_readable_table(path: Path) -> None:
    with ledger_at(path) as ledger:
        ledger.reserve([charge(7), charge(9, name="daily_usd")], now=NOW)
    assert rows(path) == [
        ("user:user=alice", "daily_usd", "2023-11-14T22:13", 9, ENDS),
        ("user:user=alice", "minute_tokens", "2023-11-14T22:13", 7, ENDS),
    ]
    with ledger_at(path) as ledger:
        assert ledger.spent([charge(0)]) == [7]


def test_a_closed_ledger_opens_again(path: Path) -> None:
    with ledger_at(path) as ledger:
        ledger.reserve([charge(7)], now=NOW)
        ledger.close()
        ledger.close()
        assert ledger.spent([charge(0)]) == [7]


def test_windows_that_are_long_over_are_deleted_once_an_hour(path: Path) -> None:
    with ledger_at(path) as ledger:
        ledger.reserve([charge(1)], now=NOW)
        ledger.reserve([charge(1, scope="all:", ends=ENDS + 9000)], now=NOW + 3599)
        assert len(rows(path)) == 2
        ledger.reserve([charge(1, scope="all:", ends=ENDS + 9000)], now=ENDS + 3600)
        assert rows(path) == [("all:", "minute_tokens", "2023-11-14T22:13", 2, ENDS + 9000)]


@pytest.mark.parametrize("path", ["", ":memory:"])
def test_a_path_that_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"is no file; use MemoryLedger\(\)"):
        SQLiteLedger(path)


def test_a_timeout_of_nothing_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="timeout=0 must be above 0 and at most 1_000_000 seconds"):
        SQLiteLedger(path, timeout=0)


def test_a_folder_is_not_made(path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="cannot be used: unable to open database file"):
        SQLiteLedger(path / "sub" / "budget.db")
    assert not path.exists()


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"my notes " * 1000)
    with pytest.raises(LedgerUnavailable, match=f"{path} cannot be used: file is not a database"):
        SQLiteLedger(path)


def test_the_database_of_another_program_is_refused_and_untouched(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE spent (x)")
    before = path.read_bytes()
    with pytest.raises(LedgerUnavailable, match="a database of something else; give SQLiteLedger a file of its own"):
        SQLiteLedger(path)
    assert path.read_bytes() == before


def test_the_file_of_a_newer_llmkit_is_refused(path: Path) -> None:
    with ledger_at(path):
        pass
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    with pytest.raises(LedgerUnavailable, match="has schema 2, this llmkit knows 1; use a newer llmkit"):
        SQLiteLedger(path)


def test_ledgers_that_make_the_file_at_once_share_it(path: Path) -> None:
    start, made = threading.Barrier(8), list[SQLiteLedger]()

    def make() -> None:
        start.wait()
        made.append(SQLiteLedger(path))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [ledger.reserve([charge(15)], now=NOW) is None for ledger in made] == [True] * 6 + [False] * 2
    for ledger in made:
        ledger.close()


def test_a_file_that_is_damaged_while_it_is_used_says_so(path: Path) -> None:
    with ledger_at(path) as ledger:
        ledger.reserve([charge(7)], now=NOW)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096))
    with ledger_at(path) as ledger, pytest.raises(LedgerUnavailable, match="malformed"):
        ledger.reserve([charge(7)], now=NOW)


def test_a_file_that_may_only_be_read_refuses_reservations() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own folders are closed to nobody
        path = Path(folder) / "budget.db"
        with ledger_at(path) as ledger:
            ledger.reserve([charge(7)], now=NOW)
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
        Path(folder).chmod(0o555)
        with without_privileges(), pytest.raises(LedgerUnavailable, match=r"cannot be used: .*read-?only"):
            SQLiteLedger(path)
        Path(folder).chmod(0o700)


def test_a_full_disk_books_nothing_and_heals(path: Path) -> None:
    with ledger_at(path) as ledger:
        ledger.reserve([charge(7)], now=NOW)
        many = [charge(1, scope=f"user:user={number}") for number in range(3000)]
        with files_of_at_most(100_000), pytest.raises(LedgerUnavailable, match=r"disk"):
            ledger.settle(many, once="a", now=NOW)
        assert ledger.spent([charge(0), many[0], many[-1]]) == [7, 0, 0]
        ledger.settle(many, once="a", now=NOW)
        assert ledger.spent([charge(0), many[0], many[-1]]) == [7, 1, 1]


def test_a_locked_file_is_waited_for_and_then_an_error(path: Path) -> None:
    with ledger_at(path, timeout=0.05) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as other:
        assert ledger.reserve([charge(60)], now=NOW) is None
        other.execute("BEGIN IMMEDIATE")
        for amount in (1, 50):  # what does not fit now may fit when the other writer is done
            with pytest.raises(LedgerUnavailable, match="database is locked"):
                ledger.reserve([charge(amount)], now=NOW)
        assert ledger.spent([charge(0)]) == [60]
        other.execute("ROLLBACK")
        assert ledger.reserve([charge(1)], now=NOW) is None


def test_threads_that_queue_for_a_locked_file_do_not_wait_for_each_other_in_turn(path: Path) -> None:
    failures: list[str] = []

    def spend(ledger: SQLiteLedger) -> None:
        try:
            ledger.reserve([charge(1)], now=NOW)
        except LedgerUnavailable as error:
            failures.append(str(error).partition("cannot be used: ")[2])

    with ledger_at(path, timeout=0.2) as ledger, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        threads = [threading.Thread(target=spend, args=(ledger,)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(failures) == {"database is locked", "another call of this process is using it"}
    assert len(failures) == 5


def times_open(path: Path) -> int:
    return sum(link.resolve() == path.resolve() for link in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="open files are read from Linux's /proc")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_process_opens_the_file_for_itself(path: Path) -> None:
    with ledger_at(path) as ledger:
        ledger.reserve([charge(60)], now=NOW)
        child = os.fork()
        if child == 0:
            fits = ledger.reserve([charge(30)], now=NOW) is None
            refused = ledger.reserve([charge(30)], now=NOW) == Refusal(charge(30), 90)
            os._exit(0 if fits and refused and times_open(path) == 1 else 1)
        assert times_open(path) == 0
        assert os.waitpid(child, 0)[1] == 0
        assert ledger.reserve([charge(11)], now=NOW) == Refusal(charge(11), 90)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_workers_that_are_forked_while_a_thread_books_can_book(path: Path) -> None:
    stop = threading.Event()

    def book(ledger: SQLiteLedger) -> None:
        while not stop.is_set():
            ledger.reserve([charge(0)], now=NOW)

    with ledger_at(path) as ledger:
        thread = threading.Thread(target=book, args=(ledger,))
        thread.start()
        workers: list[int] = []
        for _ in range(5):
            workers.append(os.fork())
            if workers[-1] == 0:
                os._exit(0 if ledger.reserve([charge(1)], now=NOW) is None else 1)
        assert [os.waitpid(worker, 0)[1] for worker in workers] == [0] * 5
        stop.set()
        thread.join()
        assert ledger.spent([charge(0)]) == [5]
