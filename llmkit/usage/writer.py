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
from types import FrameType
from typing import Any, Final, Generic, TypeVar
from weakref import ref

from llmkit.errors import LLMKitError
from llmkit.forks import begin_anew_in_children
from llmkit.pauses import Pause
from llmkit.record import logger

T = TypeVar("T")

MOST: Final = 100_000
MOST_WITH_CONTENT: Final = 10_000
"""Calls that wait in memory while a ledger is away: with their texts, each may have tens of kilobytes."""
_AT_ONCE: Final = 2_000
"""Items of one batch: after long trouble many wait, and who shares the file or the server wants a turn, too."""
_AT_THE_END: Final = 5.0
"""Seconds that all writers together have when the process ends."""


class Writer(Generic[T]):
    """Collects items for `every` seconds and hands them to `write(batch)`, in a thread of its own.

    When `write` raises, the batch is handed to it again after a pause, and what comes meanwhile waits. So it must raise
    for trouble that passes and for nothing else: one that cannot take some of the items writes the others, leaves those
    out and says so. It may be given items a second time when it has failed after writing some. When `most_waiting`
    wait, the oldest are dropped. Trouble is logged once, under `name`.

    What waits is written when the process ends, also by a SIGTERM or SIGHUP for which it has no handler of its own;
    from a SIGTERM on that a server takes for itself, nothing is collected any more. For that, a writer or its first
    item must come from the main thread. A forked child begins with nothing waiting. `os._exit` and SIGKILL lose what
    waits.
    """

    def __init__(
        self, write: Callable[[list[T]], None], *, name: str, most_waiting: int = MOST, every: float = 0.25
    ) -> None:
        self._write = write
        self._name = name
        self._most = most_waiting
        self._every = every
        begin_anew_in_children(self)
        _writers.add(ref(self, _writers.discard))
        self._heeded = _heed_signals()
        self._begin_thread()  # now, as Python 3.12 begins none when the main thread is done

    def begin(self) -> None:
        """Forget what waits; make the locks."""
        self.dropped = 0
        """Items for which there was no room, or that were given up."""
        self._told = 0
        self._waiting: deque[T] = deque(maxlen=self._most)
        self._batch: list[T] = []
        self._pause = Pause()
        self._serving = Lock()
        """Held for the thread, from before it begins until it ends."""
        self._awake = False
        """The thread will look at what waits; nobody else sets it."""
        self._woken: SimpleQueue[Writer[T] | None] = SimpleQueue()
        """Itself, which keeps it until what waits is written; None ends the thread."""
        self._asked: SimpleQueue[SimpleQueue[bool]] = SimpleQueue()
        """Flushes: what comes of each is put in it."""

    def put(self, item: T) -> None:
        """Have it written soon; never blocks and never fails, in any thread, signal handler or finalizer."""
        if len(self._waiting) == self._most:
            self.dropped += 1
        self._waiting.append(item)
        if not self._awake:
            self._wake()

    def flush(self, timeout: float | None = 5.0) -> bool:
        """Write now what was put before; whether that has worked within `timeout` seconds."""
        try:
            return self._flushing().get(timeout=timeout)
        except Empty:
            return False

    def close(self, timeout: float | None = 5.0) -> bool:
        """Write what waits, and give up on what cannot be written; whether all was."""
        written = self.flush(timeout)
        given_up = len(self._waiting) + len(self._batch)
        self._waiting.clear()
        self._batch = []
        if given_up and not written:
            self.dropped += given_up
            self._told += given_up
            self._warn("%s: %d could not be written and were given up", given_up)
        return written

    def __del__(self) -> None:
        self._woken.put(None)

    def _wake(self) -> bool:
        """False where there is no thread, and none can be begun: the next item or flush tries again."""
        self._woken.put(self)
        self._heeded = self._heeded or _heed_signals()
        return self._begin_thread()

    def _begin_thread(self) -> bool:
        """Whether there is one now."""
        if not self._serving.acquire(blocking=False):
            return True
        _flush_in_worker_processes()
        try:  # no `Thread`, which takes locks to start: what a signal handler has interrupted may hold them
            start_new_thread(_serve, (self._woken, self._serving))
        except RuntimeError:
            self._serving.release()
            return False
        return True

    def _flushing(self) -> SimpleQueue[bool]:
        """Begin to write what waits, in the thread; here only when there can be none."""
        outcome: SimpleQueue[bool] = SimpleQueue()
        self._asked.put(outcome)
        if not self._wake() and self._serving.acquire(blocking=False):
            self._write_once()
            self._serving.release()
        return outcome

    def _work(self) -> None:
        """Write until nothing waits."""
        while not self._woken.empty():
            self._woken.get()
        self._awake = True
        while self._awake:
            written = self._write_once()
            self._awake = False  # who puts from now on wakes it again
            self._awake = not written or len(self._waiting) > 0

    def _write_once(self) -> bool:
        """Write what waits when it is time, or when a flush is asked for."""
        outcomes: list[SimpleQueue[bool]] = []
        with suppress(Empty):
            outcomes.append(self._asked.get(timeout=self._pause.seconds or self._every))
            while True:
                outcomes.append(self._asked.get_nowait())
        written = self._write_waiting()
        for outcome in outcomes:
            outcome.put(written)
        return written

    def _write_waiting(self) -> bool:
        """Write what waits by now; False when that has failed."""
        for _ in range(len(self._waiting) // _AT_ONCE + 2):  # one that failed before, whole ones, the last
            self._batch = self._batch or self._take()
            if not self._batch:
                break
            try:
                self._write(self._batch)
            except BaseException as error:  # noqa: BLE001 - whatever it is, calls go on, and so does the thread
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

    def _note(self, error: BaseException) -> None:
        if self._pause.failed(time.monotonic()):
            said = f": {error}" if isinstance(error, LLMKitError) else ""  # what others say may quote anything
            kept = f"calls go on, and the last {self._most:_} wait until it works again"
            self._warn("%s failed with %s%s; %s", type(error).__name__, said, kept)

    def _note_success(self) -> None:
        self._pause.over()
        if (lost := self.dropped - self._told) > 0:
            self._told = self.dropped
            self._warn("%s: %d were dropped, as more than %s waited", lost, f"{self._most:_}")

    def _warn(self, said: str, *values: object) -> None:
        with suppress(Exception):  # a handler of the logs that fails must not end the thread
            logger.warning(said, self._name, *values)


def _serve(woken: SimpleQueue[Writer[Any] | None], serving: Lock) -> None:
    """What the thread of a writer does; it keeps no writer that has nothing to do."""
    while (writer := woken.get()) is not None:
        writer._work()  # pyright: ignore[reportPrivateUsage]
        del writer
    serving.release()


_writers: Final[set[ref[Writer[Any]]]] = set()
"""All; what waits keeps its writer, by the thread that will write it."""
_told: Final[set[tuple[int, str]]] = set()
"""Processes, and the modules that announce their ends."""


def _flush_all() -> None:
    until = time.monotonic() + _AT_THE_END
    for outcome in _begin_flushes():
        with suppress(Empty):
            outcome.get(timeout=max(0.0, until - time.monotonic()))


def _begin_flushes(every: float | None = None) -> list[SimpleQueue[bool]]:
    """Have all writers write what waits, and collect for `every` seconds from now on."""
    outcomes: list[SimpleQueue[bool]] = []
    for each in list(_writers):
        if (writer := each()) is not None:
            writer._every = writer._every if every is None else every  # pyright: ignore[reportPrivateUsage]
            outcomes.append(writer._flushing())  # pyright: ignore[reportPrivateUsage]
    return outcomes


atexit.register(_flush_all)


def _flush_in_worker_processes() -> None:
    """Processes that these have forked skip atexit; billiard is Celery's."""
    for name in ("multiprocessing.util", "billiard.util"):
        util: Any = sys.modules.get(name)
        if util is not None and (os.getpid(), name) not in _told:
            _told.add((os.getpid(), name))
            util.Finalize(None, _flush_all, exitpriority=0)


def _heed_signals() -> bool:
    """Have what waits written before a signal ends the process; only the main thread can."""
    try:
        _heed(signal.SIGTERM)
        if hasattr(signal, "SIGHUP"):  # not on Windows
            _heed(signal.SIGHUP)
    except ValueError:
        return False
    return True


def _heed(number: int) -> None:
    handler = signal.getsignal(number)
    if handler is signal.SIG_DFL:
        signal.signal(number, _flush_and_die)
    elif callable(handler) and number == signal.SIGTERM and getattr(handler, "__module__", "") != __name__:
        signal.signal(number, _hurried(handler))


def _flush_and_die(number: int, _frame: object) -> None:
    _flush_all()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _hurried(handler: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], Any]:
    """For a server that ends in order and then, as uvicorn does, dies of the signal, which skips atexit."""

    def handle(number: int, frame: FrameType | None) -> Any:
        _begin_flushes(every=0.0)
        return handler(number, frame)

    return handle
