"""Where a loop is, as JSON that another process goes on from."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, cast

from pydantic import Field, TypeAdapter, ValidationError

from llmkit.tools.approval import Allow, Deny, Edit
from llmkit.tools.call import ToolCall
from llmkit.tools.loop.errors import InvalidState
from llmkit.tools.loop.steps import Announced
from llmkit.tools.loop.wire import JSONObject
from llmkit.tools.result import ToolResult
from llmkit.usage.totals import Usage

VERSION: Final = 1


@dataclass(slots=True, kw_only=True)
class SavedDecision:
    """What a person said of a call."""

    verdict: Literal["allow", "deny", "edit"]
    reason: str = ""
    arguments: JSONObject | None = None

    @classmethod
    def of(cls, decision: bool | Allow | Deny | Edit) -> SavedDecision:
        """The decision as it is saved."""
        if isinstance(decision, Edit):
            return cls(verdict="edit", arguments=dict(decision.arguments))
        if isinstance(decision, Deny):
            return cls(verdict="deny", reason=decision.reason)
        return cls(verdict="allow" if decision else "deny")

    @property
    def value(self) -> Allow | Deny | Edit:
        """The decision as it was made."""
        if self.verdict == "edit":
            return Edit(self.arguments or {})
        return Allow() if self.verdict == "allow" else Deny(self.reason)


@dataclass(slots=True, kw_only=True)
class OpenCall:
    """A call of the last reply, with its result once there is one."""

    call: ToolCall
    known: bool
    """Whether there was a tool of this name when the call came."""
    decision: SavedDecision | None = None
    result: ToolResult | None = None
    told: bool = False
    """Whether the result has been a step."""


@dataclass(slots=True, kw_only=True)
class State:
    """All that a loop has done; what is left to do follows from it."""

    version: int = VERSION
    api: Literal["chat", "responses"]
    settings: JSONObject
    """The loop's own arguments and the request's options, as far as they are JSON and no secrets."""
    answer_type: str | None = None
    """The name of the type of the answer, which is to be given again."""
    history: list[JSONObject]
    at_server: int = 0
    """How many items of the history a server-side conversation has."""
    steps: int = 0
    usage: Usage = field(default_factory=Usage)
    last: list[JSONObject] = field(default_factory=list[JSONObject])
    """The last reply while its calls are open: it goes into the history with their results."""
    calls: list[OpenCall] = field(default_factory=list[OpenCall])
    to_tell: list[Annotated[Announced, Field(discriminator="type")]] = field(default_factory=list[Announced])
    reply: JSONObject | None = None
    """The last reply, when it is the answer."""
    told: bool = False
    """Whether the answer has been a step."""

    def to_json(self) -> JSONObject:
        """The state as plain JSON data, a copy."""
        hidden = {"calls": {"__all__": {"result": {"value"}}}}
        saved: JSONObject = _adapter().dump_python(self, mode="json", exclude=cast("Any", hidden), warnings=False)
        return saved

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> State:
        """The state that `to_json` wrote; raises `InvalidState` for anything else."""
        version = saved.get("version") if isinstance(saved, Mapping) else None  # pyright: ignore[reportUnnecessaryIsInstance]
        if not isinstance(version, int):
            raise InvalidState(f"{saved!r:.80} is no state of a ToolLoop; give what loop.save() returned")
        if version > VERSION:
            raise InvalidState(f"the state has version {version!r}, a newer llmkit's: resume it with that, or upgrade")
        try:
            return _adapter().validate_python(saved)
        except ValidationError as error:
            place = ".".join(map(str, error.errors(include_input=False)[0]["loc"]))
            raise InvalidState(f"the state is damaged at {place!r}; give what loop.save() returned") from None


@functools.cache
def _adapter() -> TypeAdapter[State]:
    return TypeAdapter(State)
