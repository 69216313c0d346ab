"""The parts of a request that are not messages: tools, the choice among them, and the response format."""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from llmkit.tokens.formats import format_text
from llmkit.tokens.plain import is_mapping, listed, not_json, packed, plain_mapping
from llmkit.tokens.tally import Tally
from llmkit.tokens.tools_text import FRAME_START, Tool, custom_text, functions_text, grammar_text, name_of

HEADER: Final = "# Tools\n\n## functions\n\n"
ONE_CALL_AT_A_TIME: Final = 78  # parallel_tool_calls=False; harmony in Responses; one recorded call
CUSTOM_TOOL: Final = 13
GRAMMAR: Final = 35


@dataclass(frozen=True, slots=True)
class ToolTexts:
    """What the tools of a request become."""

    functions: str = ""
    names: tuple[str, ...] = ()  # of the functions
    custom: tuple[str, ...] = ()
    grammars: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def tool_texts(tools: object, *, chat: bool) -> ToolTexts:
    """Return the texts of `tools`; they are written once and then remembered by content."""
    if not tools:
        return ToolTexts()
    plain = [dict(plain_mapping(tool, "tools", index)) for index, tool in enumerate(listed(tools, "tools"))]
    return _remembered(packed(plain, "tools"), chat)


@lru_cache(maxsize=256)
def _remembered(content: bytes, chat: bool) -> ToolTexts:
    try:
        return _written(marshal.loads(content), chat)  # noqa: S302 (written by `packed`)
    except (RecursionError, TypeError):
        raise not_json("tools") from None


def _written(tools: Sequence[Tool], chat: bool) -> ToolTexts:
    kinds = [tool.get("type", "function") for tool in tools]
    inner = [_inner(tool, kind) for tool, kind in zip(tools, kinds, strict=True)]
    functions = [tool for tool, kind in zip(inner, kinds, strict=True) if kind == "function"]
    custom = [tool for tool, kind in zip(inner, kinds, strict=True) if kind == "custom"]
    doubts = [f"{kind} tool" for kind in kinds if kind not in ("function", "custom")]
    text, exact = functions_text(functions, chat=chat) if functions else ("", True)
    return ToolTexts(
        text,
        tuple(map(name_of, functions)),
        tuple(map(custom_text, custom)),
        tuple(filter(None, map(grammar_text, custom))),
        (*doubts, *([] if exact else ["a tool's schema"])),
    )


def _inner(tool: Tool, kind: object) -> Tool:
    """Return what Chat Completions puts under "function" or "custom", and Responses beside the type."""
    inner = tool.get(kind) if isinstance(kind, str) else None
    return inner if is_mapping(inner) else tool


def add_tools(tally: Tally, texts: ToolTexts, *, chat: bool, leading: str | None) -> str:
    """Add the tools; return the text that a response format continues, empty if there is none.

    `leading` is the text of a system message at the start, None if there is none.
    """
    for doubt in texts.doubts:
        tally.doubt(doubt)
    if tally.family.layout == "harmony" or texts.custom:
        _add_section(tally, texts, leading)
        return leading or ""
    if not texts.functions:
        return leading or ""
    measure = tally.memory.text
    if not chat:
        tally.tools += 4 + measure(texts.functions) - 1
        return ""
    if leading is None:
        joined = HEADER + texts.functions
        tally.tools += 4 + measure(joined) - 1
        return joined
    joined = f"{leading}\n\n{HEADER}{texts.functions}"
    tally.tools += measure(joined) - measure(leading) - 1
    return joined


def _add_section(tally: Tally, texts: ToolTexts, leading: str | None) -> None:
    """Add tools that have a section of their own."""
    if not texts.functions and not texts.custom:
        return
    measure = tally.memory.text
    tally.tools += tally.costs.tools
    if tally.costs.tools_join and leading is not None:
        tally.tools += measure(leading + "\n\n") - measure(leading) - 1
    if texts.functions:
        tally.tools += measure(texts.functions.removeprefix(FRAME_START))
    tally.tools += sum(CUSTOM_TOOL + measure(text) for text in texts.custom)
    tally.tools += sum(GRAMMAR + measure(text) for text in texts.grammars)


def add_choice(tally: Tally, choice: object, texts: ToolTexts, *, chat: bool) -> None:
    """Add what `tool_choice` (or the legacy `function_call`) costs."""
    if tally.family.layout == "harmony" or not texts.functions:
        return
    if choice == "none":
        tally.tools += 1
        return
    name: object = None
    if is_mapping(choice):
        inner = choice.get("function")
        name = (inner if is_mapping(inner) else choice).get("name")
    elif choice == "required" and not chat and len(texts.names) == 1:
        name = texts.names[0]
    if isinstance(name, str):
        tally.tools += tally.memory.text(f" to=functions.{name}") + 4


def add_format(tally: Tally, value: object, *, chat: bool, joined: str, texts: ToolTexts) -> int:
    """Add a `json_schema` format; return what it adds to each assistant message in the history."""
    if not value:
        return 0
    outer = plain_mapping(value, "the response format")
    if outer.get("type") != "json_schema":
        return 0
    form = outer.get("json_schema") if chat else outer
    form = plain_mapping(form, "response_format.json_schema")
    name = form.get("name")
    name = name if isinstance(name, str) else ""
    text = _format(packed([name, form.get("schema"), form.get("description")], "the schema of the response format"))
    measure, chatml = tally.memory.text, tally.family.layout == "chatml"
    if not chat:
        tally.response_format += measure(text) + (1 if chatml else 0)
        return 0
    if chatml and joined:
        tally.response_format += measure(f"{joined}\n\n{text}") - measure(joined)
    else:
        tally.response_format += measure(text) + 4
    if chatml and not texts.functions:
        tally.priming += 2 + measure(name)
    return 2 + measure(name)


@lru_cache(maxsize=256)
def _format(content: bytes) -> str:
    fields: list[Any] = marshal.loads(content)  # noqa: S302 (written by `packed`)
    try:
        return format_text(*fields)
    except (RecursionError, TypeError):
        raise not_json("the schema of the response format") from None
