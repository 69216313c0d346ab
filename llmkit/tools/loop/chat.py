"""The loop's calls over Chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, Literal, cast

import openai
from openai.types.chat import ChatCompletion, ChatCompletionChunk

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
from llmkit.usage.tracking import OneCall

_KINDS = frozenset({"function", "custom", None})  # some servers leave it out


class Chat:
    """`client.chat.completions`."""

    field: Literal["messages", "input"] = "messages"

    def __init__(self, client: openai.AsyncOpenAI) -> None:
        self._create: Any = client.chat.completions.create

    def answer_format(self, wanted: object, options: Mapping[str, object]) -> JSONObject:
        """The fields of a request that ask for an answer of a type, or as a dict says."""
        return {"response_format": dict(cast("Any", wanted)) if isinstance(wanted, Mapping) else chat_format(wanted)}

    async def ask(self, body: JSONObject, narrator: Narrator) -> Incoming:
        """The reply to a request."""
        assembler, told = ToolCallAssembler(), narrator.ids
        used = OneCall()
        if not body.get("stream"):
            raw: object = await used.by(self._create(**body))
        else:
            body = {**body, "stream_options": {"include_usage": True, **(body.get("stream_options") or {})}}
            gathered = Gathered()
            async with aclosing(followed(await used.by(self._create(**body)), gathered)) as chunks:
                async for chunk in chunks:
                    for step in _news(chunk, assembler, narrator):
                        yield step
            raw = gathered.answer
        ids = {place: told[call.index] for place, call in enumerate(assembler.calls) if call.index in told}
        yield _read(raw, ids, used)

    def restored(self, saved: JSONObject) -> Reply:
        """The reply that was saved as JSON."""
        return _read(ChatCompletion.construct(**saved))

    def result_items(self, results: Sequence[ToolResult], reply: Sequence[JSONObject]) -> list[JSONObject]:
        """A message for each call; what images they have comes after all of them, as the API wants it."""
        images = [result.image_message for result in results]
        return [*(result.message for result in results), *(image for image in images if image)]


def _news(chunk: ChatCompletionChunk, assembler: ToolCallAssembler, narrator: Narrator) -> list[Announced]:
    steps: list[Announced] = []
    for choice in chunk.choices or ():
        delta: Any = choice.delta
        if delta is None:  # Azure's content filter reports in chunks of its own
            continue
        steps += narrator.say(ReasoningDelta, _reasoning(delta))
        steps += narrator.say(TextDelta, delta.content)
        steps += narrator.say(RefusalDelta, delta.refusal)
        for call in assembler.add(delta.tool_calls):
            if call.name:
                steps += narrator.call(call.index, call.id, call.name, call.arguments, call.type)
    return steps


def _read(completion: Any, ids: Mapping[int, str] | None = None, used: OneCall | None = None) -> Reply:
    choice = completion.choices[0] if isinstance(completion, ChatCompletion) and completion.choices else None
    if choice is None or not choice.message:
        raise NoReply(
            "The server answered without a choice, or with what is no completion; see that base_url is right, "
            "and iterate the loop again to make the call again."
        )
    message = sendable(assistant_message(choice.message))
    if "tool_calls" in message:
        message["tool_calls"] = with_unique_ids(message["tool_calls"], "id", ids or {}, _KINDS)
    return Reply(
        raw=completion,
        items=[message],
        calls=calls_in(message),
        text=_text(message["content"]),
        refusal=choice.message.refusal,
        reasoning=_reasoning(choice.message),
        finish_reason=choice.finish_reason,
        usage=(used or OneCall()).usage(completion),
        cached=used is not None and used.from_cache,
    )


def _text(content: Any) -> str:
    """The text of a message; some servers answer with a list of parts."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in cast("list[JSONObject]", content))
    return content if isinstance(content, str) else ""


def _reasoning(given: Any) -> str:
    """What some servers add to a message or its delta."""
    texts = (getattr(given, name, None) for name in ("reasoning_content", "reasoning"))
    return next((text for text in texts if isinstance(text, str)), "")
