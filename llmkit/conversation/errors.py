"""Errors of conversations and their stores.

LLMKitError
├── ConversationBusy        the conversation is in the middle of a turn of the same task (also a RuntimeError)
├── ConversationConflict    somebody else has stored this turn (also a RuntimeError)
├── ConversationNotFound    the store has no such conversation (also a LookupError)
├── InvalidStore            the file is not this store's, or a newer llmkit's (also a ValueError)
├── NoAnswer                the model's answer has no choice in it (also a RuntimeError)
└── TooManySteps            the model kept calling tools and never answered (also a RuntimeError)
"""

from __future__ import annotations

from llmkit.errors import LLMKitError


class ConversationBusy(LLMKitError, RuntimeError):
    """A turn was begun from inside a turn of the same conversation, which would wait for itself for ever."""


class ConversationConflict(LLMKitError, RuntimeError):
    """The store has this turn already: load the conversation again to go on."""


class ConversationNotFound(LLMKitError, LookupError):
    """The store has no turn of the conversation; the message names its id."""


class InvalidStore(LLMKitError, ValueError):
    """The file holds something else than conversations, or was written by a newer llmkit."""


class NoAnswer(LLMKitError, RuntimeError):
    """The server answered, but with no choice in it."""


class TooManySteps(LLMKitError, RuntimeError):
    """The model called tools `max_steps` times in one turn and never answered; the turn is not kept."""
