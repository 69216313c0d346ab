"""The loop's calls over Chat."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal, cast

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from llmkit.streaming.gathered import Gathered
from llmkit.streaming.interrupted import followed
from llmkit.streaming.tool_calls import ToolCallAssembler
from llmkit.tools.answer_format import chat_format
from llmkit.tools.call import calls_in
from llmkit.tools.loop.errors import NoReply
from llmkit.tools.loop.reply import Incoming, Narrator, Reply, with_unique_ids
from llmkit.tools.loop.steps import Announced, ReasoningDelta, RefusalDelta, TextDelta
from llmkit.tools.loop.wire import JSONObject, assistant_message, sendable
from llmkit.tools.result import ToolResult
from llmkit.usage.totals import Usage

_KINDS = frozenset({"function", "custom", None})  # some servers leave it out


class Chat:
    """`client.chat.completions`."""

    field: Literal["messages", "input"] = "messages"

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._create: Any = client.chat.completions.create

    def answer_format(self, response_format: object, options: Mapping[str, object]) -> JSONObject:
        """The request's `response_format`."""
        given = response_format
        return {"response_format": dict(cast("Any", given)) if isinstance(given, Mapping) else chat_format(given)}

    async def send(self, body: JSONObject) -> ChatCompletion:
        """The reply to a request."""
        reply: ChatCompletion = await self._create(**body)
        return reply

    def stream(self, body: JSONObject, narrator: Narrator) -> Incoming:
        """The reply to a request, as it comes."""
        options: JSONObject = {"include_usage": True, **(body.get("stream_options") or {})}
        return _Chunks(self._create, {**body, "stream": True, "stream_options": options}, narrator)

    def read(self, raw: ChatCompletion | Response) -> Reply:
        """What the first choice says; raises `NoReply` when there is none."""
        return _read(cast("ChatCompletion", raw), {})

    def restored(self, saved: JSONObject) -> ChatCompletion:
        """The completion that was saved as JSON."""
        return ChatCompletion.construct(**saved)

    def result_items(self, results: Sequence[ToolResult], history: Sequence[JSONObject]) -> list[JSONObject]:
        """A tool message for each call; what images they have comes after all of them, as the API wants it."""
        images = [result.image_message for result in results]
        return [*(result.message for result in results), *(image for image in images if image)]


class _Chunks:
    """A completion that streams in."""

    def __init__(self, create: Any, body: JSONObject, narrator: Narrator) -> None:
        self._create = create
        self._body = body
        self._narrator = narrator
        self._gathered = Gathered()
        self._calls = ToolCallAssembler()

    def whole(self) -> Reply:
        told = self._narrator.ids
        ids = {place: told[call.index] for place, call in enumerate(self._calls.calls) if call.index in told}
        return _read(cast("ChatCompletion", self._gathered.answer), ids)

    async def steps(self) -> AsyncGenerator[Announced, None]:
        async with aclosing(followed(await self._create(**self._body), self._gathered)) as chunks:
            async for chunk in chunks:
                for step in self._news(chunk):
                    yield step

    def _news(self, chunk: ChatCompletionChunk) -> list[Announced]:
        steps: list[Announced] = []
        for choice in chunk.choices:
            steps += self._narrator.say(ReasoningDelta, _reasoning(choice.delta))
            steps += self._narrator.say(TextDelta, choice.delta.content)
            steps += self._narrator.say(RefusalDelta, choice.delta.refusal)
            for call in self._calls.add(choice.delta.tool_calls):
                if call.name:
                    steps += self._narrator.call(call.index, call.id, call.name, call.arguments, call.type)
        return steps


def _reasoning(given: Any) -> str:
    """What some servers add to a message or its delta."""
    for name in ("reasoning_content", "reasoning"):
        text = getattr(given, name, None)
        if isinstance(text, str):
            return text
    return ""


def _read(completion: ChatCompletion, ids: Mapping[int, str]) -> Reply:
    if not completion.choices:
        raise NoReply("The server answered without a choice; iterate the loop again to make the call again.")
    choice = completion.choices[0]
    message = sendable(assistant_message(choice.message))
    if "tool_calls" in message:
        message["tool_calls"] = with_unique_ids(message["tool_calls"], "id", ids, _KINDS)
    return Reply(
        raw=completion,
        items=[message],
        calls=calls_in(message),
        text=message["content"] or "",
        refusal=choice.message.refusal,
        reasoning=_reasoning(choice.message),
        finish_reason=choice.finish_reason,
        usage=Usage.of(completion.usage, model=completion.model),
    )
