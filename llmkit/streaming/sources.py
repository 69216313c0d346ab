"""What streams are read from: checked before, closed after, whatever kind of stream it is."""

from __future__ import annotations

import asyncio
import inspect
from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio

from llmkit.record import logger

T = TypeVar("T")

_closings: set[asyncio.Task[None]] = set()
"""Closings that nobody waits for; the loop alone would not keep them alive."""


class OwnedStream(AsyncIterator[T]):
    """An async iterator that closes what it reads when it is left: `async with` does, `aclose()` does."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the stream that this one reads; there are no more events then."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


def checked(source: AsyncIterable[T]) -> AsyncIterable[T]:
    """`source`, if it can be read; else a TypeError that says what to do."""
    if not hasattr(source, "__aiter__"):
        hint = (
            "await it first"
            if hasattr(source, "__await__")
            else "enter it first: `async with ... as stream`"
            if hasattr(source, "__aenter__")
            else "pass a stream of an AsyncOpenAI, or another async iterable"
        )
        raise TypeError(f"a {type(source).__qualname__} cannot be read with `async for`; {hint}")
    return source


def events_of(source: AsyncIterable[T]) -> AsyncIterator[T]:
    """The iterator over `source`: itself where it is one, for the SDK's streams make a generator for each aiter()."""
    return source if isinstance(source, AsyncIterator) else aiter(source)


async def close(source: object) -> None:
    """Close a stream of any kind, also in a scope that was cancelled: whatever has `aclose` or `close`."""
    closing: Any = getattr(source, "aclose", None) or getattr(source, "close", None)
    if closing is None:
        return
    with anyio.CancelScope(shield=True):
        try:
            closed = closing()
            if inspect.isawaitable(closed):
                await closed
        except Exception as error:  # noqa: BLE001 - the events are all there, or a better error is on its way
            logger.warning("closing a %s failed with %s", type(source).__qualname__, type(error).__name__)


def close_soon(source: object, loop: asyncio.AbstractEventLoop | None) -> None:
    """Have `source` closed by `loop`: for finalizers, which cannot wait."""
    if loop is not None:
        with suppress(RuntimeError):  # the loop is closed, and the connections with it
            loop.call_soon_threadsafe(_begin_closing, source)


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of asyncio, if this runs in one."""
    with suppress(RuntimeError):
        return asyncio.get_running_loop()
    return None


def _begin_closing(source: object) -> None:
    task = asyncio.get_running_loop().create_task(close(source))
    _closings.add(task)
    task.add_done_callback(_closings.discard)
