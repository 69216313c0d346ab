"""A final answer of a type: `response_format=` for a request, and the value from the model's text."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, cast, get_args, get_origin

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from llmkit.tools.checked import Reader, Rejected
from llmkit.tools.errors import InvalidAnswer, InvalidTool
from llmkit.tools.schema import json_schema, rooted, without_siblings
from llmkit.tools.size import Schema
from llmkit.tools.strict import NotStrict, strict_schema

_WRAPPED: Final = "response"
_TypedDict: Final = cast("Any", TypedDict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    name: str
    schema: Schema
    strict: bool
    reader: Reader
    is_wrapped: bool


def chat_format(type_: Any) -> dict[str, Any]:
    """The `response_format` of a chat completion that answers with this type; raises InvalidTool."""
    return {"type": "json_schema", "json_schema": _shown(type_)}


def responses_format(type_: Any) -> dict[str, Any]:
    """The `text={"format": ...}` of a Response that answers with this type; raises InvalidTool."""
    return {"type": "json_schema", **_shown(type_)}


def parse_answer(type_: Any, text: str | bytes) -> Any:
    """The value in a model's answer; raises InvalidAnswer, which repeats nothing of it."""
    form = _format_of(type_)
    try:
        value = form.reader.read(text)
    except Rejected as rejected:
        raise InvalidAnswer(f"the answer is no {form.name}: {rejected}") from rejected.__cause__
    return value[_WRAPPED] if form.is_wrapped else value


def _shown(type_: Any) -> dict[str, Any]:
    form = _format_of(type_)
    return {"name": form.name, "schema": form.schema, "strict": form.strict}


def _format_of(type_: Any) -> _Format:
    try:
        return _cached(type_)
    except TypeError:  # not hashable, as Annotated with a list in it
        return _made(type_)


def _made(type_: Any) -> _Format:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(type_)
        plain = rooted(json_schema(adapter))
        is_wrapped = plain.get("type") != "object"
        if is_wrapped:
            adapter = TypeAdapter(_TypedDict("Answer", {_WRAPPED: type_}))
            plain = json_schema(adapter)
    except Exception as error:
        reason = str(error).partition("\n")[0]
        raise InvalidTool(f"response_format={type_!r:.200} has no JSON schema ({reason}); give a model") from error
    try:
        schema, strict = strict_schema(plain, compact=True), True
    except NotStrict:
        schema, strict = plain, False
    return _Format(
        name=_name(type_),
        schema=without_siblings(schema),
        strict=strict,
        reader=Reader(adapter, plain, what="answer"),
        is_wrapped=is_wrapped,
    )


def _name(type_: Any) -> str:
    """The name of a type, in the characters that the API takes."""
    while get_origin(type_) is Annotated:
        type_ = get_args(type_)[0]
    name = repr(type_) if get_args(type_) else getattr(type_, "__name__", "")
    return re.sub(r"[^a-zA-Z0-9_-]+", "_", re.sub(r"[\w.<>]+\.", "", name)).strip("_")[:64] or "answer"


_cached = functools.lru_cache(128)(_made)
