"""What a conversation keeps: its turns, its usage, and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias, cast

from openai.types import CompletionUsage

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

    def __add__(self, other: ConversationUsage) -> ConversationUsage:
        mine, others = asdict(self), asdict(other)
        return ConversationUsage(**{name: mine[name] + others[name] for name in mine})

    @classmethod
    def of(cls, usage: CompletionUsage | None) -> ConversationUsage:
        """What one call used."""
        if usage is None:
            return cls(calls=1)
        details = usage.prompt_tokens_details
        return cls(
            calls=1,
            input_tokens=usage.prompt_tokens,
            output_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
            cached_tokens=(details and details.cached_tokens) or 0,
        )


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
        return {"messages": list(self.messages), "usage": asdict(self.usage), "complete": self.complete}

    @classmethod
    def from_json(cls, number: int, saved: Mapping[str, Any]) -> ConversationTurn:
        """The turn that `to_json` wrote."""
        return cls(
            number=number,
            messages=tuple(cast("list[JSONObject]", saved["messages"])),
            usage=ConversationUsage(**saved["usage"]),
            complete=saved["complete"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedConversation:
    """What a store returns: the settings of the conversation and some or all of its turns, in their order."""

    settings: JSONObject = field(repr=False)
    turns: tuple[ConversationTurn, ...]
