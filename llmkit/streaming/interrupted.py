"""Streams that break off: noticed in every case, and what had arrived is kept."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, TypeVar

import httpx2
import openai
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from llmkit.errors import LLMKitError
from llmkit.streaming.gathered import Gathered, TokensSoFar, text_of, tokens_of
from llmkit.streaming.sources import OwnedStream, checked, close, close_soon, events_of, running_loop

EventT = TypeVar("EventT")

_BROKEN = (openai.APIConnectionError, httpx2.HTTPError, json.JSONDecodeError, UnicodeDecodeError)
_NOTHING = TokensSoFar(output_tokens=0)


class StreamInterrupted(LLMKitError):
    """A stream broke off, or ended without its last event; `__cause__` is the error that ended it, if any.

    No `ConnectionError`: web servers take one for a client that has gone away.
    """

    def __init__(
        self,
        message: str,
        *,
        partial: ChatCompletion | Response | None = None,
        text: str = "",
        usage: TokensSoFar = _NOTHING,
        response_id: str | None = None,
        sequence_number: int | None = None,
        resumable: bool = False,
    ) -> None:
        super().__init__(message)
        self.partial = partial
        """The answer as far as it arrived; None when nothing did."""
        self.text = text
        """The text for the user in it, that of the first choice."""
        self.usage = usage
        self.response_id = response_id
        self.sequence_number = sequence_number
        """Of the last event that arrived, in a Responses stream."""
        self.resumable = resumable
        """Whether `resumed(client, stream)` would have gone on: a Responses stream in background mode."""


def interruption(gathered: Gathered, error: Exception | None) -> StreamInterrupted:
    """The StreamInterrupted for a stream of which that much was gathered."""
    answer = gathered.answer
    text = text_of(answer)
    return StreamInterrupted(
        _message(gathered, len(text), error),
        partial=answer,
        text=text,
        usage=tokens_of(answer),
        response_id=gathered.response_id,
        sequence_number=gathered.sequence_number,
        resumable=gathered.resumable,
    )


def breaks_off(error: Exception) -> bool:
    """Whether `error` says that a connection broke, or what it brought cannot be read; not that the API refused."""
    legacy: Any = sys.modules.get("httpx")  # an http_client of the user's may still be one of the old httpx
    return isinstance(error, _BROKEN) or (legacy is not None and isinstance(error, legacy.HTTPError))


def whole(stream: AsyncIterable[EventT]) -> Followed[EventT]:
    """The events of a Chat or Responses stream; StreamInterrupted when they end before the answer does.

    What goes wrong before the first event and what the API itself reports is raised as it is; a connection that
    breaks after the last event costs nothing. The stream is closed at the end in every case, at once if you leave
    early inside `async with whole(stream) as events:`.

    Raises:
        StreamInterrupted: The connection broke or the body ended, after the first event and before the last.
    """
    return followed(stream, Gathered())


def followed(stream: AsyncIterable[EventT], gathered: Gathered) -> Followed[EventT]:
    """`whole`, with what arrives added to `gathered`."""
    return Followed(stream, gathered)


class Followed(OwnedStream[EventT]):
    """The events of a stream that must not end early; made by `whole`."""

    def __init__(self, stream: AsyncIterable[EventT], gathered: Gathered) -> None:
        self._stream = checked(stream)
        self._events: AsyncIterator[EventT] | None = None
        self._gathered = gathered
        self._loop = running_loop()
        self._over = False

    async def __anext__(self) -> EventT:
        if self._over:
            raise StopAsyncIteration
        try:
            event = await self._next()
            self._gathered.add(event)
        except BaseException:
            await self.aclose()
            raise
        return event

    async def aclose(self) -> None:
        """Close the stream that this one reads; there are no more events then."""
        self._over = True
        await close(self._stream)

    def __del__(self) -> None:
        if not getattr(self, "_over", True):
            close_soon(self._stream, self._loop)

    async def _next(self) -> EventT:
        gathered = self._gathered
        try:
            self._events = self._events or events_of(self._stream)
            return await anext(self._events)
        except StopAsyncIteration:
            if gathered.finished:
                raise
            error = None
        except Exception as broken:
            if not gathered.begun or not breaks_off(broken):
                raise
            if gathered.finished:
                raise StopAsyncIteration from broken
            error = broken
        raise interruption(gathered, error) from error


def _message(gathered: Gathered, characters: int, error: Exception | None) -> str:
    how = "ended without its last event" if error is None else f"broke off ({type(error).__name__})"
    if gathered.resumable:
        advice = (
            "The server goes on with it: client.responses.retrieve(.response_id, stream=True, starting_after="
            ".sequence_number) has the rest, and resumed(client, stream) fetches it where a stream breaks."
        )
    else:
        advice = "Send the request again, or go on from .partial, which has what arrived."
    return f"The stream {how} after {characters} characters of text. {advice}"
