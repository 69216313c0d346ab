"""One fragment of a tool call, whatever shape the server gave it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, cast

from openai import BaseModel

_KNOWN = frozenset({"index", "id", "type", "function", "custom", "name", "arguments"})


class Fragment(NamedTuple):
    """A fragment of a tool call; what it does not say is empty."""

    place: int | None
    id: str
    type: Literal["function", "custom"] | None
    name: str
    arguments: str
    extra: Mapping[str, Any]

    @property
    def says_something(self) -> bool:
        """Whether there is anything in it to begin a call with."""
        return bool(self.id or self.name or self.arguments)

    @property
    def is_only_an_id(self) -> bool:
        """Whether it says nothing but an id."""
        return bool(self.id) and not (self.name or self.arguments or self.extra)


def fragment_of(delta: object) -> Fragment:
    """Read a `ChoiceDeltaToolCall`, a legacy `ChoiceDeltaFunctionCall`, or the same as a dict."""
    fields = fields_of(delta)
    custom = fields_of(fields.get("custom"))
    function = custom or fields_of(fields.get("function")) or fields
    place = fields.get("index")
    return Fragment(
        place=place if isinstance(place, int) else None,
        id=_text(fields.get("id")),
        type="custom" if custom or fields.get("type") == "custom" else None,
        name=_text(function.get("name")),
        arguments=_json(function.get("input" if custom else "arguments")),
        extra={key: value for key, value in fields.items() if key not in _KNOWN and value is not None},
    )


def fields_of(source: object) -> Mapping[str, Any]:
    """The fields that the server set in an SDK model, unknown ones included, or in a dict; empty for anything else."""
    if isinstance(source, Mapping):
        return cast("Mapping[str, Any]", source)
    if not isinstance(source, BaseModel):
        return {}
    given = source.model_fields_set
    fields = {name: value for name, value in source.__dict__.items() if name in given}
    return {**fields, **source.model_extra} if source.model_extra else fields


def field_of(source: object, name: str) -> Any:
    """A field of an object or of a dict; None when there is none."""
    if isinstance(source, Mapping):
        return cast("Mapping[str, Any]", source).get(name)
    return getattr(source, name, None)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _json(value: object) -> str:
    """Arguments as JSON text: some servers send the object itself."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
