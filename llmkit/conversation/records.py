"""What a conversation keeps: its turns, its usage, and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias, cast

from openai.types import CompletionUsage

from llmkit.errors import LLMKitError
from llmkit.usage.prices import cost

JSONObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationUsage:
    """What the server says the conversation has used so far; a call that reports no usage counts as a call only."""

    calls: int = 0
    """Answers received, those of failed turns included."""
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    """The part of `input_tokens` read from the provider's prompt cache."""
    cost: Decimal | None = Decimal(0)
    """In USD; None when a call's price is not known, or without the extra `llmkit[prices]`."""

    def __add__(self, other: ConversationUsage) -> ConversationUsage:
        return ConversationUsage(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            total_tokens=self.total_tokens + other.total_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cost=None if self.cost is None or other.cost is None else self.cost + other.cost,
        )

    @classmethod
    def of(cls, usage: CompletionUsage | None, *, model: str) -> ConversationUsage:
        """What one call used, answered by `model`."""
        if usage is None:
            return cls(calls=1, cost=None)
        details = usage.prompt_tokens_details
        cached = (details and details.cached_tokens) or 0
        return cls(
            calls=1,
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
            cached_tokens=cached,
            cost=_cost(model, usage, cached),
        )

    def to_json(self) -> JSONObject:
        """The usage as a store keeps it; the cost as text, exact."""
        return {**asdict(self), "cost": None if self.cost is None else str(self.cost)}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> ConversationUsage:
        """The usage that `to_json` wrote."""
        values: dict[str, Any] = dict(saved)
        if values["cost"] is not None:
            values["cost"] = Decimal(values["cost"])
        return cls(**values)


def _cost(model: str, usage: CompletionUsage, cached: int) -> Decimal | None:
    try:
        return cost(
            model=model,
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            cached_tokens=cached,
        )
    except LLMKitError:  # the extra is not there
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationTurn:
    """One turn: what the user said, the tool calls with their results, and the answer."""

    number: int
    """Counts from 1."""
    messages: tuple[JSONObject, ...] = field(repr=False)
    """Chat messages, the user's first."""
    usage: ConversationUsage
    """Of the conversation, up to and with this turn."""
    complete: bool = True
    """False: the answer is what had arrived when its stream was left or broke off."""

    def to_json(self) -> JSONObject:
        """The turn as a store keeps it."""
        return {"messages": list(self.messages), "usage": self.usage.to_json(), "complete": self.complete}

    @classmethod
    def from_json(cls, number: int, saved: Mapping[str, Any]) -> ConversationTurn:
        """The turn that `to_json` wrote."""
        return cls(
            number=number,
            messages=tuple(cast("list[JSONObject]", saved["messages"])),
            usage=ConversationUsage.from_json(saved["usage"]),
            complete=saved["complete"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedConversation:
    """What a store returns: the settings of the conversation and some or all of its turns, in their order."""

    settings: JSONObject = field(repr=False)
    turns: tuple[ConversationTurn, ...]
