from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cache.stores import Forked, forks, needs_linux

import llmkit
from llmkit import pauses
from llmkit.errors import LLMKitError
from llmkit.usage import writer
from llmkit.usage.writer import Writer

NEVER = 1_000.0
"""Seconds until the thread writes by itself: a test that passes has flushed."""


class Target:
    """Where batches go; fails as often as it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.failures: list[Exception] = []

    def write(self, batch: list[Any]) -> None:
        if self.failures:
            raise self.failures.pop()
        self.batches.append([*batch])

    @property
    def items(self) -> list[Any]:
        return [item for batch in self.batches for item in batch]


@pytest.fixture
def target() -> Target:
    return Target()


def until(condition: Callable[[], bool]) -> None:
    for _ in range(6_000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never was so")


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """No thread can be started, until it is called."""

    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as changed:
        changed.setattr(writer, "start_new_thread", refuse)
        yield changed.undo


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_what_is_put_is_written_in_order_and_in_one_batch(target: Target) -> None:
    writes = Writer(target.write, name="it", every=NEVER)
    for number in range(100):
        writes.put(number)
    assert target.batches == []
    assert writes.flush()
    assert target.batches == [[*range(100)]]


def test_nobody_needs_to_flush(target: Target, measured: None) -> None:
    writes = Writer(target.write, name="it", every=0.001)
    for number in range(3):
        writes.put(number)
        until(lambda number=number: target.items == [*range(number + 1)])
        until(lambda: not writes._awake)  # the thread ends when nothing waits, and the next item has its own


def test_an_item_that_comes_when_the_thread_is_about_to_end_is_not_forgotten(measured: None) -> None:
    late, written = [1, 2, 3], list[int]()

    def write(batch: list[int]) -> None:
        written.extend(batch)

    class Late(Writer[int]):
        def _write_waiting(self) -> bool:
            done = super()._write_waiting()
            if late:
                self.put(late.pop(0))
            return done

    Late(write, name="it", every=0.001).put(0)
    until(lambda: written == [0, 1, 2, 3])


def test_items_of_many_threads_are_each_written_once(target: Target) -> None:
    writes = Writer(target.write, name="it", every=0.001)

    def work(first: int) -> None:
        for number in range(first, first + 2_000):
            writes.put(number)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 16_000, 2_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writes.flush()
    assert sorted(target.items) == [*range(16_000)]


def test_a_batch_is_of_2000_at_most(target: Target, measured: None) -> None:
    writes = Writer(target.write, name="it", every=NEVER)
    for number in range(4_001):
        writes.put(number)
    assert writes.flush()
    assert [len(batch) for batch in target.batches] == [2_000, 2_000, 1]


def test_nothing_is_a_success(target: Target) -> None:
    writes = Writer(target.write, name="it")
    assert writes.flush()
    assert writes.close()
    assert target.batches == []


def test_what_fails_is_written_again_and_said_once(
    target: Target, caplog: pytest.LogCaptureFixture, measured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pauses, "_FIRST", 0.001)
    target.failures = [OSError("sk-secret"), OSError("sk-secret"), OSError("sk-secret")]
    writes = Writer(target.write, name="the file", every=0.001)
    writes.put(1)
    until(lambda: target.items == [1])
    told = "the file failed with OSError; calls go on, and the last 100_000 wait until it works again"
    assert warnings(caplog) == [told]
    until(lambda: not writes._awake)
    target.failures = [LLMKitError("it is full")]
    writes.put(2)
    until(lambda: target.items == [1, 2])
    assert warnings(caplog)[1:] == [told.replace("OSError", "LLMKitError: it is full")]


def test_a_log_that_fails_does_not_end_the_thread(
    target: Target, measured: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ConnectionError

    handler = Away()
    monkeypatch.setattr(pauses, "_FIRST", 0.001)
    logging.getLogger("llmkit").addHandler(handler)
    try:
        target.failures = [OSError(), SystemExit()]
        writes = Writer(target.write, name="it", every=0.001)
        writes.put(1)
        until(lambda: target.items == [1])
        target.failures = [OSError()]
        writes.put(2)
        assert writes.flush(60) or writes.flush(60)
    finally:
        logging.getLogger("llmkit").removeHandler(handler)
    assert target.items == [1, 2]


def test_flush_says_that_it_failed_and_the_next_one_tries_again(target: Target) -> None:
    target.failures = [OSError()]
    writes = Writer(target.write, name="it", every=NEVER)
    writes.put(1)
    assert not writes.flush()
    writes.put(2)
    assert writes.flush()
    assert target.batches == [[1], [2]]


def test_flush_waits_no_longer_than_it_is_told(target: Target, measured: None) -> None:
    go_on = threading.Event()

    def write(batch: list[Any]) -> None:
        go_on.wait()
        target.write(batch)

    writes = Writer(write, name="it", every=NEVER)
    writes.put(1)
    assert not writes.flush(0)
    assert not writes.flush(0.01)
    go_on.set()
    assert writes.flush(None)
    assert target.batches == [[1]]


def test_the_oldest_are_dropped_when_too_many_wait_which_is_said(
    target: Target, caplog: pytest.LogCaptureFixture, measured: None
) -> None:
    target.failures = [OSError()]
    writes = Writer(target.write, name="the file", every=NEVER, most_waiting=1_000)
    writes.put("failed")
    assert not writes.flush()
    for number in range(1_234):
        writes.put(number)
    assert writes.dropped == 234
    assert writes.flush()
    assert target.items == ["failed", *range(234, 1_234)]
    assert warnings(caplog)[1:] == ["the file: 234 were dropped, as more than 1_000 waited"]
    assert writes.flush()
    assert len(warnings(caplog)) == 2


def test_closing_gives_up_on_what_cannot_be_written_and_says_so(
    target: Target, caplog: pytest.LogCaptureFixture, measured: None
) -> None:
    target.failures = [OSError()]
    writes = Writer(target.write, name="it", every=NEVER)
    writes.put(1)
    writes.put(2)
    assert not writes.close()
    assert writes.dropped == 2
    assert warnings(caplog)[1:] == ["it: 2 could not be written and were given up"]
    writes.put(3)
    assert writes.close()
    assert target.batches == [[3]]
    assert len(warnings(caplog)) == 2


def test_a_writer_whose_owner_is_gone_writes_what_waits_and_goes(target: Target) -> None:
    writes = Writer(target.write, name="it", every=0.001)
    writes.put(1)
    gone = weakref.ref(writes)
    del writes

    def collected() -> bool:
        gc.collect()
        return gone() is None

    until(collected)
    assert target.items == [1]
    assert not [each for each in writer._writers if each() is None]


def test_a_finalizer_and_a_signal_handler_can_put(target: Target) -> None:
    writes = Writer(target.write, name="it", every=NEVER)

    class Closed:
        def __del__(self) -> None:
            writes.put("finalized")

    Closed()
    before = signal.signal(signal.SIGUSR1, lambda *_: writes.put("signalled"))
    signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    assert writes.flush()
    assert sorted(target.items) == ["finalized", "signalled"]


def test_signals_at_any_moment_neither_block_nor_lose(target: Target) -> None:
    writes = Writer(target.write, name="it", every=0)
    signalled = 0

    def handle(*_: object) -> None:
        nonlocal signalled
        signalled += 1
        writes.put("signalled")
        assert writes.flush(60)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)
    try:
        for number in range(20_000):
            writes.put(number)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert writes.flush()
    assert [item for item in target.items if item != "signalled"] == [*range(20_000)]
    assert target.items.count("signalled") == signalled > 0


def test_where_no_thread_can_be_started_the_flush_writes(target: Target, no_threads: Callable[[], None]) -> None:
    writes = Writer(target.write, name="it", every=0.001)
    writes.put(1)
    assert writes.flush()
    writes.put(2)
    no_threads()
    writes.put(3)
    until(lambda: target.items == [1, 2, 3])


@needs_linux
@forks
def test_a_child_writes_its_own_items_and_not_its_parents(target: Target) -> None:
    writes = Writer(target.write, name="it", every=NEVER)
    writes.put("parent's")

    def work(tell: Callable[[object], None]) -> None:
        tell([writes.flush(), target.items])
        writes.put("child's")
        tell([writes.flush(), target.items])

    child = Forked(work)
    assert [child.said(), child.said()] == [[True, []], [True, ["child's"]]]
    assert child.end() == 0
    assert writes.flush()
    assert target.items == ["parent's"]


# What happens at the end of a process.

START = """
import asyncio, os, signal, sys, threading, time
from pathlib import Path
from llmkit.usage.writer import Writer

