"""The loop's calls over Responses."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, Literal, cast

import openai
from openai.types.chat import ChatCompletion
from openai.types.responses import Response, ResponseStreamEvent

from llmkit import runtime
from llmkit.streaming.gathered import Gathered
from llmkit.streaming.interrupted import followed
from llmkit.streaming.resume import resumed
from llmkit.tools.answer_format import responses_format
from llmkit.tools.call import calls_in
from llmkit.tools.loop.errors import NoReply
from llmkit.tools.loop.reply import CallKind, Incoming, Narrator, Reply, Said, with_unique_ids
from llmkit.tools.loop.steps import Announced, ReasoningDelta, RefusalDelta, TextDelta
from llmkit.tools.loop.wire import JSONObject, output_item, sendable
from llmkit.tools.result import ToolResult
from llmkit.usage.totals import Usage

_SAID: Final[Mapping[str, type[Said]]] = {
    "response.output_text.delta": TextDelta,
    "response.refusal.delta": RefusalDelta,
    "response.reasoning_text.delta": ReasoningDelta,
    "response.reasoning_summary_text.delta": ReasoningDelta,
}
_CALLS: Final[Mapping[str, CallKind]] = {"function_call": "function", "custom_tool_call": "custom"}
_ARGUMENTS: Final = frozenset({"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"})
_UNDER_WAY: Final = frozenset({"queued", "in_progress"})
_OF_ANY_REQUEST: Final = ("include", "extra_headers", "extra_query", "timeout")
_POLL_SECONDS: Final = 2.0
"""Between looks at a response that is made in the background."""


class Responses:
    """`client.responses`; what is not stored at the server is sent back whole."""

    field: Literal["messages", "input"] = "input"

    def __init__(self, client: openai.AsyncOpenAI, *, stored: bool) -> None:
        self._client = client
        self._create: Any = client.responses.create
        self._stored = stored

    def answer_format(self, response_format: object, options: Mapping[str, object]) -> JSONObject:
        """The request's `text`, with what else the caller wants of it."""
        given = response_format
        wanted = dict(cast("Any", given)) if isinstance(given, Mapping) else responses_format(given)
        return {"text": {**cast("Any", options.get("text") or {}), "format": wanted}}

    async def send(self, body: JSONObject) -> Response:
        """The reply to a request; one that is made in the background is waited for."""
        reply: Response = await self._create(**body)
        retrieve: Any = self._client.responses.retrieve
        options = {name: body[name] for name in _OF_ANY_REQUEST if name in body}
        while reply.status in _UNDER_WAY:
            await runtime.current(is_async=True).sleep(_POLL_SECONDS)
            reply = await retrieve(reply.id, **options)
        return reply

    def stream(self, body: JSONObject, narrator: Narrator) -> Incoming:
        """The reply to a request, as it comes; a background response goes on after a lost connection."""
        return _Events(self._client, {**body, "stream": True}, narrator, stored=self._stored)

    def read(self, raw: ChatCompletion | Response) -> Reply:
        """What the response says; raises `NoReply` when it failed."""
        return _read(cast("Response", raw), {}, stored=self._stored)

    def restored(self, saved: JSONObject) -> Response:
        """The response that was saved as JSON."""
        return Response.construct(**saved)

    def result_items(self, results: Sequence[ToolResult], history: Sequence[JSONObject]) -> list[JSONObject]:
        """An output for each call, which names the program that made the call if one did."""
        callers = {item.get("call_id"): item["caller"] for item in history if item.get("caller")}
        return [
            {**result.message, "caller": callers[result.call.id]} if result.call.id in callers else result.message
            for result in results
        ]


class _Events:
    """A response that streams in."""

    def __init__(self, client: openai.AsyncOpenAI, body: JSONObject, narrator: Narrator, *, stored: bool) -> None:
        self._client = client
        self._body = body
        self._narrator = narrator
        self._stored = stored
        self._gathered = Gathered()
        self._calls: dict[int, tuple[str, str, CallKind]] = {}
        self._written: dict[int, str] = {}

    def whole(self) -> Reply:
        return _read(cast("Response", self._gathered.answer), self._narrator.ids, stored=self._stored)

    async def steps(self) -> AsyncGenerator[Announced, None]:
        create: Any = self._client.responses.create
        stream = await create(**self._body)
        background = bool(self._body.get("background"))
        async with aclosing(
            resumed(self._client, stream) if background else followed(stream, self._gathered)
        ) as events:
            async for event in events:
                if background:
                    self._gathered.add(event)
                for step in self._news(event):
                    yield step

    def _news(self, event: ResponseStreamEvent) -> list[Announced]:
        if event.type in _SAID:
            return self._narrator.say(_SAID[event.type], getattr(event, "delta", None))
        if event.type == "response.output_item.added":
            item: Any = event.item
            if kind := _CALLS.get(item.type):
                self._calls[event.output_index] = (item.call_id, item.name, kind)
                return self._told(event.output_index, "")
        if event.type in _ARGUMENTS:
            part: Any = event
            return self._told(part.output_index, part.delta)
        return []

    def _told(self, place: int, delta: str) -> list[Announced]:
        if place not in self._calls:
            return []
        call_id, name, kind = self._calls[place]
        written = self._written[place] = self._written.get(place, "") + delta
        return self._narrator.call(place, call_id, name, written, kind)


def _read(response: Response, ids: Mapping[int, str], *, stored: bool) -> Reply:
    if response.status in {"failed", "cancelled"} or response.status in _UNDER_WAY:
        code = response.error.code if response.error else None
        raise NoReply(
            f"The response {response.id!r} ended with the status {response.status!r} (error code: {code!r}); "
            "iterate the loop again to make the call again."
        )
    items = _items(response, ids, stored=stored)
    refusals = [part.refusal for part in _parts(response) if part.type == "refusal"]
    return Reply(
        raw=response,
        items=items,
        calls=calls_in(items),
        text=response.output_text,
        refusal="".join(refusals) or None,
        reasoning=_reasoning(response),
        finish_reason=_finish_reason(response),
        usage=Usage.of(response.usage, model=response.model),
    )


def _items(response: Response, ids: Mapping[int, str], *, stored: bool) -> list[JSONObject]:
    """The output as the next request takes it; without reasoning that the server could not find again."""
    fields: Any = response.to_dict(mode="json", warnings=False)
    items = with_unique_ids(map(output_item, fields["output"]), "call_id", ids, _CALLS)
    lost = () if stored else [item for item in items if item.get("type") == "reasoning" and not _is_whole(item)]
    return [sendable(item) for item in items if item not in lost]


def _is_whole(item: JSONObject) -> bool:
    return bool(item.get("encrypted_content"))


def _parts(response: Response) -> list[Any]:
    messages = [item for item in response.output if item.type == "message"]
    return [part for message in messages for part in message.content]


def _reasoning(response: Response) -> str:
    """The summaries, or the reasoning itself where the server shows it."""
    thoughts: list[Any] = [item for item in response.output if item.type == "reasoning"]
    return "\n\n".join(part.text for item in thoughts for part in (item.content or item.summary or ()))


def _finish_reason(response: Response) -> str | None:
    """In the words of Chat."""
    if response.status != "incomplete":
        return "stop"
    reason = response.incomplete_details.reason if response.incomplete_details else None
    return "length" if reason == "max_output_tokens" else reason
