"""What OpenAI's strict mode takes of JSON Schema.

From the Structured Outputs guide, section "Supported schemas":
- types: string, number, boolean, integer, object, array, enum, anyOf; `const`, `$defs` and recursive `$ref`s, too;
- the root is an object and no anyOf; each object has `additionalProperties: false` and requires all its properties
  (an optional one is emulated by a union with null);
- strings: `pattern` (without lookaround), `format` one of date-time, time, date, duration, email, hostname, ipv4,
  ipv6, uuid ('uri' is not a valid format, the API says); no `minLength` and `maxLength` in the list;
- numbers: `multipleOf`, `maximum`, `exclusiveMaximum`, `minimum`, `exclusiveMinimum`; arrays: `minItems`, `maxItems`;
- not: `allOf`, `not`, `dependentRequired`, `dependentSchemas`, `if`, `then`, `else`; "default is not permitted",
  "oneOf is not permitted", "schema must have a 'type' key" are errors of the API;
- at most 5,000 properties, 10 levels, 1,000 enum values, 120,000 characters of names, enum and const values, and 15,000
  characters in an enum of more than 250 values.
https://developers.openai.com/api/docs/guides/structured-outputs, read in November 2026.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from llmkit.tools.size import Schema, is_schema, too_large

_KEPT: Final = (
    "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "minItems", "maxItems", "format",
)  # fmt: skip
_SILENT: Final = frozenset(("default", "deprecated", "readOnly", "writeOnly"))
_HANDLED: Final = frozenset(
    (
        "type", "enum", "const", "anyOf", "oneOf", "items", "prefixItems", "properties", "required",
        "additionalProperties", "description", "pattern", "$ref", "$defs", "minLength", "maxLength", "uniqueItems",
        "examples",
    )
)  # fmt: skip
_LOOKAROUND: Final = re.compile(r"\(\?<?[=!]")
_LONGEST: Final = 100
"""Characters of a default or an example that are worth their tokens."""
_NULL: Final = {"type": "null"}
_JSON_TYPES: Final[Mapping[type[Any], str]] = {
    str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null",
}  # fmt: skip


class NotStrict(Exception):
    """A schema that strict mode has no words for: where, and what to use instead."""

    def __init__(self, path: tuple[str, ...], reason: str) -> None:
        super().__init__(reason)
        self.path = path


def strict_schema(schema: Schema, *, required: Iterable[str] = (), compact: bool = False) -> Schema:
    """The schema as strict mode takes it, with null for what has a default; raises NotStrict.

    The properties in `required` do not take null. `compact` saves characters, else tokens as tools are shown.
    """
    writer = _Writer(schema.get("$defs", {}), compact=compact)
    strict = writer.node(schema, (), always=frozenset(required))
    if definitions := {name: writer.node(each, (name,)) for name, each in writer.definitions.items()}:
        strict["$defs"] = definitions
    if reason := too_large(strict):
        raise NotStrict((), reason)
    return strict


class _Writer:
    def __init__(self, definitions: Schema, *, compact: bool) -> None:
        self.definitions = definitions
        self._compact = compact

    def node(
        self, schema: Any, path: tuple[str, ...], *, always: frozenset[str] = frozenset(), optional: bool = False
    ) -> Schema:
        """The schema in strict mode; with null where it is `optional`."""
        if not is_schema(schema):
            raise NotStrict(path, "takes any value; give it a type")
        for keyword in schema:
            if keyword not in _HANDLED and keyword not in _SILENT and keyword not in _KEPT and keyword[:2] != "x-":
                raise NotStrict(path, f"uses {keyword!r}, which strict mode does not have; leave it out")
        strict = self._kind(schema, path, always)
        strict |= {key: schema[key] for key in _KEPT if key in schema}
        pattern = schema.get("pattern")
        if pattern is not None and not _LOOKAROUND.search(pattern):
            strict["pattern"] = pattern
        strict = described(strict, schema.get("description"), *_words(schema))
        variants = strict.get("anyOf", ())
        if len(variants) == 2 and variants[1] == _NULL and "description" not in variants[0]:
            del strict["anyOf"]
            return nullable({**variants[0], **strict}, compact=self._compact)
        is_nullable = not optional or accepts_null(strict, self.definitions)
        return strict if is_nullable else nullable(strict, compact=self._compact)

    def _kind(self, schema: Schema, path: tuple[str, ...], always: frozenset[str]) -> Schema:
        if "$ref" in schema:
            return {"$ref": schema["$ref"]}
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return {"anyOf": [self.node(each, path) for each in schema[key]]}
        if "enum" in schema or "const" in schema:
            return _constant(schema)
        kind = schema.get("type")
        if kind == "object":
            return self._object(schema, path, always)
        if kind == "array":
            return self._array(schema, path)
        if kind is None:
            raise NotStrict(path, "takes any value; give it a type")
        return {"type": kind}

    def _object(self, schema: Schema, path: tuple[str, ...], always: frozenset[str]) -> Schema:
        others = schema.get("additionalProperties", "properties" not in schema)
        if others is not False:
            raise NotStrict(path, "takes keys of any name; use a model or TypedDict that names them")
        required = {*schema.get("required", ()), *always}
        properties = {
            name: self.node(each, (*path, name), optional=name not in required)
            for name, each in schema.get("properties", {}).items()
        }
        return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}

    def _array(self, schema: Schema, path: tuple[str, ...]) -> Schema:
        if items := schema.get("prefixItems"):
            rest = [schema["items"]] if is_schema(schema.get("items")) else []
            kinds = [self.node(each, path) for each in (*items, *rest)]
            unique = [each for index, each in enumerate(kinds) if each not in kinds[:index]]
            return {"type": "array", "items": unique[0] if len(unique) == 1 else {"anyOf": unique}}
        if not is_schema(schema.get("items")):
            raise NotStrict(path, "has items of any type; name it, as in list[str]")
        return {"type": "array", "items": self.node(schema["items"], path)}


def nullable(schema: Schema, *, compact: bool) -> Schema:
    """A schema that takes null, too.

    In the text in which chat tools are shown to a model, a list of types repeats the description for each of them.
    """
    schema = dict(schema)
    description = {"description": schema.pop("description")} if "description" in schema else {}
    if "anyOf" in schema:
        return {"anyOf": [*schema["anyOf"], _NULL], **description}
    values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else None
    kind = schema.get("type")
    if values is not None:
        kinds: list[str] = [kind] if isinstance(kind, str) else list(kind or ())
        return {"type": [*kinds, "null"], "enum": [*values, None], **description}
    if isinstance(kind, str) and kind != "object" and (compact or (not description and len(schema) == 1)):
        return {**schema, "type": [kind, "null"], **description}
    return {"anyOf": [schema, _NULL], **description}


def accepts_null(schema: Schema, definitions: Mapping[str, Any]) -> bool:
    """Whether null is a value of the schema."""
    seen: set[str] = set()
    while "$ref" in schema and schema["$ref"] not in seen:
        seen.add(schema["$ref"])
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return any(accepts_null(each, definitions) for each in schema[key])
    if "enum" in schema or "const" in schema:
        return None in schema.get("enum", [schema.get("const", 0)])
    kind = schema.get("type", "null" if "$ref" not in schema else "")
    return kind == "null" or "null" in kind


def described(schema: Schema, text: str | None, *words: str) -> Schema:
    """The schema with a text and these sentences as its description."""
    said = [word for word in words if word]
    if text:
        said.insert(0, f"{text}." if said and text[-1] not in ".!?:;" else text)
    return {**schema, "description": " ".join(said)} if said else schema


def shown(value: object) -> str:
    """A value as JSON for a description; empty if it is no JSON data or long."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return ""
    return text if len(text) <= _LONGEST else ""