def write(batch):
    with open(sys.argv[1], "a") as out:
        out.write("".join(f"{item}\\n" for item in batch))

writer = Writer(write, name="it", every=1000)

def die():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(100)
"""


def run(script: str, path: Path) -> tuple[int, list[str]]:
    """How a process ends, and what it has written by then."""
    home = os.pathsep.join([str(Path(llmkit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    with open(path.with_suffix(".err"), "w+") as errors:
        ended = subprocess.run(
            [sys.executable, "-c", START + script, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            timeout=60,
            env={**os.environ, "PYTHONPATH": home},
        )
        errors.seek(0)
        assert errors.read().count("Traceback") == (ended.returncode not in (0, 3, 7, -signal.SIGTERM, -signal.SIGHUP))
    return ended.returncode, sorted(path.read_text().splitlines()) if path.exists() else []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "written"


def test_a_process_that_ends_writes_what_waits(path: Path) -> None:
    assert run("writer.put(1); writer.put(2)", path) == (0, ["1", "2"])
    assert run("writer.put(3); raise SystemExit(7)", path) == (7, ["1", "2", "3"])
    assert run("writer.put(4); raise KeyboardInterrupt", path)[1] == ["1", "2", "3", "4"]


def test_what_other_exit_handlers_and_daemon_threads_put_is_written(path: Path) -> None:
    script = """
