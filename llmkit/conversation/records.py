"""What a conversation keeps: its turns and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

from llmkit.usage.totals import Usage

JSONObject: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationTurn:
    """One turn: what the user said, the tool calls with their results, and the answer."""

    number: int
    """Counts from 1."""
    messages: tuple[JSONObject, ...] = field(repr=False)
    """Chat messages, the user's first."""
    usage: Usage
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
            usage=Usage.from_json(saved["usage"]),
            complete=saved["complete"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedConversation:
    """What a store returns: the settings of the conversation and some or all of its turns, in their order."""

    settings: JSONObject = field(repr=False)
    turns: tuple[ConversationTurn, ...]
