"""A history as plain text, for a model to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import cast

from llmkit.context.items import Item, calls, read

_CHARACTERS = 8  # that a token has at most, roughly: what is longer is cut before it is tokenised


def transcript(items: Sequence[Item], max_tokens: int) -> str:
    """The items as text, a paragraph each; of a very long one the middle is left out."""
    text = "\n\n".join(line for item in items for line in _lines(item))
    half = max_tokens * _CHARACTERS // 2
    return text if len(text) <= 2 * half else f"{text[:half]}\n[...]\n{text[-half:]}"


def _lines(item: Item) -> Iterator[str]:
    role, kind = read(item, "role"), read(item, "type")
    text = _text(read(item, "content") if role else read(item, "output"))
    if text:
        yield f"{role or kind}: {text}"
    for call in read(item, "tool_calls") or ([item] if calls(item) else []):
        if line := _call(read(call, "function") or read(call, "custom") or read(call, "function_call") or call):
            yield line


def _call(call: Item) -> str:
    name = read(call, "name")
    return f"tool call {name}: {read(call, 'arguments') or read(call, 'input') or ''}" if name else ""


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple):
        return ""
    return " ".join(_part(part) for part in cast("Iterable[Item]", content))


def _part(part: Item) -> str:
    text = part if isinstance(part, str) else read(part, "text") or read(part, "refusal")
    return text if isinstance(text, str) else f"[{read(part, 'type')}]"