import atexit
atexit.register(writer.put, "late")
threading.Thread(target=lambda: (writer.put("thread"), time.sleep(1000)), daemon=True).start()
"""
    assert run(script, path) == (0, ["late", "thread"])


@needs_linux
def test_a_sigterm_writes_what_waits_and_then_kills(path: Path) -> None:
    assert run("writer.put(1); die()", path) == (-signal.SIGTERM, ["1"])


@needs_linux
@pytest.mark.parametrize(
    "busy",
    [
        "while True: writer.put(time.sleep(0.001))",
        "while True: threading.Thread(target=int).start()",
        "lock = threading.Lock(); lock.acquire(); lock.acquire()",
        "asyncio.run(asyncio.sleep(1000))",
        "while True: writer.flush()",
    ],
)
def test_a_sigterm_ends_the_process_whatever_it_does(path: Path, busy: str) -> None:
    script = f"""
writer.put(1)
signal.signal(signal.SIGALRM, lambda *_: die())
signal.setitimer(signal.ITIMER_REAL, 0.2)
{busy}
"""
    code, written = run("import llmkit.usage.writer as module; module._AT_THE_END = 1.0\n" + script, path)
    assert code == -signal.SIGTERM
    assert "1" in written


@needs_linux
def test_a_server_that_has_a_handler_keeps_it_and_ends_in_order(path: Path) -> None:
    script = """
async def serve():
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    writer.put("served")
    os.kill(os.getpid(), signal.SIGTERM)
    await over.wait()
    writer.put("last")

