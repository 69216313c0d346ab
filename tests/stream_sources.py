"""Streams to read in tests: what they give, when they are closed, and how."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any


class Source:
    """An async iterator that gives `items`, then raises `error`, hangs, or ends; it notes how often it is closed."""

    def __init__(self, items: Iterable[Any] = (), *, error: BaseException | None = None, hangs: bool = False) -> None:
        self._items = iter(items)
        self._error = error
        self._hangs = hangs
        self.read = 0
        self.closes = 0
        self.cancelled = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        for item in self._items:
            if isinstance(item, asyncio.Event):
                await item.wait()
                continue
            self.read += 1
            return item
        if self._hangs:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        raise self._error or StopAsyncIteration

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.closes += 1


async def settled(rounds: int = 20) -> None:
    """Let every task that can run do so."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def taken(stream: Any) -> tuple[list[Any], BaseException | None]:
    """All that a stream gives, and what it raises at its end."""
    found: list[Any] = []
    try:
        async for item in stream:
            found.append(item)
    except Exception as error:  # noqa: BLE001
        return found, error
    return found, None
