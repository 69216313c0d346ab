"""Work in tasks of its own, which a cancellation reaches once, so that it can clean up: commit, roll back, close."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

import anyio

from llmkit.tools.failures import TimedOut
from llmkit.tools.threads import Outcome, result_of

T = TypeVar("T")

_GRACE: Final = 5.0
"""Seconds that work has to clean up once it is cancelled; then it is left to itself."""
_tasks: set[asyncio.Task[Any]] = set()
"""The loop alone would not keep alive what is left to itself."""


def start(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task for the work, whose exception may stay unread."""
    task = asyncio.get_running_loop().create_task(work)
    _tasks.add(task)
    task.add_done_callback(_forget)
    return task


async def stop(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel each task once and wait for it, though not for ever."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        with anyio.CancelScope(shield=True):
            await asyncio.wait(running, timeout=_GRACE)


async def in_time(work: Callable[[], Awaitable[Any]], seconds: float) -> Any:
    """The result of the work; cancels it after so many seconds and raises `TimedOut`."""
    task = start(outcome_of(work))
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
    finally:
        await stop([task])
    if not done:
        raise TimedOut(seconds)
    return result_of(task.result())


def cancellations() -> int:
    """How often the running task has been cancelled: more than before means that somebody else wants it to end."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


async def outcome_of(work: Callable[[], Awaitable[Any]]) -> Outcome:
    """What the work returns or raises, as a value: asyncio stops the loop at a task that raises SystemExit."""
    try:
        return await work(), None
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - raised where it is waited for
        return None, error


def _forget(task: asyncio.Task[Any]) -> None:
    _tasks.discard(task)
    if not task.cancelled():
        task.exception()
