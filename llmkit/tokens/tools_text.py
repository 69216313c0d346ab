"""Tools as the text a model is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from llmkit.tokens.plain import is_mapping
from llmkit.tokens.schema_text import SchemaText, comment

FRAME_START: Final = "namespace functions {\n\n"
FRAME_END: Final = "} // namespace functions"

Tool = Mapping[str, Any]


def functions_text(functions: Sequence[Tool], *, chat: bool) -> tuple[str, bool]:
    """Return the text of function tools, given as {"name", "description", "parameters"}, and whether it is exact."""
    written = [function_text(function, chat=chat) for function in functions]
    return FRAME_START + "".join(text for text, _ in written) + FRAME_END, all(exact for _, exact in written)


def function_text(function: Tool, *, chat: bool) -> tuple[str, bool]:
    """Return the text of one function and whether it is exact."""
    start, parameters = f"{_above(function)}type {name_of(function)} = ", function.get("parameters")
    if not is_mapping(parameters):
        return f"{start}() => any;\n\n", True
    writer = SchemaText(parameters, chat=chat)
    text = writer.type_of(parameters) if parameters else "{}"
    argument = "" if text == "{}" else f"_: {writer.comments(parameters)}{text}"
    return f"{start}({argument}) => any;\n\n", writer.exact


def custom_text(tool: Tool) -> str:
    """Return the text of one custom tool, whose input is free text."""
    return f"{_above(tool)}type {name_of(tool)} = (FREEFORM) => any;\n\n{FRAME_END}"


def grammar_text(tool: Tool) -> str:
    """Return the text of a custom tool's grammar, empty if it has none."""
    shape = tool.get("format")
    shape = shape.get("grammar", shape) if is_mapping(shape) else None
    definition = shape.get("definition") if is_mapping(shape) else None
    return comment(definition) if isinstance(definition, str) else ""


def name_of(tool: Tool) -> str:
    """Return a tool's name; a ValueError says that it has none."""
    name = tool.get("name")
    if isinstance(name, str):
        return name
    raise ValueError(f"a tool has no name: {dict(tool)!r:.200}")


def _above(tool: Tool) -> str:
    description = tool.get("description")
    return comment(description) + "\n" if isinstance(description, str) and description else ""
