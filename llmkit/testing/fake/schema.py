"""A small valid instance of a JSON schema, so that `.parse()` works on the fake with nothing queued."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

from llmkit.testing.fake.records import JSONObject, as_list, as_object

_FORMATS = {
    "date": "2024-01-01",
    "date-time": "2024-01-01T00:00:00Z",
    "duration": "PT0S",
    "email": "user@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "time": "00:00:00Z",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_DEPTHS = range(1, 65)


class _TooDeep(Exception):
    pass


def minimal_instance(schema: JSONObject) -> Any:
    """The shallowest instance of `schema`; `pattern`, `uniqueItems`, `contains` and `not` are ignored.

    Raises `ValueError` when the schema needs itself without end.
    """
    for depth in _DEPTHS:  # deepening step by step ends recursive schemas at their shortest branch
        with suppress(_TooDeep):
            return _instance(schema, schema, depth)
    raise ValueError("this JSON schema has no instance of fewer than 64 levels")


def _instance(schema: JSONObject, root: JSONObject, depth: int) -> Any:
    if depth == 0:
        raise _TooDeep
    if "$ref" in schema:
        return _instance(_resolve(schema["$ref"], root), root, depth - 1)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return _first_possible(options, root, depth)
    if "allOf" in schema:
        return _instance(_combined(schema, root), root, depth - 1)
    return _of_type(schema, root, depth)


def _of_type(schema: JSONObject, root: JSONObject, depth: int) -> Any:
    match _kind(schema):
        case "object":
            properties = as_object(schema.get("properties"))
            names = as_list(schema.get("required"))
            return {name: _instance(as_object(properties.get(name)), root, depth - 1) for name in names}
        case "array":
            return [_instance(item, root, depth - 1) for item in _items(schema)]
        case "string":
            text: str = _FORMATS.get(schema.get("format", ""), "")
            return text or "x" * schema.get("minLength", 0)
        case "integer" | "number" as kind:
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return False
        case _:
            return None


def _kind(schema: JSONObject) -> str:
    kind = schema.get("type", "object" if "properties" in schema else "null")
    if isinstance(kind, str):
        return kind
    kinds = as_list(kind)
    return "null" if "null" in kinds else kinds[0]


def _items(schema: JSONObject) -> list[JSONObject]:
    prefix = as_list(schema.get("prefixItems"))
    missing = schema.get("minItems", 0) - len(prefix)
    return [*prefix, *[as_object(schema.get("items"))] * missing]


def _first_possible(options: list[JSONObject], root: JSONObject, depth: int) -> Any:
    for option in sorted(options, key=lambda option: option.get("type") != "null"):
        with suppress(_TooDeep):
            return _instance(option, root, depth - 1)
    raise _TooDeep


def _resolve(reference: str, root: JSONObject) -> JSONObject:
    target = root
    for key in reference.removeprefix("#").strip("/").split("/"):
        target = as_object(target[key]) if key else target
    return target


def _combined(schema: JSONObject, root: JSONObject) -> JSONObject:
    result = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        result |= _resolve(part["$ref"], root) if "$ref" in part else part
    return result


def _number(schema: JSONObject, *, whole: bool) -> float:
    low: float = _first(schema, "minimum", "exclusiveMinimum", "maximum") or 0
    high: float = _first(schema, "maximum", "exclusiveMaximum") or low
    step: float = schema.get("multipleOf", 1)
    above, below = math.ceil(low / step) * step, math.floor(high / step) * step
    candidates = (0, above, above + step, low, high, below, below - step, (low + high) / 2)
    return next((value for value in candidates if _fits(value, schema, whole=whole)), 0)


def _first(schema: JSONObject, *names: str) -> float | None:
    return next((schema[name] for name in names if name in schema), None)


def _fits(value: float, schema: JSONObject, *, whole: bool) -> bool:
    return (
        schema.get("minimum", value) <= value <= schema.get("maximum", value)
        and schema.get("exclusiveMinimum", value - 1) < value < schema.get("exclusiveMaximum", value + 1)
        and (not whole or value == int(value))
        and _is_whole(value / schema.get("multipleOf", value or 1))
    )


def _is_whole(quotient: float) -> bool:
    return math.isclose(quotient, round(quotient), abs_tol=1e-9)
