"""Processes that keep one ledger, with real files, forks and signals."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from cache.stores import Forked, forks, needs_linux
from usage.records import finished

import llmkit
from llmkit.sqlite_file import SQLiteFile
from llmkit.usage import ledger
from llmkit.usage.ledger import LedgerSink

WRITER = Path(__file__).with_name("ledger_writer.py")
pytestmark = needs_linux


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "usage.db"


def started(path: Path, worker: int, calls: int) -> subprocess.Popen[str]:
    """A process that waits for a line, and for another one when all its calls are put."""
    home = os.pathsep.join([str(Path(llmkit.__file__).parents[1]), str(WRITER.parents[1])])
    process = subprocess.Popen(
        [sys.executable, str(WRITER), str(path), str(worker), str(calls)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": home},
    )
    assert line(process) == "ready"
    return process


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{text}\n")
    process.stdin.flush()


def ended(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=60)
    return process.returncode


def rows(path: Path) -> Counter[tuple[int, int]]:
    """The worker and the number of each call, and how often it is there."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return Counter(connection.execute("SELECT json_extract(tags, '$.worker'), predicted_tokens FROM calls"))


def test_four_processes_write_at_once_and_one_is_killed(path: Path) -> None:
    workers = [started(path, number, 3_000) for number in range(4)]
    for worker in workers:
        tell(worker, "go")
    killed, committed = workers[3], 0
    while committed < 500:
        committed = int(line(killed))
    killed.send_signal(signal.SIGKILL)
    for worker in workers[:3]:
        tell(worker, "end")
    assert [ended(worker) for worker in workers] == [0, 0, 0, -signal.SIGKILL]
    found = rows(path)
    assert {*found.values()} == {1}
    assert {(worker, number) for worker in range(3) for number in range(3_000)} < {*found}
    of_the_killed = sorted(number for worker, number in found if worker == 3)
    assert of_the_killed == [*range(len(of_the_killed))]
    assert committed <= len(of_the_killed) < 3_000


def test_what_was_killed_goes_on_when_it_is_started_again(path: Path) -> None:
    first = started(path, 1, 1_000_000)
    tell(first, "go")
    committed = [line(first) for _ in range(3)][-1]
    first.kill()
    ended(first)
    before = rows(path)
    assert len(before) >= int(committed) == 300
    second = started(path, 2, 250)
    tell(second, "go")
    tell(second, "end")
    assert ended(second) == 0
    assert rows(path) == before + Counter((2, number) for number in range(250))


def test_a_process_that_is_terminated_has_written_every_call(path: Path) -> None:
    worker = started(path, 1, 50)
    tell(worker, "go")
    assert line(worker) == "put"
    tell(worker, "wait")
    worker.terminate()
    assert ended(worker) == -signal.SIGTERM
    assert rows(path) == Counter((1, number) for number in range(50))


def serve(sink: LedgerSink, worker: int, tell: Callable[[object], None]) -> None:
    """A worker like gunicorn's: it ends in order when it is told to, and its interpreter says good-bye."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    for number in range(50):
        sink(finished(predicted_tokens=number, tags={"worker": worker}))
    try:
        tell("served")
        signal.pause()
    finally:
        tell(sink.flush())


@forks
def test_workers_that_are_forked_after_the_sink_was_made(path: Path) -> None:
    with closing(LedgerSink(path)) as sink:
        sink(finished(predicted_tokens=0, tags={"worker": -1}))
        workers = [Forked(lambda tell, worker=worker: serve(sink, worker, tell)) for worker in range(4)]
        for worker in workers:
            assert worker.said() == "served"
            os.kill(worker.id, signal.SIGTERM)
        assert [worker.said() for worker in workers] == [True] * 4
        for worker in workers:
            worker.end()
    expected = {(worker, number): 1 for worker in range(4) for number in range(50)}
    assert rows(path) == {(-1, 0): 1, **expected}


@forks
def test_processes_that_open_a_ledger_of_an_older_llmkit_at_once(path: Path) -> None:
    with closing(LedgerSink(path)) as older:
        for number in range(1_000):
            older(finished(predicted_tokens=number, tags={"worker": -1}))
    older_rows = rows(path)
    steps = (("ALTER TABLE calls ADD COLUMN region TEXT", "UPDATE calls SET region = 'eu'"), ("DROP INDEX by_start",))
    newer = replace(ledger.FILE, migrations=steps)

    def work(tell: Callable[[object], None]) -> None:
        with closing(SQLiteFile(path, newer, timeout=60)) as file, file.reading() as connection:
            tell(connection.execute("SELECT count(*) FROM calls WHERE region = 'eu'").fetchone())

    workers = [Forked(work) for _ in range(4)]
    assert [worker.said() for worker in workers] == [[1_000]] * 4
    assert [worker.end() for worker in workers] == [0] * 4
    assert rows(path) == older_rows
