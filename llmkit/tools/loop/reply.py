"""A reply of the model, whichever API it comes from, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias
from uuid import uuid4

from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from llmkit.tools.call import ToolCall
from llmkit.tools.loop.steps import (
    Announced,
    ReasoningDelta,
    RefusalDelta,
    StepUsage,
    TextDelta,
    ToolArguments,
    ToolCallFinished,
    ToolCallStarted,
)
from llmkit.tools.loop.wire import JSONObject
from llmkit.tools.result import ToolResult
from llmkit.usage.totals import Usage

Said: TypeAlias = TextDelta | RefusalDelta | ReasoningDelta
CallKind: TypeAlias = Literal["function", "custom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the loop needs of a reply."""

    raw: ChatCompletion | Response
    items: list[JSONObject]
    """What goes into the history."""
    calls: list[ToolCall]
    text: str
    refusal: str | None
    reasoning: str
    finish_reason: str | None
    usage: Usage


class Incoming(Protocol):
    """A reply that streams in."""

    def steps(self) -> AsyncGenerator[Announced, None]:
        """What arrives, as it arrives; closing the generator closes the connection."""
        ...

    def whole(self) -> Reply:
        """What the reply says, once `steps` has ended."""
        ...


class Api(Protocol):
    """Chat or Responses, as the loop uses it."""

    field: Literal["messages", "input"]

    def answer_format(self, response_format: object, options: Mapping[str, object]) -> JSONObject:
        """The fields of a request that ask for `response_format`, a type or what the API takes."""
        ...

    async def send(self, body: JSONObject) -> ChatCompletion | Response:
        """The reply to a request."""
        ...

    def stream(self, body: JSONObject, narrator: Narrator) -> Incoming:
        """The reply to a request, as it comes."""
        ...

    def read(self, raw: ChatCompletion | Response) -> Reply:
        """What a reply says."""
        ...

    def restored(self, saved: JSONObject) -> ChatCompletion | Response:
        """The reply that was saved as JSON."""
        ...

    def result_items(self, results: Sequence[ToolResult], history: Sequence[JSONObject]) -> list[JSONObject]:
        """The results of all calls of the last reply, as the history takes them."""
        ...


class Narrator:
    """Tells each thing in a reply once: as it streams in, or else at its end."""

    def __init__(self, *, step: int) -> None:
        self.ids: dict[int, str] = {}
        """The ids that calls were announced with."""
        self._step = step
        self._said: set[type[Said]] = set()
        self._arguments: dict[str, str] = {}

    def say(self, kind: type[Said], piece: object) -> list[Announced]:
        """A piece of text, when it is one."""
        if not isinstance(piece, str) or not piece:
            return []
        self._said.add(kind)
        return [kind(text=piece, step=self._step)]

    def call(self, number: int, call_id: str | None, name: str, arguments: str, kind: CallKind) -> list[Announced]:
        """A call as it is so far."""
        if number in self.ids:
            return self._more(self.ids[number], name, arguments, kind)
        self.ids[number] = call_id or new_id()
        return self._begin(self.ids[number], name, arguments, kind)

    def rest(self, reply: Reply, *, total: Usage) -> list[Announced]:
        """What the stream has not told, and how the reply ends."""
        steps: list[Announced] = []
        whole: list[tuple[type[Said], str | None]] = [
            (ReasoningDelta, reply.reasoning),
            (TextDelta, reply.text),
            (RefusalDelta, reply.refusal),
        ]
        for kind, text in whole:
            steps += [] if kind in self._said else self.say(kind, text)
        for call in reply.calls:
            written = json.loads(call.arguments)["input"] if call.kind == "custom" else call.arguments
            tell = self._more if call.id in self._arguments else self._begin
            steps += tell(call.id, call.name, written, call.kind)
            steps.append(ToolCallFinished(call=call, step=self._step))
        return [*steps, StepUsage(usage=reply.usage, total=total, step=self._step)]

    def _begin(self, call_id: str, name: str, arguments: str, kind: CallKind) -> list[Announced]:
        self._arguments[call_id] = ""
        started = ToolCallStarted(call_id=call_id, name=name, step=self._step)
        return [started, *self._more(call_id, name, arguments, kind)]

    def _more(self, call_id: str, name: str, arguments: str, kind: CallKind) -> list[Announced]:
        delta = arguments[len(self._arguments[call_id]) :]
        if not delta:
            return []
        self._arguments[call_id] = arguments
        return [ToolArguments(call_id=call_id, name=name, delta=delta, arguments=arguments, kind=kind, step=self._step)]


def new_id() -> str:
    """An id for a call that came without one."""
    return f"call_{uuid4().hex}"


def with_unique_ids(
    items: Iterable[JSONObject], field: str, ids: Mapping[int, str], kinds: Container[object]
) -> list[JSONObject]:
    """The items; each call (what has one of `kinds`) with an id of its own, and one that came twice only once.

    `ids` are those that calls were announced with, by position.
    """
    kept: list[JSONObject] = []
    known: dict[object, JSONObject] = {}
    for position, given in enumerate(items):
        item = given
        if given.get("type") in kinds:
            call_id = ids.get(position) or given.get(field)
            item = {**given, field: call_id}
            if known.get(call_id) == item:
                continue
            if not call_id or call_id in known:
                item[field] = new_id()
            known[item[field]] = item
        kept.append(item)
    return kept
