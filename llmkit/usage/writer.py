"""What calls leave behind for a file or a database is written in batches, by a thread, and no call waits for it."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, Final, Generic, TypeVar
from weakref import ref

from llmkit.errors import LLMKitError
from llmkit.forks import begin_anew_in_children
from llmkit.pauses import Pause
from llmkit.record import logger

T = TypeVar("T")

_AT_ONCE: Final = 2_000
"""Items of one batch: after long trouble many wait, and who shares the file or the server wants a turn, too."""
_AT_THE_END: Final = 5.0
"""Seconds that all writers together have when the process ends."""


class Writer(Generic[T]):
    """Collects items for `every` seconds and hands them to `write(batch)` in a thread, which ends when none wait.

    When `write` raises, the batch is handed to it again after a pause, and what comes meanwhile waits. So it must raise
    for trouble that passes and for nothing else: one that cannot take some of the items writes the others, leaves those
    out and says so. It may be given items a second time when it has failed after writing some. When `most_waiting`
    wait, the oldest are dropped. Trouble is logged once, under `name`.

    What waits is written when the process ends, also by a SIGTERM for which it has no handler of its own; a forked
    child begins with nothing waiting. `os._exit` and SIGKILL lose what waits.
    """

    def __init__(
        self, write: Callable[[list[T]], None], *, name: str, most_waiting: int = 100_000, every: float = 0.25
    ) -> None:
        self._write = write
        self._name = name
        self._most = most_waiting
        self._every = every
        begin_anew_in_children(self)
        _writers.add(ref(self, _writers.discard))
        _flush_on_sigterm()

    def begin(self) -> None:
        """Forget what waits; make the locks."""
        self.dropped = 0
        """Items for which there was no room."""
        self._told = 0
        self._waiting: deque[T] = deque(maxlen=self._most)
        self._batch: list[T] = []
        self._pause = Pause()
        self._running = Lock()
        """Held while there is a thread that will look at what waits."""
        self._writing = Lock()

    def put(self, item: T) -> None:
        """Have it written soon; never blocks and never fails, in any thread, signal handler or finalizer."""
        if len(self._waiting) == self._most:
            self.dropped += 1
        self._waiting.append(item)
        if self._running.acquire(blocking=False):
            self._start()

    def flush(self, timeout: float | None = 5.0) -> bool:
        """Write now what was put before; whether that has worked within `timeout` seconds."""
        try:
            return self._flushing().get(timeout=timeout)
        except Empty:
            return False

    def close(self, timeout: float | None = 5.0) -> bool:
        """Write what waits, and give up on what cannot be written; whether all was."""
        written = self.flush(timeout)
        self._waiting.clear()
        self._batch = []
        return written

    def _start(self) -> None:
        _flush_in_worker_processes()
        try:  # no `Thread`, which takes locks to start: what a signal handler has interrupted may hold them
            start_new_thread(self._run, ())
        except RuntimeError:  # no more threads; the next item or the end of the process tries again
            self._running.release()

    def _run(self) -> None:
        time.sleep(self._every)
        while not self._write_waiting():
            time.sleep(self._pause.seconds)
        self._running.release()
        if self._waiting and self._running.acquire(blocking=False):  # it came when this thread still seemed to look
            self._start()

    def _flushing(self) -> SimpleQueue[bool]:
        """Begin to write what waits, in a thread of its own: the one that runs may have a while to sleep."""
        outcome: SimpleQueue[bool] = SimpleQueue()

        def work() -> None:
            outcome.put(self._write_waiting())

        try:
            start_new_thread(work, ())
        except RuntimeError:  # the interpreter is ending
            work()
        return outcome

    def _write_waiting(self) -> bool:
        """Write what waits by now; False when that has failed."""
        with self._writing:
            for _ in range(len(self._waiting) // _AT_ONCE + 2):  # one that failed before, whole ones, the last
                self._batch = self._batch or self._take()
                if not self._batch:
                    break
                try:
                    self._write(self._batch)
                except Exception as error:  # noqa: BLE001 - whatever it is, calls go on
                    self._note(error)
                    return False
                self._batch = []
            self._note_success()
            return True

    def _take(self) -> list[T]:
        batch: list[T] = []
        with suppress(IndexError):
            while len(batch) < _AT_ONCE:
                batch.append(self._waiting.popleft())
        return batch

    def _note(self, error: Exception) -> None:
        if self._pause.failed(time.monotonic()):
            said = f": {error}" if isinstance(error, LLMKitError) else ""  # what others say may quote anything
            kept = f"calls go on, and the last {self._most:_} wait until it works again"
            logger.warning("%s failed with %s%s; %s", self._name, type(error).__name__, said, kept)

    def _note_success(self) -> None:
        self._pause.over()
        if (lost := self.dropped - self._told) > 0:
            self._told = self.dropped
            logger.warning("%s: %d were dropped, as more than %s waited", self._name, lost, f"{self._most:_}")


_writers: Final[set[ref[Writer[Any]]]] = set()
"""All; what waits keeps its writer, by the thread that will write it."""
_told_multiprocessing: Final[set[int]] = set()
"""Processes whose end `multiprocessing` announces."""


def _flush_all() -> None:
    until = time.monotonic() + _AT_THE_END
    writers = [writer for each in list(_writers) if (writer := each()) is not None]
    for outcome in [writer._flushing() for writer in writers]:  # pyright: ignore[reportPrivateUsage]
        with suppress(Empty):
            outcome.get(timeout=max(0.0, until - time.monotonic()))


atexit.register(_flush_all)


def _flush_in_worker_processes() -> None:
    """Processes that `multiprocessing` has forked skip atexit."""
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None and os.getpid() not in _told_multiprocessing:
        _told_multiprocessing.add(os.getpid())
        util.Finalize(None, _flush_all, exitpriority=0)


def _flush_on_sigterm() -> None:
    """Only where the process would die of it at once: servers have handlers, and end in order."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        with suppress(ValueError):  # only the main thread may set handlers
            signal.signal(signal.SIGTERM, _flush_and_die)


def _flush_and_die(number: int, _frame: object) -> None:
    _flush_all()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
