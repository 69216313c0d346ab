"""What a tool may know of the call it serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic

from typing_extensions import TypeVar

from llmkit.runtime import Runtime
from llmkit.tagging import Tag

DepsT = TypeVar("DepsT", default=object)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext(Generic[DepsT]):
    """The call that a tool serves; a parameter with this annotation is filled in and hidden from the model.

    `ToolContext[Deps]` names the type of `dependencies`.
    """

    call_id: str
    tool_name: str
    tags: Mapping[str, Tag]
    deadline: float | None
    """On `runtime.monotonic()`; None without one."""
    attempt: int
    """1 for the first attempt."""
    dependencies: DepsT = field(repr=False)
    """What the caller gave to `run`."""
    runtime: Runtime = field(repr=False)

    def time_left(self) -> float | None:
        """Seconds to the deadline, never negative; None without a deadline."""
        return None if self.deadline is None else max(0.0, self.deadline - self.runtime.monotonic())
