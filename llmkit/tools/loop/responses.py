"""The loop's calls over Responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, Literal, cast

import openai
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
from llmkit.usage.tracking import OneCall

_SAID: Final[Mapping[str, type[Said]]] = {
    "response.output_text.delta": TextDelta,
    "response.refusal.delta": RefusalDelta,
    "response.reasoning_text.delta": ReasoningDelta,
    "response.reasoning_summary_text.delta": ReasoningDelta,
}
_CALLS: Final[Mapping[str, CallKind]] = {"function_call": "function", "custom_tool_call": "custom"}
_ARGUMENTS: Final = frozenset({"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"})
_UNDER_WAY: Final = frozenset({"queued", "in_progress"})
_NO_ANSWER: Final = frozenset({"failed", "cancelled", *_UNDER_WAY})
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

    def answer_format(self, wanted: object, options: Mapping[str, object]) -> JSONObject:
        """The fields of a request that ask for an answer of a type, or as a dict says."""
        form = dict(cast("Any", wanted)) if isinstance(wanted, Mapping) else responses_format(wanted)
        return {"text": {**cast("Any", options.get("text") or {}), "format": form}}

    async def ask(self, body: JSONObject, narrator: Narrator) -> Incoming:
        """The reply to a request; a stream in the background goes on after a lost connection."""
        used = OneCall()
        if not body.get("stream"):
            response: object = await self._whole(body, used)
        else:
            gathered, calls = Gathered(), _Calls(narrator)
            stream = await used.by(self._create(**body))
            lasting = resumed(self._client, stream) if body.get("background") else stream
            async with aclosing(followed(lasting, gathered)) as events:
                async for event in events:
                    for step in _news(event, calls, narrator):
                        yield step
            response = gathered.answer
        yield self._read(response, narrator.ids, used)

    async def _whole(self, body: JSONObject, used: OneCall) -> Response:
        """The response; one that is made in the background is waited for."""
        response: Response = await used.by(self._create(**body))
        retrieve: Any = self._client.responses.retrieve
        options = {name: body[name] for name in _OF_ANY_REQUEST if name in body}
        while getattr(response, "status", None) in _UNDER_WAY:
            await runtime.current(is_async=True).sleep(_POLL_SECONDS)
            response = await retrieve(response.id, **options)
        return response

    def restored(self, saved: JSONObject) -> Reply:
        """The reply that was saved as JSON."""
        return self._read(Response.construct(**saved))

    def result_items(self, results: Sequence[ToolResult], reply: Sequence[JSONObject]) -> list[JSONObject]:
        """An output for each call of a reply, which names the program that made the call if one did."""
        callers = {item.get("call_id"): {"caller": item["caller"]} for item in reply if item.get("caller")}
        return [result.message | callers.get(result.call.id, {}) for result in results]

    def _read(self, response: Any, ids: Mapping[int, str] | None = None, used: OneCall | None = None) -> Reply:
        _check(response)
        items = self._items(response, ids or {})
        parts: list[Any] = [part for item in response.output if item.type == "message" for part in item.content]
        thoughts: list[Any] = [item for item in response.output if item.type == "reasoning"]
        return Reply(
            raw=response,
            items=items,
            calls=calls_in(items),
            text=response.output_text,
            refusal="".join(part.refusal for part in parts if part.type == "refusal") or None,
            reasoning="\n\n".join(part.text for item in thoughts for part in item.content or item.summary or ()),
            finish_reason=_finish_reason(response),
            usage=(used or OneCall()).usage(response),
            cached=used is not None and used.from_cache,
        )

    def _items(self, response: Response, ids: Mapping[int, str]) -> list[JSONObject]:
        """The output as the next request takes it; without reasoning that the server could not find again."""
        fields: Any = response.to_dict(mode="json", warnings=False)
        items = with_unique_ids(map(output_item, fields["output"]), "call_id", ids, _CALLS)
        return [sendable(item) for item in items if self._stored or not _is_lost(item)]


class _Calls:
    """The calls of a response that streams in."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self._begun: dict[int, tuple[str, str, CallKind]] = {}
        self._written: dict[int, str] = {}

    def begin(self, place: int, item: Any) -> list[Announced]:
        if item.type not in _CALLS:
            return []
        self._begun[place] = (item.call_id, item.name, _CALLS[item.type])
        return self.write(place, "")

    def write(self, place: int, delta: str) -> list[Announced]:
        if place not in self._begun:
            return []
        call_id, name, kind = self._begun[place]
        written = self._written[place] = self._written.get(place, "") + delta
        return self._narrator.call(place, call_id, name, written, kind)


def _news(event: ResponseStreamEvent, calls: _Calls, narrator: Narrator) -> list[Announced]:
    given: Any = event
    if event.type in _SAID:
        return narrator.say(_SAID[event.type], given.delta)
    if event.type == "response.output_item.added":
        return calls.begin(event.output_index, event.item)
    return calls.write(given.output_index, given.delta) if event.type in _ARGUMENTS else []


def _check(response: Any) -> None:
    if not isinstance(response, Response) or not isinstance(cast("Any", response.output), list):
        raise NoReply(
            "The server answered with what is no response; see that base_url is right, and iterate the loop again to "
            "make the call again."
        )
    if response.status in _NO_ANSWER:
        code = response.error.code if response.error else None
        raise NoReply(
            f"The response {response.id!r} ended with the status {response.status!r} (error code: {code!r}); "
            "iterate the loop again to make the call again."
        )


def _is_lost(item: JSONObject) -> bool:
    return item.get("type") == "reasoning" and not item.get("encrypted_content")


def _finish_reason(response: Response) -> str | None:
    """In the words of Chat."""
    if response.status != "incomplete":
        return "stop"
    reason = response.incomplete_details.reason if response.incomplete_details else None
    return "length" if reason == "max_output_tokens" else reason
