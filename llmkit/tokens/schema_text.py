"""JSON Schema as the TypeScript-like text in which models are shown the parameters of a tool."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from llmkit.tokens.plain import is_list, is_mapping

MAX_NODES: Final = 50_000  # types written for one tool; $refs that refer to each other can ask for billions
CHARACTERS: Final = 64  # of a comment; as many count as one type
SCALARS: Final = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}

Schema = Mapping[str, Any]


def _bounds(schema: Schema) -> str:
    return ", ".join(f"{key}: {literal(schema[key])}" for key in ("minimum", "maximum") if key in schema)


def comment(text: str) -> str:
    """Return `text` as `// ` lines, without a line break at the end."""
    lines = (line.strip() for line in text.strip().split("\n"))
    return "\n".join(f"// {line}" if line else "//" for line in lines)


def literal(value: object) -> str:
    """Return a constant or a default as JSON."""
    return json.dumps(value, ensure_ascii=False)


class SchemaText:
    """Writes the types of one tool; `exact` turns False where the API's own text is not known."""

    __slots__ = ("_chat", "_left", "_open", "_root", "exact")

    def __init__(self, root: Schema, *, chat: bool) -> None:
        self.exact = True
        self._root = root
        self._chat = chat
        self._left = MAX_NODES
        self._open: list[str] = []  # the $refs being written, to notice a cycle

    def type_of(self, value: object) -> str:
        """Return the type a schema describes; more than one line when properties have comments."""
        self._left -= 1
        if not is_mapping(value) or self._left < 0:
            self.exact = self.exact and value is True
            return "any"
        schema: Schema = value
        if "$ref" in schema:
            return self._reference(schema)
        if "enum" in schema and is_list(schema["enum"]):
            self._left -= len(schema["enum"])
            return " | ".join(map(literal, schema["enum"]))
        if "const" in schema:
            return literal(schema["const"])
        for key in ("anyOf", "oneOf"):
            if is_list(schema.get(key)) and schema[key]:
                return self._union(schema[key])
        return self._named(schema)

    def comments(self, value: object) -> str:
        """Return the title and description above a type, each line with its line break."""
        schema = self.resolved(value)
        title, description = schema.get("title"), schema.get("description")
        texts = [comment(text) for text in (title, description) if isinstance(text, str) and text]
        self._left -= sum(map(len, texts)) // CHARACTERS
        return "\n//\n".join(texts) + "\n" if texts else ""

    def remark(self, value: object) -> str:
        """Return the comment that follows a property: its default, and in chat its format."""
        schema = self.resolved(value)
        notes: list[str] = []
        if "default" in schema:
            notes.append(f"default: {literal(schema['default'])}")
        if self._chat and isinstance(schema.get("format"), str):
            notes.append(f"format: {schema['format']}")
        if schema.get("type") in ("integer", "number") and (bounds := _bounds(schema)):
            self.exact = False
            notes.append(bounds)
        return " // " + ", ".join(notes) if notes else ""

    def resolved(self, value: object) -> Schema:
        """Return a schema with its $ref replaced by what it refers to; keys beside the $ref win."""
        schema: Schema = value if is_mapping(value) else {}
        seen: set[str] = set()
        while isinstance(reference := schema.get("$ref"), str) and reference not in seen:
            seen.add(reference)
            beside = {key: item for key, item in schema.items() if key != "$ref"}
            schema = {**self._target(reference), **beside}
        self.exact = self.exact and "$ref" not in schema
        return schema

    def _target(self, reference: str) -> Schema:
        found: Any = self._root
        for step in reference.removeprefix("#").split("/")[1:]:
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if is_mapping(found) else None
        if not is_mapping(found):
            self.exact = False
            return {}
        return found

    def _reference(self, schema: Schema) -> str:
        reference = schema["$ref"]
        if reference in self._open or not isinstance(reference, str):
            self.exact = False
            return "any"
        self._open.append(reference)
        text = self.type_of({key: item for key, item in self.resolved(schema).items() if key != "$ref"})
        self._open.pop()
        return text

    def _union(self, variants: list[Any]) -> str:
        types = [self.type_of(variant) for variant in variants]
        notes = [self._variant_note(variant) for variant in variants]
        if not any(notes) and not any("\n" in text for text in types):
            return " | ".join(types)
        return "\n" + "".join(f" | {text}{note}\n" for text, note in zip(types, notes, strict=True))

    def _variant_note(self, variant: object) -> str:
        comments = self.comments(variant)
        return (" " + comments.removesuffix("\n") if comments else "") + self.remark(variant)

    def _named(self, schema: Schema) -> str:
        kind = schema.get("type")
        if is_list(kind):
            return self._listed(schema, kind)
        if kind == "array":
            return self._array(schema)
        if kind == "object" or (kind is None and "properties" in schema):
            return self.object_of(schema)
        return SCALARS.get(kind, "any") if isinstance(kind, str) else "any"

    def _listed(self, schema: Schema, kinds: Sequence[Any]) -> str:
        """Return the type of a list of type names; in chat each of them repeats the comments."""
        variants = [{**schema, "type": kind} for kind in kinds]
        if self._chat:
            return self._union(variants)
        bounds = _bounds(schema)
        types = [self._named(variant) for variant in variants]
        if not bounds or "number" not in types:
            return " | ".join(types)
        self.exact = False  # the layout is inferred from one schema
        return "".join(f"\n | {text}{' // ' + bounds if text == 'number' else ''}" for text in types)

    def _array(self, schema: Schema) -> str:
        items = schema.get("items", True)
        text, above = self.type_of(items), self.comments(items)
        if above or "\n" in text:
            return f"Array<\n{above}{text}\n>"
        return f"{text}[]"

    def object_of(self, schema: Schema) -> str:
        """Return an object's type: on one line when no property needs a comment or several lines."""
        properties = schema.get("properties")
        required = schema.get("required")
        names = required if is_list(required) else ()
        items = properties.items() if is_mapping(properties) else ()
        rows = [self._property(name, item, "" if name in names else "?") for name, item in items]
        if schema.get("additionalProperties") is True:
            rows.append(("", "[k: string]: any", ""))
        if not rows:
            return "{}"
        if any(above or after or "\n" in text for above, text, after in rows):
            return "{\n" + "".join(f"{above}{text},{after}\n" for above, text, after in rows) + "}"
        return "{ " + ", ".join(text for _, text, _ in rows) + " }"

    def _property(self, name: str, value: object, mark: str) -> tuple[str, str, str]:
        return self.comments(value), f"{name}{mark}: {self.type_of(value)}", self.remark(value)
