"""A conversation that keeps its history within the model's window and survives a crash between turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.conversation.conversation import Conversation
    from llmkit.conversation.errors import (
        ConversationBusy,
        ConversationConflict,
        ConversationNotFound,
        InvalidStore,
        NoAnswer,
        TooManySteps,
    )
    from llmkit.conversation.records import ConversationTurn, SavedConversation
    from llmkit.conversation.store import ConversationStore, JSONStore, SQLiteStore
    from llmkit.conversation.stream import ConversationStream

__all__ = [
    "Conversation",
    "ConversationBusy",
    "ConversationConflict",
    "ConversationNotFound",
    "ConversationStore",
    "ConversationStream",
    "ConversationTurn",
    "InvalidStore",
    "JSONStore",
    "NoAnswer",
    "SQLiteStore",
    "SavedConversation",
    "TooManySteps",
]

_HOME = {
    "llmkit.conversation.conversation": ("Conversation",),
    "llmkit.conversation.errors": (
        "ConversationBusy",
        "ConversationConflict",
        "ConversationNotFound",
        "InvalidStore",
        "NoAnswer",
        "TooManySteps",
    ),
    "llmkit.conversation.records": ("ConversationTurn", "SavedConversation"),
    "llmkit.conversation.store": ("ConversationStore", "JSONStore", "SQLiteStore"),
    "llmkit.conversation.stream": ("ConversationStream",),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
