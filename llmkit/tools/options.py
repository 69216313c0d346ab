"""How a tool is shown to the model and how it is run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypedDict

from llmkit.tools.errors import InvalidTool

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOptions:
    """How a tool is shown to the model and how it is run; raises ValueError or InvalidTool for what cannot be."""

    name: str | None = None
    """None for the function's own."""
    description: str | None = None
    """None for the function's docstring."""
    strict: bool | None = None
    """None for strict where the types allow it."""
    timeout: float | None = None
    """Seconds for one attempt."""
    max_retries: int = 0
    needs_approval: bool = False
    max_result_tokens: int | None = None
    show_errors: bool = False
    """Show the model the text of exceptions, those of validators included."""

    def __post_init__(self) -> None:
        if self.name is not None:
            check_name(self.name)
        if self.timeout is not None and not self.timeout > 0:
            raise ValueError(f"timeout={self.timeout!r} leaves no time; give seconds above 0, or None")
        if self.max_retries < 0:
            raise ValueError(f"max_retries={self.max_retries!r} is negative; use 0 for no retries")
        if self.max_result_tokens is not None and self.max_result_tokens < 1:
            raise ValueError(f"max_result_tokens={self.max_result_tokens!r} leaves nothing; use at least 1, or None")


class Options(TypedDict, total=False):
    """The options that were given, as keywords: they win over others even where they are the default."""

    name: str | None
    description: str | None
    strict: bool | None
    timeout: float | None
    max_retries: int
    needs_approval: bool
    max_result_tokens: int | None
    show_errors: bool


def check_name(name: str) -> None:
    """Raise InvalidTool for a name that the API does not take."""
    if not _NAME.fullmatch(name):
        raise InvalidTool(f"{name!r} cannot be the name of a tool: letters, digits, _ and -, at most 64; give name=")
