"""Requests to warm a cache with, in the forms in which people have them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from llmkit.tagging import Tag, tags

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "chat.completions": ("model", "messages"),
    "responses": (),
    "embeddings": ("model", "input"),
    "completions": ("model", "prompt"),
    "moderations": ("input",),
}
"""What a cache keeps answers of, and what the SDK's method asks for."""
_FORMS: Final = "a body with 'messages', 'input' or 'prompt', or one under 'body' beside its 'operation' or 'url'"
_HOW_IT_ARRIVES: Final = frozenset({"stream", "stream_options"})


class InvalidRequest(ValueError):
    """What was given is no request that can be made ahead; the message quotes nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A request whose answer is to be in the cache."""

    operation: str
    body: Mapping[str, Any] = field(repr=False)
    """Without `stream`: one entry answers both."""
    tags: Mapping[str, Tag]


def read_wanted(request: object) -> Wanted:
    """Read the body of a call, or a mapping with `body` beside `operation` or the `url` of a batch's line.

    Both may have `tags`. An "input" is embedded when the model's name says that it embeds, else answered. Raises
    `InvalidRequest`.
    """
    if not isinstance(request, Mapping):
        raise InvalidRequest(f"it is a {type(request).__name__}, not an object: write {_FORMS}")
    given = dict(cast("Mapping[str, Any]", request))
    labels = _labels(given.pop("tags", None))
    body: Any = given if (plain := "body" not in given) else given["body"]
    if not isinstance(body, Mapping):
        raise InvalidRequest("its 'body' is not an object")
    body = dict(cast("Mapping[str, Any]", body))
    operation = _operation_of(body) if plain else _named(given)
    for name in FIELDS[operation]:
        if body.get(name) is None:
            raise InvalidRequest(f"it has no {name!r}, which {operation} needs")
    kept = {name: value for name, value in body.items() if name not in _HOW_IT_ARRIVES}
    return Wanted(operation=operation, body=kept, tags=labels)


def _labels(given: object) -> Mapping[str, Tag]:
    if not isinstance(given or {}, Mapping):
        raise InvalidRequest("its 'tags' are not an object")
    labels = cast("Mapping[str, Tag | None]", given or {})
    try:
        tags(**labels)
    except TypeError as error:  # of a value or a name that no tag can have
        raise InvalidRequest(str(error)) from None
    return {name: value for name, value in labels.items() if value is not None}


def _operation_of(body: Mapping[str, Any]) -> str:
    if "messages" in body:
        return "chat.completions"
    if "input" in body:
        return "embeddings" if "embed" in str(body.get("model")) else "responses"
    if "prompt" in body:
        return "responses" if isinstance(body["prompt"], Mapping) else "completions"  # a template, or a text
    raise InvalidRequest(f"it is no request: write {_FORMS}")


def _named(given: Mapping[str, Any]) -> str:
    name = str(given.get("operation") or given.get("url")).removeprefix("/v1/").replace("/", ".")
    if name not in FIELDS:
        raise InvalidRequest(f"its 'operation' or 'url' is none of {', '.join(FIELDS)}")
    return name
