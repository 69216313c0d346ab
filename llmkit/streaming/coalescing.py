"""Fewer, larger pieces of text: what a browser, a terminal or a screen reader can keep up with."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TypeVar

from llmkit.streaming.texts import Piece, piece_of, with_text
from llmkit.streaming.waiting import ReadAhead, ReadStream

T = TypeVar("T")

_AHEAD = 32
"""Events read before they are taken: they come in bursts, one for each network chunk."""
_BYTES_PER_TOKEN = 4


def coalesce(stream: AsyncIterable[T], tokens: int = 5, seconds: float = 0.1) -> Coalesced[T]:
    """Merge pieces of text until there are about `tokens` tokens, or `seconds` have passed since the first of them.

    `async for event in coalesce(stream)` gives the same events with the same text in the same order, only fewer:
    neighbours that differ in nothing but their text become one. Everything else passes at once, after the text
    before it. A token is taken for 4 bytes of UTF-8. Takes what streams: Chat chunks, Responses events, the steps of
    `run_tools`, plain str. (`chat.completions.stream()` sends two events for each chunk, so nothing is merged there.)
    Use `async with` to leave early; cancelling a waiting consumer closes the stream.
    """
    if type(tokens) is not int or tokens < 1:
        raise ValueError(f"tokens={tokens!r} is no number of tokens to wait for; use a whole number of at least 1")
    if not seconds >= 0:
        raise ValueError(f"seconds={seconds!r} cannot be waited; use 0 or more")
    return Coalesced(ReadAhead(stream, ahead=_AHEAD), size=tokens * _BYTES_PER_TOKEN, seconds=seconds)


class Coalesced(ReadStream[T]):
    """The events of a stream with neighbouring pieces of text merged; made by `coalesce`."""

    def __init__(self, reader: ReadAhead[T], *, size: int, seconds: float) -> None:
        super().__init__(reader)
        self._events = reader
        self._size = size
        self._seconds = seconds

    async def __anext__(self) -> T:
        self._events.start()
        try:
            await self._events.wait()
            event = self._events.take()
            piece = piece_of(event)
            return event if piece is None else await self._merged(event, piece)
        except BaseException:
            await self.aclose()
            raise

    async def _merged(self, event: T, piece: Piece) -> T:
        """`event` with the text of those after it that belong to it."""
        reader, texts = self._events, [piece.text]
        left = self._size - _bytes(piece.text)
        until = reader.start().time() + self._seconds
        while left > 0 and await reader.wait(until):
            following = piece_of(reader.items[0]) if reader.items else None
            if following is None or following.place != piece.place:
                break
            event = reader.take()
            texts.append(following.text)
            left -= _bytes(following.text)
        return event if len(texts) == 1 else with_text(event, "".join(texts))


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
