"""One attempt to run a function, async or in a thread, in its time."""

from __future__ import annotations

import inspect
import math
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from types import CoroutineType
from typing import Any, Final, TypeAlias

import anyio

from llmkit.tools.definition import Tool
from llmkit.tools.drain import take, take_async
from llmkit.tools.failures import TimedOut
from llmkit.tools.threads import Threads, run_in_thread

Bind: TypeAlias = Callable[[float | None], tuple[list[Any], dict[str, Any]]]
"""From the seconds that the function has to its arguments."""

_COROUTINE: Final = frozenset({CoroutineType})
_PLAIN: Final = frozenset({str, dict, list, tuple, int, float, bool, bytes, type(None)})


async def execute(tool: Tool, bind: Bind, *, seconds: float | None, threads: Threads, most: int) -> Any:
    """What the tool's function returns, or yields up to `most` characters; raises `TimedOut` after so many `seconds`.

    The time begins when the function does, not while it waits for a thread.
    """
    function: Any = tool.function
    if seconds is None:
        args, kwargs = bind(None)
        if tool.is_async:
            return await _settled(function(*args, **kwargs), most)
        return await _run_in_thread(partial(function, *args, **kwargs), most, threads.limiter())
    if tool.is_async:
        return await _in_time(function, bind, seconds, most, None)
    async with threads.limiter():
        return await _in_time(function, bind, seconds, most, anyio.CapacityLimiter(math.inf))


async def _in_time(function: Any, bind: Bind, seconds: float, most: int, limiter: anyio.CapacityLimiter | None) -> Any:
    with anyio.move_on_after(seconds) as scope:
        try:
            args, kwargs = bind(seconds)
            if limiter is None:
                return await _settled(function(*args, **kwargs), most)
            return await _run_in_thread(partial(function, *args, **kwargs), most, limiter)
        except Exception:
            if not scope.cancel_called:  # else the function made something else of the cancellation
                raise
    raise TimedOut(seconds)


async def _run_in_thread(call: Callable[[], Any], most: int, limiter: anyio.CapacityLimiter) -> Any:
    def run() -> Any:
        value = call()
        if type(value) not in _PLAIN and issubclass(type(value), Iterator):
            return take(value, most=most)
        return value

    value = await run_in_thread(run, limiter)
    return value if type(value) in _PLAIN else await _settled(value, most)


async def _settled(value: Any, most: int) -> Any:
    """The value itself: awaited, and taken from its generator."""
    if type(value) in _COROUTINE or inspect.isawaitable(value):  # the first is a fast path
        value = await value
    if type(value) in _PLAIN:
        return value
    if issubclass(type(value), AsyncIterator):
        return await take_async(value, most=most)
    if issubclass(type(value), Iterator):
        work = partial(take, value, most=most)
        return await run_in_thread(work, anyio.CapacityLimiter(math.inf))
    return value
