"""Typed functions as tools: schemas out, calls in, exactly one result for each. The loop is in `llmkit.tools.loop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.tools.answer_format import chat_format, parse_answer, responses_format
    from llmkit.tools.approval import Allow, Approve, Decision, Deny, Edit
    from llmkit.tools.call import ToolCall, calls_in
    from llmkit.tools.context import ToolContext
    from llmkit.tools.definition import Tool, declared, tool, tool_of
    from llmkit.tools.errors import InvalidAnswer, InvalidArguments, InvalidTool, ToolError, UnknownTool
    from llmkit.tools.options import ToolOptions
    from llmkit.tools.parts import FilePart, ImagePart, Part, TextPart
    from llmkit.tools.registry import ToolRegistry
    from llmkit.tools.result import ToolResult

__all__ = [
    "Allow",
    "Approve",
    "Decision",
    "Deny",
    "Edit",
    "FilePart",
    "ImagePart",
    "InvalidAnswer",
    "InvalidArguments",
    "InvalidTool",
    "Part",
    "TextPart",
    "Tool",
    "ToolCall",
    "ToolContext",
    "ToolError",
    "ToolOptions",
    "ToolRegistry",
    "ToolResult",
    "UnknownTool",
    "calls_in",
    "chat_format",
    "declared",
    "parse_answer",
    "responses_format",
    "tool",
    "tool_of",
]

_HOME = {
    "llmkit.tools.answer_format": ("chat_format", "parse_answer", "responses_format"),
    "llmkit.tools.approval": ("Allow", "Approve", "Decision", "Deny", "Edit"),
    "llmkit.tools.call": ("ToolCall", "calls_in"),
    "llmkit.tools.context": ("ToolContext",),
    "llmkit.tools.definition": ("Tool", "declared", "tool", "tool_of"),
    "llmkit.tools.errors": ("InvalidAnswer", "InvalidArguments", "InvalidTool", "ToolError", "UnknownTool"),
    "llmkit.tools.options": ("ToolOptions",),
    "llmkit.tools.parts": ("FilePart", "ImagePart", "Part", "TextPart"),
    "llmkit.tools.registry": ("ToolRegistry",),
    "llmkit.tools.result": ("ToolResult",),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
