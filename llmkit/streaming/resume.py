"""Streams that go on where their connection broke."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterable, Iterator

import openai
from openai.types.responses import ResponseStreamEvent

from llmkit import runtime
from llmkit.retries import server_wait, waits, worth_retrying
from llmkit.streaming.gathered import Gathered
from llmkit.streaming.interrupted import StreamInterrupted, followed, interruption
from llmkit.streaming.sources import OwnedStream, close

_FIRST_WAIT, _MAX_WAIT = 0.5, 8.0
"""Seconds, the SDK's own."""


def resumed(client: openai.AsyncOpenAI, stream: AsyncIterable[ResponseStreamEvent], *, max_resumes: int = 3) -> Resumed:
    """The events of a Responses stream in background mode, fetched from where it stopped when the connection breaks.

    `stream` comes from `client.responses.create(background=True, stream=True, ...)`. No event is lost or comes twice.
    Any other stream is passed on as by `whole`: the API cannot resume it. Use `async with` to leave early.

    Args:
        client: Asked for the missing events, as often as its own retries say.
        stream: Read first.
        max_resumes: Attempts in a row that bring no event.

    Raises:
        StreamInterrupted: The stream cannot be resumed, or the attempts were in vain.
    """
    return Resumed(client, stream, max_resumes=max_resumes)


class Resumed(OwnedStream[ResponseStreamEvent]):
    """The events of a Responses stream and of those that go on with it; made by `resumed`."""

    def __init__(
        self, client: openai.AsyncOpenAI, stream: AsyncIterable[ResponseStreamEvent], *, max_resumes: int
    ) -> None:
        self._client = client
        self._gathered = Gathered()
        self._events = followed(stream, self._gathered)
        self._max_resumes = max_resumes
        self._taken, self._delays = 0, _delays()

    async def __anext__(self) -> ResponseStreamEvent:
        while True:
            try:
                event = await anext(self._events)
            except StreamInterrupted as error:
                if self._taken >= self._max_resumes or not _worth_resuming(error):
                    raise
                wait = _asked_wait(error) or next(self._delays)
            else:
                self._taken, self._delays = 0, _delays()
                return event
            self._taken += 1
            await runtime.current(is_async=True).sleep(wait)
            self._events = followed(_missing(self._client, self._gathered), self._gathered)

    async def aclose(self) -> None:
        """Close the stream that this one reads; there are no more events then."""
        await self._events.aclose()


async def _missing(client: openai.AsyncOpenAI, gathered: Gathered) -> AsyncGenerator[ResponseStreamEvent, None]:
    """The events after those in `gathered`."""
    last = gathered.sequence_number or 0
    try:
        stream = await client.responses.retrieve(gathered.response_id or "", stream=True, starting_after=last)
    except openai.APIStatusError as error:
        raise interruption(gathered, error) from error
    try:
        async for event in stream:
            if getattr(event, "sequence_number", None) is None or event.sequence_number > last:
                yield event
    finally:
        await close(stream)


def _delays() -> Iterator[float]:
    return waits(first=_FIRST_WAIT, cap=_MAX_WAIT, random=random.random)


def _worth_resuming(error: StreamInterrupted) -> bool:
    """Whether the API can go on, and has not refused to."""
    cause = error.__cause__
    refused = isinstance(cause, openai.APIStatusError) and not worth_retrying(cause, now=_now())
    return error.resumable and not refused


def _asked_wait(error: StreamInterrupted) -> float | None:
    cause = error.__cause__
    return server_wait(cause, now=_now()) if isinstance(cause, Exception) else None


def _now() -> float:
    return runtime.current(is_async=True).time()
