"""A bounded buffer between a stream and a slower reader."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TypeVar

from llmkit.streaming.waiting import ReadAhead, ReadStream

T = TypeVar("T")


def channel(stream: AsyncIterable[T], maxsize: int = 16) -> Channel[T]:
    """Read `stream` in the background, at most `maxsize` items before they are taken; then the source waits.

    Use it as `async with channel(stream, maxsize=64) as items: async for item in items: ...`: leaving the block, in
    whatever way, closes the stream. Reading begins with the block. Several tasks may take items, each item goes to
    one of them; all of them see the end, or the error of the stream after its last item. Cancelling a task that
    waits for an item loses nothing.
    """
    if type(maxsize) is not int or maxsize < 1:
        raise ValueError(f"maxsize={maxsize!r} leaves no room for an item; use a whole number of at least 1")
    return Channel(ReadAhead(stream, ahead=maxsize))


class Channel(ReadStream[T]):
    """What has been read of a stream, and what will be; made by `channel`."""

    def __init__(self, reader: ReadAhead[T]) -> None:
        super().__init__(reader)
        self._events = reader

    async def __aenter__(self) -> Channel[T]:
        self._events.start()
        return self

    async def __anext__(self) -> T:
        await self._events.wait()
        return self._events.take()
