"""JSON schemas as models are shown them: without what costs tokens and says nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from llmkit.tools.size import Schema, is_schema
from llmkit.tools.strict import described

_MAPPINGS: Final = frozenset(("properties", "$defs", "patternProperties", "dependentSchemas"))
_LISTS: Final = frozenset(("anyOf", "oneOf", "allOf", "prefixItems"))
_SINGLE: Final = frozenset(
    ("items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else", "unevaluatedProperties")
)
_FORMATS: Final = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"))
"""The API refuses a schema with another one, strict or not: "'uri' is not a valid format"."""
_FORMAT_WORDS: Final = {"uri": "A URI.", "binary": "", "password": ""}
_SILENT: Final = frozenset(("title", "discriminator", "contentMediaType", "contentEncoding", "contentSchema"))


class _Generator(GenerateJsonSchema):
    ignored_warning_kinds = {"non-serializable-default", "skipped-choice"}  # noqa: RUF012 - as pydantic declares it

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema(adapter: TypeAdapter[Any]) -> Schema:
    """The JSON schema of a type, tidied."""
    return tidied(generated(adapter))


def generated(adapter: TypeAdapter[Any]) -> Schema:
    """The JSON schema of a type as pydantic writes it."""
    return adapter.json_schema(schema_generator=_Generator)


def tidied(schema: Schema) -> Schema:
    """The schema without titles, without `$defs` that are used once, and with formats the API refuses in words."""
    return _inlined(_tidy(schema))


def without_siblings(schema: Schema) -> Schema:
    """The schema with no key beside a `$ref`."""

    def visit(node: Schema) -> Schema:
        node = _mapped(node, visit)
        if "$ref" not in node or len(node) == 1:
            return node
        return {"anyOf": [{"$ref": node.pop("$ref")}], **node}

    return visit(schema)


def rooted(schema: Schema) -> Schema:
    """The schema with its root in place of a `$ref` to it: the root of parameters and answers is an object."""
    definitions = schema.get("$defs", {})
    if "$ref" not in schema:
        return schema
    return {**definitions[_target(schema)], "$defs": definitions}


def _tidy(node: Schema) -> Schema:
    tidy = {key: each for key, each in _mapped(node, _tidy).items() if key not in _SILENT}
    words = "JSON, as text." if node.get("contentMediaType") == "application/json" else ""
    kind = tidy.get("format")
    if kind is not None and kind not in _FORMATS:
        del tidy["format"]
        words = _FORMAT_WORDS.get(kind, f"Format: {kind}.")
    return described(tidy, tidy.get("description"), words)


def _inlined(schema: Schema) -> Schema:
    """The schema with each definition that is used once in place of its `$ref`."""
    definitions: Schema = schema.get("$defs", {})
    uses = Counter(_target(node) for node in _nodes(schema) if "$ref" in node)
    once = {name for name in definitions if uses[name] == 1}  # what is recursive is used by itself and from outside
    if not once:
        return schema

    def visit(node: Schema) -> Schema:
        if "$ref" in node and _target(node) in once:
            return visit({**definitions[_target(node)], **{key: each for key, each in node.items() if key != "$ref"}})
        return _mapped(node, visit)

    kept = {name: each for name, each in definitions.items() if name not in once}
    root = {key: each for key, each in schema.items() if key != "$defs"}
    return visit({**root, "$defs": kept} if kept else root)


def _target(node: Schema) -> str:
    return str(node["$ref"]).rpartition("/")[2]


def _nodes(schema: Any) -> Iterator[Schema]:
    """Each schema in a schema, itself included."""
    if is_schema(schema):
        yield schema
        for key, each in schema.items():
            if key in _SINGLE:
                yield from _nodes(each)
            elif key in _LISTS or key in _MAPPINGS:
                for inner in each.values() if key in _MAPPINGS else each:
                    yield from _nodes(inner)


def _mapped(node: Schema, visit: Callable[[Schema], Schema]) -> Schema:
    """A copy of a schema with the schemas right inside it changed."""
    mapped = dict(node)
    for key, each in node.items():
        if key in _SINGLE:
            mapped[key] = visit(each) if is_schema(each) else each
        elif key in _MAPPINGS:
            mapped[key] = {name: visit(inner) if is_schema(inner) else inner for name, inner in each.items()}
        elif key in _LISTS:
            mapped[key] = [visit(inner) if is_schema(inner) else inner for inner in each]
    return mapped
