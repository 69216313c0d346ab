"""How large a schema may be in strict mode; the figures are those of OpenAI's guide, see `strict`."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypeIs

Schema = dict[str, Any]


def is_schema(value: object) -> TypeIs[Schema]:
    """Whether a value is a schema that says something: true and false are schemas, too."""
    return isinstance(value, dict)


def too_large(schema: Schema) -> str | None:
    """What is too large in a strict schema, and what to do; None for nothing."""
    sizes = _Sizes()
    sizes.add(schema, 0)
    for what, size, most in (
        ("properties", sizes.properties, 5_000),
        ("levels", sizes.levels, 10),
        ("enum values", sizes.values, 1_000),
        ("characters of names and enum values", sizes.characters, 120_000),
    ):
        if size > most:
            return f"has {size:,} {what}, strict mode takes {most:,}; shorten it"
    if sizes.largest_enum > 15_000:
        return "has an enum with over 15,000 characters, which strict mode does not take; shorten it"
    return None


class _Sizes:
    properties = levels = values = characters = largest_enum = 0

    def add(self, schema: Schema, level: int) -> None:
        properties: Schema = schema.get("properties", {})
        definitions: Schema = schema.get("$defs", {})
        values = schema["enum"] if "enum" in schema else [schema["const"]] if "const" in schema else []
        self.properties += len(properties)
        self.values += len(values)
        length = sum(len(value) for value in values if isinstance(value, str))
        self.characters += length + sum(map(len, properties)) + sum(map(len, definitions))
        self.largest_enum = max(self.largest_enum, length if len(values) > 250 else 0)
        level += schema.get("type") == "object"
        self.levels = max(self.levels, level)
        for each in (*properties.values(), *schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())):
            self.add(each, level)
        for each in definitions.values():
            self.add(each, 1)
