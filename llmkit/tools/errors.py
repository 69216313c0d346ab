"""What goes wrong with tools.

LLMKitError
├── InvalidTool          a function or a schema cannot be a tool (also a TypeError)
├── UnknownTool          a registry has no tool of that name (also a LookupError)
├── InvalidArguments     the arguments of a call do not fit (also a ValueError); its text is for the model
├── InvalidAnswer        a final answer does not fit its type (also a ValueError)
└── ToolError            raised by a tool: its text is shown to the model
"""

from __future__ import annotations

from typing import Literal

from llmkit.errors import LLMKitError

ArgumentsKind = Literal["invalid_json", "invalid_arguments"]


class InvalidTool(LLMKitError, TypeError):
    """A function cannot be a tool; the text names the function, the parameter and what to do."""


class UnknownTool(LLMKitError, LookupError):
    """A registry has no tool of that name; the text names those it has."""


class ToolError(LLMKitError):
    """Raise it in a tool to tell the model what went wrong: `raise ToolError("no city of that name")`."""


class InvalidArguments(LLMKitError, ValueError):
    """The arguments of a call do not fit; its text is for the model and repeats nothing that was given."""

    def __init__(self, message: str, *, kind: ArgumentsKind = "invalid_arguments") -> None:
        super().__init__(message)
        self.kind = kind


class InvalidAnswer(LLMKitError, ValueError):
    """A final answer does not fit its `response_format`; the text repeats nothing of it."""
