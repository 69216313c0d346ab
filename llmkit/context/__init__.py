"""Trimming of a conversation to a budget of tokens, turn group by turn group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.context.errors import ContextLengthExceeded, ContextSizes, InvalidHistory
    from llmkit.context.groups import Group
    from llmkit.context.history import History
    from llmkit.context.strategies import DropOldest, MiddleOut, Strategy
    from llmkit.context.summarize import Summarize, summarize_body, summarize_messages
    from llmkit.context.trim import trim_body, trim_messages
    from llmkit.context.truncate import TruncateLongest

__all__ = [
    "ContextLengthExceeded",
    "ContextSizes",
    "DropOldest",
    "Group",
    "History",
    "InvalidHistory",
    "MiddleOut",
    "Strategy",
    "Summarize",
    "TruncateLongest",
    "summarize_body",
    "summarize_messages",
    "trim_body",
    "trim_messages",
]

_HOME = {
    "llmkit.context.errors": ("ContextLengthExceeded", "ContextSizes", "InvalidHistory"),
    "llmkit.context.groups": ("Group",),
    "llmkit.context.history": ("History",),
    "llmkit.context.strategies": ("DropOldest", "MiddleOut", "Strategy"),
    "llmkit.context.summarize": ("Summarize", "summarize_body", "summarize_messages"),
    "llmkit.context.trim": ("trim_body", "trim_messages"),
    "llmkit.context.truncate": ("TruncateLongest",),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
