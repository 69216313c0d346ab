"""Errors of the context package.

LLMKitError
├── InvalidHistory           a tool call without its result, or a result without its call (also a ValueError)
└── ContextLengthExceeded    what must be kept is more than the budget (also a ValueError)
"""

from __future__ import annotations

from dataclasses import dataclass

from llmkit.errors import LLMKitError


class InvalidHistory(LLMKitError, ValueError):
    """A tool call has no result, or a result no call; the message names the id and where it stands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextSizes:
    """What a request that cannot fit is made of, in tokens."""

    max_tokens: int
    """The budget."""
    needed: int
    """The least the request can be trimmed to by dropping messages."""
    head: int
    """The leading system and developer messages."""
    current_turn: int
    """From the last user message to the end."""
    tools: int
    """Tools and response format."""
    largest: int
    """The largest message among head and current turn."""
    largest_index: int | None
    """Where that message stands in the messages given; None when there are none."""


class ContextLengthExceeded(LLMKitError, ValueError):
    """The request cannot be trimmed to its budget; the message says what is large and what to do."""

    sizes: ContextSizes | None
    """The sizes the message names."""

    def __init__(self, message: str, sizes: ContextSizes | None = None) -> None:
        super().__init__(message)
        self.sizes = sizes
