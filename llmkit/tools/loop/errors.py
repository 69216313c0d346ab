"""Errors of the loop between a model and its tools.

LLMKitError
├── IncompleteAnswer     the answer was cut before it could be parsed (also a ValueError)
├── InvalidState         the saved state cannot be resumed like this (also a ValueError)
├── InvalidSubmission    what was submitted fits no waiting call (also a ValueError)
├── NoReply              the server sent no answer of the model (also a RuntimeError)
├── ToolLoopBusy         two tasks iterate the same loop (also a RuntimeError)
├── ToolLoopLimit        a ceiling was reached before the answer (also a RuntimeError)
└── UnknownUsage         a ceiling cannot be kept: tokens or prices are not known (also a RuntimeError)
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Literal, TypeAlias

from llmkit.errors import LLMKitError
from llmkit.usage.totals import Usage

Limit: TypeAlias = Literal["max_steps", "max_tokens", "max_cost"]


class IncompleteAnswer(LLMKitError, ValueError):
    """The answer ended before it was whole, so that it cannot be an instance of `response_format`."""

    def __init__(self, message: str, *, text: str, finish_reason: str | None) -> None:
        super().__init__(message)
        self.text = text
        self.finish_reason = finish_reason


class InvalidState(LLMKitError, ValueError):
    """The state is no state of a loop, was written by a newer llmkit, or lacks what only the caller can give."""


class InvalidSubmission(LLMKitError, ValueError):
    """The id is not one of a waiting call, or the call cannot take this; nothing was submitted."""


class NoReply(LLMKitError, RuntimeError):
    """The server answered without a choice, or the response failed; the call can be made again."""


class ToolLoopBusy(LLMKitError, RuntimeError):
    """The loop is being iterated by somebody else."""


class ToolLoopLimit(LLMKitError, RuntimeError):
    """A ceiling was reached and the model has not answered yet; nothing that was done is lost."""

    def __init__(
        self,
        message: str,
        *,
        limit: Limit,
        value: int | Decimal,
        usage: Usage,
        messages: list[dict[str, Any]],
    ) -> None:
        super().__init__(message)
        self.limit = limit
        self.value = value
        self.usage = usage
        self.messages = messages
        """The whole history, with the results of all tools: a valid start for another loop."""


class UnknownUsage(LLMKitError, RuntimeError):
    """`max_tokens` or `max_cost` was given, and the server or the price list does not say what a call used."""
