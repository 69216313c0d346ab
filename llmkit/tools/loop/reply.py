"""A reply of the model, whichever API it comes from, and what is told of it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from llmkit.tools.answer_format import parse_answer
from llmkit.tools.call import ToolCall
from llmkit.tools.loop.errors import IncompleteAnswer
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
    cached: bool = False
    """A cache has given it, so that nothing is billed."""

    def parsed(self, response_format: Any) -> Any:
        """The answer as an instance of a type; raises when it cannot be one."""
        name = type_name(response_format)
        if name is None or self.refusal:
            return None
        if self.finish_reason in ("length", "content_filter"):
            why = "it was filtered" if self.finish_reason != "length" else "raise the bound on output tokens"
            raise IncompleteAnswer(
                f"The answer is no whole {name} (finish_reason={self.finish_reason!r}): {why}; what came is in `text`.",
                text=self.text,
                finish_reason=self.finish_reason,
            )
        return parse_answer(response_format, self.text)


Incoming: TypeAlias = AsyncGenerator[Announced | Reply, None]
"""What arrives of a reply as it arrives, and at last the reply; closing it closes the connection."""


def type_name(response_format: object) -> str | None:
    """The name of the type that answers are parsed to; None when they are not."""
    if response_format is None or isinstance(response_format, Mapping):
        return None
    return getattr(response_format, "__qualname__", None) or repr(response_format)


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
        if number not in self.ids:
            self.ids[number] = call_id or _new_id()
        return self._told(self.ids[number], name, arguments, kind)

    def rest(self, reply: Reply, *, total: Usage) -> list[Announced]:
        """What the stream has not told, and how the reply ends."""
        said = ((ReasoningDelta, reply.reasoning), (TextDelta, reply.text), (RefusalDelta, reply.refusal))
        steps = [step for kind, text in said if kind not in self._said for step in self.say(kind, text)]
        for call in reply.calls:
            written = json.loads(call.arguments)["input"] if call.kind == "custom" else call.arguments
            steps += self._told(call.id, call.name, written, call.kind)
            steps.append(ToolCallFinished(call=call, step=self._step))
        return [*steps, StepUsage(usage=reply.usage, total=total, step=self._step)]

    def _told(self, call_id: str, name: str, arguments: str, kind: CallKind) -> list[Announced]:
        steps: list[Announced] = []
        if call_id not in self._arguments:
            self._arguments[call_id] = ""
            steps.append(ToolCallStarted(call_id=call_id, name=name, step=self._step))
        if delta := arguments[len(self._arguments[call_id]) :]:
            self._arguments[call_id] = arguments
            steps.append(
                ToolArguments(call_id=call_id, name=name, delta=delta, arguments=arguments, kind=kind, step=self._step)
            )
        return steps


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
                item[field] = _new_id()
            known[item[field]] = item
        kept.append(item)
    return kept


def _new_id() -> str:
    return f"call_{uuid4().hex}"
