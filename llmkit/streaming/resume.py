"""Streams that go on where their connection broke."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterable, Iterator
from contextlib import aclosing

import openai
from openai.types.responses import ResponseStreamEvent

from llmkit import runtime
from llmkit.retries import server_wait, waits, worth_retrying
from llmkit.streaming.gathered import Gathered
from llmkit.streaming.interrupted import StreamInterrupted, close, followed, interruption

_FIRST_WAIT, _MAX_WAIT = 0.5, 8.0
"""Seconds, the SDK's own."""


async def resumed(
    client: openai.AsyncOpenAI, stream: AsyncIterable[ResponseStreamEvent], *, max_resumes: int = 3
) -> AsyncGenerator[ResponseStreamEvent, None]:
    """The events of a Responses stream in background mode, fetched from where it stopped when the connection breaks.

    `stream` comes from `client.responses.create(background=True, stream=True, ...)`. No event is lost or comes twice.
    Any other stream is passed on as by `whole`: the API cannot resume it. Leave early inside `contextlib.aclosing`.

    Args:
        client: Asked for the missing events, as often as its own retries say.
        stream: Read first.
        max_resumes: Attempts in a row that bring no event.

    Raises:
        StreamInterrupted: The stream cannot be resumed, or the attempts were in vain.
    """
    gathered, source, taken, delays = Gathered(), stream, 0, _delays()
    while True:
        try:
            async with aclosing(followed(source, gathered)) as events:
                async for event in events:
                    taken, delays = 0, _delays()
                    yield event
            return
        except StreamInterrupted as error:
            if taken >= max_resumes or not _worth_resuming(error):
                raise
            wait = _asked_wait(error) or next(delays)
        taken += 1
        await runtime.current(is_async=True).sleep(wait)
        source = _missing(client, gathered)


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
