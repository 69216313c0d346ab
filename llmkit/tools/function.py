"""What a model is shown of a function's parameters, and what binds its calls."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from llmkit.tools.arguments import OTHERS, Arguments, adapter_of, invalid_type, mapping_of
from llmkit.tools.checked import Reader
from llmkit.tools.docstring import Docstring, read_docstring
from llmkit.tools.errors import InvalidTool
from llmkit.tools.hints import EMPTY, label
from llmkit.tools.schema import generated, tidied, without_siblings
from llmkit.tools.signature import ABSENT, Parameter, Signature, read_signature
from llmkit.tools.size import Schema
from llmkit.tools.strict import NotStrict, strict_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a model is shown of a function."""

    description: str
    parameters: Schema
    strict: bool
    takes_context: bool


def function_arguments(
    function: Callable[..., Any],
    *,
    strict: bool | None,
    hints: Mapping[str, Any],
    localns: Mapping[str, Any] | None,
) -> tuple[Shown, Arguments]:
    """The schema of a function's parameters, and what binds arguments to them; raises InvalidTool."""
    signature = read_signature(function, hints, localns=localns)
    docstring = read_docstring(function)
    adapter = adapter_of(function, signature)
    plain, others = _plain(function, signature, adapter, docstring)
    limited = None if strict is False else _strict(function, signature, plain, must=strict is True)
    shown = Shown(
        description=docstring.summary,
        parameters=without_siblings(plain if limited is None else limited),
        strict=limited is not None,
        takes_context=signature.context is not None,
    )
    other_reader = None if others is None else Reader(others, {**plain, "properties": {}}, what="arguments")
    return shown, Arguments(signature, reader=Reader(adapter, plain, what="arguments"), others=other_reader)


def _plain(
    function: Callable[..., Any], signature: Signature, adapter: TypeAdapter[Any], docstring: Docstring
) -> tuple[Schema, TypeAdapter[Any] | None]:
    """The JSON schema with descriptions and defaults, and what reads the values of `**kwargs`."""
    others: TypeAdapter[Any] | None = None
    try:
        if signature.extra is not EMPTY:
            adapter = adapter_of(function, signature, others=True)
            others = mapping_of(signature.extra)
        plain = generated(adapter)
    except InvalidTool:
        raise
    except Exception as error:
        raise invalid_type(function, signature, error) from error
    properties = plain.setdefault("properties", {})
    if others is not None:
        plain["additionalProperties"] = properties.pop(OTHERS) or True
    for parameter, (name, property_) in zip(signature.parameters, list(properties.items()), strict=True):
        properties[name] = _property(property_, parameter, docstring)
    return tidied({"type": "object", **plain}), others


def _property(schema: Schema, parameter: Parameter, docstring: Docstring) -> Schema:
    said = _own_description(parameter) or docstring.arguments.get(parameter.name)
    if said:
        schema = {**schema, "description": said}
    if parameter.default is EMPTY or parameter.default is ABSENT or "default" in schema:
        return schema
    try:
        default = to_jsonable_python(parameter.default)
        json.dumps(default, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return schema
    return {**schema, "default": default}


def _own_description(parameter: Parameter) -> str | None:
    """What the annotation says of the parameter, which goes before the docstring."""
    if get_origin(parameter.annotation) is not Annotated:
        return None
    for each in get_args(parameter.annotation)[1:]:
        text = each.description if isinstance(each, FieldInfo) else getattr(each, "documentation", None)
        if isinstance(text, str) and text:
            return text
    return None


def _strict(function: Callable[..., Any], signature: Signature, plain: Schema, *, must: bool) -> Schema | None:
    """The schema in strict mode; None, or InvalidTool if it `must` be, when strict mode does not have it."""
    lists = [each.name for each in signature.parameters if each.kind is inspect.Parameter.VAR_POSITIONAL]
    try:
        return strict_schema(plain, required=lists)
    except NotStrict as error:
        if not must:
            return None
        where = ".".join(error.path) or signature.extra_name or "its schema"
        raise InvalidTool(f"{label(function)} cannot be strict: {where} {error}, or use strict=False") from None
