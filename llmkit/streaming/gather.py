"""Whole answers from streams."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, overload

from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from llmkit.streaming.gather_chat import ChatGatherer
from llmkit.streaming.gather_responses import ResponseGatherer
from llmkit.streaming.gathered import Gathered
from llmkit.streaming.interrupted import followed

if TYPE_CHECKING:
    from openai.lib.streaming.chat import ChatCompletionStreamEvent

__all__ = ["ChatGatherer", "ResponseGatherer", "collect"]


@overload
async def collect(stream: AsyncIterable[ChatCompletionChunk]) -> ChatCompletion: ...
@overload
async def collect(stream: AsyncIterable[ChatCompletionStreamEvent[Any]]) -> ChatCompletion: ...
@overload
async def collect(stream: AsyncIterable[ResponseStreamEvent]) -> Response: ...
async def collect(stream: AsyncIterable[Any]) -> ChatCompletion | Response:
    """Read a stream to its end and close it: what the same request gives without `stream`.

    Takes what `create(stream=True)` returns, the SDK's `.stream()` helpers, or any async iterable of their events.

    Raises:
        StreamInterrupted: The stream broke off or ended without its last event; `.partial` has what arrived.
        TypeError: The events are neither of Chat nor of the Responses API.
    """
    gathered, kinds = Gathered(), set[str]()
    async with followed(stream, gathered) as events:
        async for event in events:
            kinds.add(type(event).__name__)
    answer = gathered.answer
    if answer is None:
        raise TypeError(f"collect() takes a Chat or a Responses stream, not one of {', '.join(sorted(kinds))}")
    return answer