asyncio.run(serve())
"""
    assert run(script, path) == (0, ["last", "served"])
    script = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
writer = Writer(write, name="it", every=1000)
writer.put("later")
die()
"""
    assert run(script, path) == (3, ["last", "later", "served"])


@needs_linux
def test_a_hangup_of_the_terminal_writes_what_waits_and_then_kills(path: Path) -> None:
    assert run("writer.put(1); os.kill(os.getpid(), signal.SIGHUP); time.sleep(100)", path) == (-signal.SIGHUP, ["1"])


@needs_linux
def test_handlers_of_a_loop_hear_of_the_signal_also_when_a_writer_is_made_later(path: Path) -> None:
    script = """
async def serve():
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    late = Writer(write, name="it", every=1000)
    os.kill(os.getpid(), signal.SIGTERM)
    await over.wait()
    late.put("last")

signal.signal(signal.SIGTERM, signal.SIG_DFL)
asyncio.run(serve())
"""
    assert run(script, path) == (0, ["last"])


@needs_linux
def test_what_a_server_of_uvicorn_wrote_is_there_when_the_signal_is_raised_again(path: Path) -> None:
    script = """
import uvicorn
made = []

async def app(scope, receive, send):
    while (event := await receive())["type"] in ("lifespan.startup", "lifespan.shutdown"):
        if event["type"] == "lifespan.startup":
            made.append(Writer(write, name="it", every=1000))
            made[0].put("before")
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        else:
            made[0].put("after")
            await asyncio.sleep(0.2)
        await send({"type": event["type"] + ".complete"})

signal.signal(signal.SIGTERM, signal.SIG_DFL)
uvicorn.run(app, port=0, log_level="error", lifespan="on")
"""
    assert run(script, path) == (-signal.SIGTERM, ["after", "before"])


@needs_linux
def test_python_that_begins_no_threads_at_its_end_waits_no_longer_than_else(path: Path) -> None:
    script = """
import llmkit.usage.writer as module
module._AT_THE_END = 0.2
hung = Writer(lambda batch: time.sleep(1000), name="hung", every=1000)
hung.put(1)
writer.put("written")

def refuse(*_):
    raise RuntimeError("can't create new thread at interpreter shutdown")

module.start_new_thread = refuse
"""
    assert run(script, path) == (0, ["written"])


@needs_linux
def test_threads_that_go_on_after_the_main_one_are_served(path: Path) -> None:
    script = """
def work():
    while threading.main_thread().is_alive(): time.sleep(0.01)
    writer.put("late")
    assert writer.flush(20)

threading.Thread(target=work).start()
"""
    assert run(script, path) == (0, ["late"])


@needs_linux
def test_an_ignored_sigterm_stays_ignored(path: Path) -> None:
    script = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
writer = Writer(write, name="it", every=1000)
os.kill(os.getpid(), signal.SIGTERM)
writer.put(1)
"""
    assert run(script, path) == (0, ["1"])


@needs_linux
def test_a_writer_made_in_a_thread_heeds_signals_from_the_first_item_of_the_main_one(path: Path) -> None:
    script = """
signal.signal(signal.SIGTERM, signal.SIG_DFL)
threading.Thread(target=lambda: Writer(write, name="it")).start()
while threading.active_count() > 1: time.sleep(0.01)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    assert run(script, path) == (0, [])
    script = """
made = []
signal.signal(signal.SIGTERM, signal.SIG_DFL)
threading.Thread(target=lambda: made.append(Writer(write, name="it", every=1000))).start()
while not made: time.sleep(0.01)
made[0].put("main")
die()
"""
    assert run(script, path) == (-signal.SIGTERM, ["main"])


