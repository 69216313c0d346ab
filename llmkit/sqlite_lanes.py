"""The connections of a process to an SQLite file, which are closed before it forks and opened after it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from threading import Lock, get_ident
from typing import Final
from weakref import WeakSet


class Lane:
    """A connection of one process, which one of its threads uses at a time."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.connection: sqlite3.Connection | None = None
        self.file: tuple[int, int] | None = None
        self._thread: int | None = None

    def acquire(self, timeout: float) -> bool:
        """False when it is in use for longer, and at once when this very thread uses it."""
        if self._thread == get_ident() or not self.lock.acquire(timeout=timeout):
            return False
        self._thread = get_ident()
        return True

    def release(self) -> None:
        """Let others use it."""
        self._thread = None
        self.lock.release()

    def close(self) -> None:
        """Close the connection."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


class Lanes:
    """A connection to read from and one to write with, each for a thread at a time.

    What SQLite knows about the locks on a file is one for the whole process, and a child would inherit it: it would
    wait for threads that it has not got, and rely on locks that it does not hold.
    """

    def __init__(self, *, timeout: float) -> None:
        self.reader, self.writer = Lane(), Lane()
        self.is_lost = False
        """A thread was inside when this process was forked, so that the file cannot be used here."""
        self._timeout = timeout
        self._held: list[Lane] = []
        with _FORKING:
            _ALL.add(self)

    def close(self) -> None:
        """Close both connections when no thread uses them."""
        for lane in (self.reader, self.writer):
            with lane.lock:
                lane.close()

    def close_before_fork(self) -> None:
        """Close both connections and keep threads out; wait for each no longer than the timeout."""
        for lane in (self.reader, self.writer):
            if lane.acquire(self._timeout):
                self._held.append(lane)
                lane.close()

    def let_in_after_fork(self) -> None:
        """Let threads in again, in the process that has forked."""
        while self._held:
            self._held.pop().release()

    def open_after_fork(self) -> None:
        """Begin anew, in the child."""
        lanes = (self.reader, self.writer)
        self.is_lost = self.is_lost or any(lane.lock.locked() for lane in lanes if lane not in self._held)
        _INHERITED.extend(lanes)
        self.reader, self.writer, self._held = Lane(), Lane(), []


_ALL: Final[WeakSet[Lanes]] = WeakSet()
_FORKING: Final = Lock()
"""Held by a thread that forks, and by one that adds to them."""
_INHERITED: Final[list[Lane]] = []
"""What parents have open, which SQLite asks a child neither to use nor to close."""


def _before_fork() -> None:
    _FORKING.acquire()
    for lanes in _ALL:
        lanes.close_before_fork()


def _after_fork_in_parent() -> None:
    for lanes in _ALL:
        lanes.let_in_after_fork()
    _FORKING.release()


def _after_fork_in_child() -> None:
    for lanes in _ALL:
        lanes.open_after_fork()
    with suppress(RuntimeError):  # it was not held: uWSGI does not announce its forks
        _FORKING.release()


with suppress(AttributeError):  # Windows has no forks
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
