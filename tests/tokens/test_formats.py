from __future__ import annotations

from llmkit.tokens.formats import format_text


def test_a_schema_is_shown_as_compact_json_without_its_constraints() -> None:
    schema = {
        "$schema": "x",
        "type": "object",
        "properties": {
            "format": {"type": "string", "format": "date", "title": "Größe"},
            "n": {"anyOf": ({"type": "integer", "minimum": 1},), "default": 3},
        },
        "required": ["format", "n"],
        "additionalProperties": False,
        "$defs": {"pattern": {"type": "string", "pattern": "a"}},
    }
    assert format_text("Size", schema, "A size.\n") == (
        "# Response Formats\n\n## Size\n\n// A size.\n"
        '{"type":"object","properties":{"format":{"type":"string","title":"Gr\\u00f6\\u00dfe"},'
        '"n":{"anyOf":[{"type":"integer"}]}},"$defs":{"pattern":{"type":"string"}}}'
    )


def test_a_missing_schema_is_shown_as_null_and_a_missing_description_not_at_all() -> None:
    assert format_text("X", None) == "# Response Formats\n\n## X\n\nnull"
