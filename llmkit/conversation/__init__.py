"""A conversation that keeps its history within the model's window and survives a crash between turns."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

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
    from llmkit.conversation.records import ConversationTurn, ConversationUsage, SavedConversation
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
    "ConversationUsage",
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
    "llmkit.conversation.records": ("ConversationTurn", "ConversationUsage", "SavedConversation"),
    "llmkit.conversation.store": ("ConversationStore", "JSONStore", "SQLiteStore"),
    "llmkit.conversation.stream": ("ConversationStream",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'llmkit.conversation' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
