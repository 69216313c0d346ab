"""What happens in a loop, one step after the other; `step.type` says which kind it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from llmkit.streaming.partial import partial_json
from llmkit.tools.call import ToolCall
from llmkit.tools.result import ToolResult
from llmkit.usage.totals import Usage

Reason: TypeAlias = Literal["approval", "external"]
"""Why a call waits: a person must allow it, or the tool runs elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """A piece of the model's text; all of it when the loop does not stream."""

    type: Literal["text_delta"] = "text_delta"
    text: str
    step: int
    """Which call of the model says it, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalDelta:
    """A piece of the model's refusal."""

    type: Literal["refusal_delta"] = "refusal_delta"
    text: str
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDelta:
    """A piece of the model's reasoning, or of its summary, where the server shows it."""

    type: Literal["reasoning_delta"] = "reasoning_delta"
    text: str
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallStarted:
    """The model begins to call a tool."""

    type: Literal["tool_call_started"] = "tool_call_started"
    call_id: str
    name: str
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolArguments:
    """More of a call's arguments."""

    type: Literal["tool_arguments"] = "tool_arguments"
    call_id: str
    name: str
    delta: str
    """The JSON text that is new; for a custom tool its plain text."""
    arguments: str = field(repr=False)
    """All of it so far."""
    kind: Literal["function", "custom"] = "function"
    step: int

    @property
    def partial(self) -> Any:
        """The arguments so far as a Python value: an object has the keys seen, a text may be cut; None before any."""
        return {"input": self.arguments} if self.kind == "custom" else partial_json(self.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallFinished:
    """The call is whole; it runs next, or waits."""

    type: Literal["tool_call_finished"] = "tool_call_finished"
    call: ToolCall
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUsage:
    """What a call of the model used."""

    type: Literal["usage"] = "usage"
    usage: Usage
    total: Usage
    """Of all calls up to this one."""
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The loop cannot go on before `loop.submit` has the results of these calls, or a decision about them."""

    type: Literal["waiting"] = "waiting"
    calls: tuple[ToolCall, ...]
    reasons: Mapping[str, Reason]
    """By the id of the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Final:
    """The model's answer; the last step."""

    type: Literal["final"] = "final"
    text: str
    parsed: Any = None
    """The answer as an instance of `response_format`, when that is a type and the model did not refuse."""
    refusal: str | None
    finish_reason: str | None
    """In the words of Chat for both APIs: "stop", "length", "content_filter"."""
    messages: list[dict[str, Any]] = field(repr=False)
    """The whole history with the answer: Chat messages or Responses input items, ready for the next request."""
    usage: Usage
    """Of all calls."""
    reply: ChatCompletion | Response = field(repr=False)
    """The last reply as it came."""


Announced: TypeAlias = (
    TextDelta | RefusalDelta | ReasoningDelta | ToolCallStarted | ToolArguments | ToolCallFinished | StepUsage
)
"""What is told of a reply of the model."""

Step: TypeAlias = Announced | ToolResult | Waiting | Final
