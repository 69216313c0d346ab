"""Where plain functions run: daemon threads of the registry's own, so that a slow tool takes none from the application.

Daemons, because a tool that never returns must not keep the process from ending. Handing work over costs less than
with `anyio.to_thread` or an executor, too.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeAlias

Outcome: TypeAlias = tuple[Any, BaseException | None]
"""What a call returned or raised."""

_IDLE: Final = 10.0
"""Seconds after which a thread with nothing to do ends."""
_in_thread: ContextVar[bool] = ContextVar("llmkit_in_tool_thread", default=False)


@dataclass(slots=True, eq=False)
class _Work:
    call: Callable[[], Any]
    context: Context
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[Outcome]
    started: asyncio.Future[None] | None
    running: bool = False
    given_up: bool = False


class Threads:
    """At most `total` threads; one whose work nobody waits for any more is not counted.

    What a tool in such a thread runs in turn never waits for another: it might wait for itself.
    """

    __slots__ = ("__weakref__", "_count", "_free", "_lock", "_total", "_waiting")

    def __init__(self, total: int) -> None:
        self._total = total
        self._lock = threading.Lock()
        self._count = 0
        self._free: list[SimpleQueue[_Work]] = []
        self._waiting: deque[_Work] = deque()

    async def run(self, call: Callable[[], Any]) -> Any:
        """What `call` returns, run with the caller's context variables; a cancellation leaves it to finish."""
        return result_of(await self.submit(call))

    def submit(
        self, call: Callable[[], Any], *, started: asyncio.Future[None] | None = None
    ) -> asyncio.Future[Outcome]:
        """The outcome of `call`, soon; `started` is set when a thread takes it. Cancelled before that, it never
        runs.
        """
        loop = asyncio.get_running_loop()
        work = _Work(call, copy_context(), loop, loop.create_future(), started)
        work.done.add_done_callback(lambda done: self._give_up(work) if done.cancelled() else None)
        with self._lock:
            free = self._free.pop() if self._free else None
            if free is None:
                if self._count >= self._total and not _in_thread.get():
                    self._waiting.append(work)
                    return work.done
                self._count += 1
        if free is None:
            self._start(work)
        else:
            free.put(work)
        return work.done

    def _start(self, work: _Work) -> None:
        inbox: SimpleQueue[_Work] = SimpleQueue()  # an argument would be held as long as the thread lives
        inbox.put(work)
        threading.Thread(target=self._serve, args=(inbox,), name="llmkit tool", daemon=True).start()

    def _give_up(self, work: _Work) -> None:
        """Nobody waits for the work any more: let other work have a thread in its place."""
        with self._lock:
            if not work.running:
                return
            work.given_up = True
            successor = self._waiting.popleft() if self._waiting else None
            if successor is None:
                self._count -= 1
        if successor is not None:
            self._start(successor)

    def _serve(self, inbox: SimpleQueue[_Work]) -> None:
        work: _Work | None = inbox.get()
        while work is not None:
            with self._lock:
                work.running = not work.done.cancelled()
            outcome = work.context.run(_called, work) if work.running else None
            given_up, following = self._over(work, inbox)
            if outcome is not None:  # told only now, so that who hears of it finds this thread free
                _tell(work.loop, work.done, outcome)
            if given_up:
                return
            del outcome, work  # what they hold is not this thread's while it waits
            work = following or self._wait(inbox)

    def _over(self, work: _Work, inbox: SimpleQueue[_Work]) -> tuple[bool, _Work | None]:
        """Whether nobody waited for the work any more, so that this thread ends; else what to do next, if anything."""
        with self._lock:
            work.running = False
            if work.given_up:
                return True, None
            if self._waiting:
                return False, self._waiting.popleft()
            self._free.append(inbox)
            return False, None

    def _wait(self, inbox: SimpleQueue[_Work]) -> _Work | None:
        """More work; None when there has been none for a while."""
        try:
            return inbox.get(timeout=_IDLE)
        except Empty:
            pass
        with self._lock:
            if inbox not in self._free:  # something has been promised meanwhile
                return inbox.get()
            self._free.remove(inbox)
            self._count -= 1
            return None


def result_of(outcome: Outcome) -> Any:
    """What a call returned; raises what it raised."""
    value, error = outcome
    if error is None:
        return value
    try:
        raise error
    finally:
        del error, outcome


def _called(work: _Work) -> Outcome:
    _in_thread.set(True)
    if work.started is not None:
        _tell(work.loop, work.started, None)
    try:
        return work.call(), None
    except BaseException as error:  # noqa: BLE001 - raised where it is waited for
        return None, error


def _tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], value: object) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_set, future, value)


def _set(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)
