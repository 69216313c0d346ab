"""Where a loop is, as JSON that another process goes on from."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias, cast

from pydantic import Field, TypeAdapter, ValidationError

from llmkit.tools.call import ToolCall
from llmkit.tools.loop.errors import InvalidState
from llmkit.tools.loop.settings import Settings
from llmkit.tools.loop.steps import Announced
from llmkit.tools.loop.wire import JSONObject
from llmkit.tools.result import ToolResult
from llmkit.usage.totals import Usage

VERSION: Final = 1
Verdict: TypeAlias = bool | str | JSONObject
"""What a person said of a call: True, the reason why not, or other arguments."""


@dataclass(slots=True, kw_only=True)
class OpenCall:
    """A call of the last reply, with its result once there is one."""

    call: ToolCall
    known: bool
    """Whether there was a tool of this name when the call came."""
    verdict: Verdict | None = None
    result: ToolResult | None = None
    told: bool = False
    """Whether the result has been a step."""


@dataclass(slots=True, kw_only=True)
class State:
    """All that a loop has done; what is left to do follows from it."""

    version: int = VERSION
    api: Literal["chat", "responses"]
    settings: Settings
    """As far as they are JSON and no secrets."""
    answer_type: str | None = None
    """The name of the type of the answer, which is to be given again."""
    history: list[JSONObject]
    at_server: int = 0
    """How many items of the history a server-side conversation has."""
    steps: int = 0
    usage: Usage = field(default_factory=Usage)
    metered: bool = True
    """Whether the server has said what each call used."""
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
        hidden = {"calls": {"__all__": {"result": {"value", "exception"}}}}
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
            raise damaged(place) from None


def damaged(place: str) -> InvalidState:
    """The error for a state that has something odd in it."""
    return InvalidState(f"the state is damaged at {place!r}; give what loop.save() returned")


@functools.cache
def _adapter() -> TypeAdapter[State]:
    return TypeAdapter(State)
