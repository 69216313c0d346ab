"""Response formats as the text a model is shown."""

from __future__ import annotations

import json
from typing import Any, Final

from llmkit.tokens.plain import is_list, is_mapping
from llmkit.tokens.schema_text import comment

_DROPPED: Final = frozenset(
    (
        "$schema", "additionalProperties", "default", "exclusiveMaximum", "exclusiveMinimum", "format", "maxItems",
        "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum", "multipleOf",
        "pattern", "required", "uniqueItems",
    )
)  # fmt: skip
_NAMED: Final = frozenset(("properties", "$defs", "definitions"))  # their keys are names, not keywords


def format_text(name: str, schema: object, description: object = None) -> str:
    """Return the text of a `json_schema` response format."""
    above = comment(description) + "\n" if isinstance(description, str) and description else ""
    body = json.dumps(_shown(schema), separators=(",", ":"))
    return f"# Response Formats\n\n## {name}\n\n{above}{body}"


def _shown(value: Any, *, names: bool = False) -> Any:
    """Return a schema without the keywords the model is not shown."""
    if is_list(value):
        return [_shown(item) for item in value]
    if not is_mapping(value):
        return value
    return {
        key: _shown(item, names=not names and key in _NAMED)
        for key, item in value.items()
        if names or key not in _DROPPED
    }
