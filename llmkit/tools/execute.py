"""One attempt to run a function, async or in a thread, in its time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from types import CoroutineType
from typing import Any, Final, TypeAlias

from llmkit.tools.cancelling import in_time
from llmkit.tools.definition import Tool
from llmkit.tools.drain import take, take_async
from llmkit.tools.failures import TimedOut
from llmkit.tools.threads import Threads, result_of

Bind: TypeAlias = Callable[[float | None], tuple[list[Any], dict[str, Any]]]
"""From the seconds that the function has to its arguments."""

_COROUTINE: Final = frozenset({CoroutineType})
_PLAIN: Final = frozenset({str, dict, list, tuple, int, float, bool, bytes, type(None)})


async def execute(tool: Tool, bind: Bind, *, seconds: float | None, threads: Threads, most: int) -> Any:
    """What the tool's function returns, or yields up to `most` characters; raises `TimedOut` after so many `seconds`.

    The time begins when the function does, not while it waits for a thread.
    """
    function: Any = tool.function
    if not tool.is_async:
        return await _in_thread(function, bind, seconds=seconds, threads=threads, most=most)
    if seconds is None:
        args, kwargs = bind(None)
        return await _settled(function(*args, **kwargs), threads, most)
    return await in_time(partial(_called, function, bind, seconds, threads, most), seconds)


async def _called(function: Any, bind: Bind, seconds: float, threads: Threads, most: int) -> Any:
    args, kwargs = bind(seconds)
    return await _settled(function(*args, **kwargs), threads, most)


async def _in_thread(function: Any, bind: Bind, *, seconds: float | None, threads: Threads, most: int) -> Any:
    def run() -> Any:
        args, kwargs = bind(seconds)
        value = function(*args, **kwargs)
        return take(value, most=most) if _is_generator(value) else value

    value = await (threads.run(run) if seconds is None else _thread_in_time(run, seconds, threads))
    if type(value) in _PLAIN or not (inspect.isawaitable(value) or issubclass(type(value), AsyncIterator)):
        return value
    settle = partial(_settled, value, threads, most)
    return await (settle() if seconds is None else in_time(settle, seconds))


async def _thread_in_time(run: Callable[[], Any], seconds: float, threads: Threads) -> Any:
    started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    work = threads.submit(run, started=started)
    try:
        await started
        done, _ = await asyncio.wait([work], timeout=seconds)
    finally:
        work.cancel()
    if not done:
        raise TimedOut(seconds)
    return result_of(work.result())


async def _settled(value: Any, threads: Threads, most: int) -> Any:
    """The value itself: awaited, and taken from its generator."""
    if type(value) in _COROUTINE or inspect.isawaitable(value):  # the first is a fast path
        value = await value
    if type(value) in _PLAIN:
        return value
    if issubclass(type(value), AsyncIterator):
        return await take_async(value, most=most)
    return await threads.run(partial(take, value, most=most)) if _is_generator(value) else value


def _is_generator(value: Any) -> bool:
    return type(value) not in _PLAIN and issubclass(type(value), Iterator)