def _json_type(value: object) -> str:
    return _JSON_TYPES.get(type(value), "object")


def _constant(schema: Schema) -> Schema:
    """An enum or a const, with the type that the API asks for."""
    values: list[Any] = schema["enum"] if "enum" in schema else [schema["const"]]
    kinds = list(dict.fromkeys(_json_type(value) for value in values))
    kept: Schema = {"type": kinds[0] if len(kinds) == 1 else kinds}
    return {**kept, **{key: schema[key] for key in ("enum", "const") if key in schema}}


def _words(schema: Schema) -> list[str]:
    """What strict mode has no keyword for, in words."""
    words = [
        f"At {which} {count} character{'s' * (count != 1)}."
        for which, key in (("least", "minLength"), ("most", "maxLength"))
        if (count := schema.get(key)) is not None
    ]
    if schema.get("uniqueItems"):
        words.append("No duplicates.")
    if len(kinds := [_name(each) for each in schema.get("prefixItems", ())]) > 1 and len({*kinds}) > 1:
        words.append(f"In this order: {', '.join(kinds)}.")
    pattern = schema.get("pattern")
    if pattern is not None and _LOOKAROUND.search(pattern) and len(pattern) <= _LONGEST:
        words.append(f"Matches {pattern}")
    if schema.get("default") is not None and (default := shown(schema["default"])):
        words.append(f"Default: {default}.")
    if schema.get("examples") and (examples := shown(schema["examples"])):
        words.append(f"Examples: {examples[1:-1]}.")
    return words


def _name(schema: Schema) -> str:
    kind = schema.get("format") or schema.get("type") or str(schema.get("$ref", "")).rpartition("/")[2]
    return str(kind or " or ".join(_name(each) for each in schema.get("anyOf", ())) or "any")