@needs_linux
def test_forked_workers_write_what_waits_when_they_end(path: Path) -> None:
    script = """
import multiprocessing
writer.put("parent")
forking = multiprocessing.get_context("fork")
workers = [forking.Process(target=writer.put, args=(f"worker {n}",)) for n in range(3)]
for worker in workers: worker.start()
for worker in workers: worker.join()
child = os.fork()
if child == 0:
    writer.put("child")
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
terminated = os.fork()
if terminated == 0:
    writer.put("terminated")
    die()
assert os.waitstatus_to_exitcode(os.waitpid(terminated, 0)[1]) == -signal.SIGTERM
"""
    assert run(script, path) == (0, ["child", "parent", "terminated", "worker 0", "worker 1", "worker 2"])


def test_the_end_of_a_process_of_multiprocessing_is_heard_of_once(
    monkeypatch: pytest.MonkeyPatch, target: Target
) -> None:
    import multiprocessing.util

    monkeypatch.setattr(writer, "_told", told := set[tuple[int, str]]())
    before = len(multiprocessing.util._finalizer_registry)
    for _ in range(2):
        writes = Writer(target.write, name="it", every=NEVER)
        writes.put(1)
        assert writes.flush()
    assert len(multiprocessing.util._finalizer_registry) == before + 1
    assert told == {(os.getpid(), "multiprocessing.util")}
    multiprocessing.util._finalizer_registry.popitem()


def test_the_handler_writes_before_it_lets_the_signal_through(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    writes = Writer(target.write, name="it", every=NEVER)
    handler = signal.getsignal(signal.SIGTERM)
    writes.put(1)
    assert callable(handler)
    handler(signal.SIGTERM, None)
    assert target.items == [1]
    assert raised == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    signal.signal(signal.SIGTERM, before)


def test_a_handler_that_is_there_is_called_after_what_waits_is_asked_for(target: Target) -> None:
    heard: list[tuple[int, object]] = []
    before = signal.signal(signal.SIGTERM, lambda *said: heard.append(said))
    try:
        writes = Writer(target.write, name="it", every=NEVER)
        handler = signal.getsignal(signal.SIGTERM)
        Writer(target.write, name="another", every=NEVER)
        assert signal.getsignal(signal.SIGTERM) is handler
        writes.put(1)
        assert callable(handler)
        handler(signal.SIGTERM, None)
        until(lambda: target.items == [1])
        writes.put(2)
        until(lambda: target.items == [1, 2])  # though nobody flushes
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [(signal.SIGTERM, None)]


def test_only_the_main_thread_can_heed_signals(target: Target) -> None:
    heeded: list[bool] = []
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    thread = threading.Thread(target=lambda: heeded.append(writer._heed_signals()))
    thread.start()
    thread.join()
    signal.signal(signal.SIGTERM, before)
    assert heeded == [False]


def test_signals_of_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(signal, "SIGHUP", raising=False)
    assert writer._heed_signals()


def test_writers_that_are_gone_are_not_flushed(monkeypatch: pytest.MonkeyPatch) -> None:
    goes = Target()
    monkeypatch.setattr(writer, "_writers", {weakref.ref(goes)})
    del goes
    assert writer._begin_flushes() == []


def test_a_writer_has_one_thread(target: Target, measured: None) -> None:
    writes = Writer(target.write, name="it", every=NEVER)
    until(writes._serving.locked)
    assert writes._begin_thread()
    writes.put(1)
    assert writes.flush(60)
    assert target.batches == [[1]]


def test_what_waits_is_written_when_the_owner_is_gone_at_once(target: Target) -> None:
    Writer(target.write, name="it", every=0.001).put(1)
    until(lambda: target.items == [1])


def test_a_hung_writer_does_not_keep_the_others_from_writing_at_the_end(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_AT_THE_END", 0.2)
    monkeypatch.setattr(writer, "_writers", set())
    go_on = threading.Event()
    hung = Writer[int](lambda _: bool(go_on.wait()) and None, name="hung", every=NEVER)
    writers = [hung, *(Writer(target.write, name="it", every=NEVER) for _ in range(3))]
    for number, each in enumerate(writers):
        each.put(number)
    writer._flush_all()
    assert sorted(target.items) == [1, 2, 3]
    go_on.set()
