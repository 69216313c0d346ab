"""The texts of a message, and which of them a step may touch."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from llmkit.context.items import Item, change, read
from llmkit.tokens import count_text, count_tokens

_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_FENCE = re.compile(r"[ \t>]*(`{3,}(?=[^`]*$)|~{3,})\s*([^\s`]*)")


def map_texts(message: Item, change_text: Callable[[str], str]) -> Item:
    """The message with each text of its content passed through `change_text`; the message itself if none changed."""
    content = read(message, "content")
    if isinstance(content, str):
        changed: object = change_text(content)
    elif isinstance(content, list | tuple):
        parts = list(cast("Sequence[Item]", content))
        changed = [_map_part(part, change_text) for part in parts]
        if changed == parts:
            return message
    else:
        return message
    return message if changed == content else change(message, "content", changed)


def _map_part(part: Item, change_text: Callable[[str], str]) -> Item:
    text = read(part, "text")
    if not isinstance(text, str):
        return part
    changed = change_text(text)
    return part if changed == text else change(part, "text", changed)


def texts(message: Item) -> list[str]:
    """The texts of the message's content."""
    content = read(message, "content")
    if isinstance(content, str):
        return [content]
    parts = cast("Sequence[Item]", content) if isinstance(content, list | tuple) else ()
    return [text for part in parts if isinstance(text := read(part, "text"), str)]


def keep_smaller(before: Sequence[Item], after: Sequence[Item], *, model: str) -> list[Item]:
    """The messages of `after` whose texts have fewer tokens, else those of `before`; never more tokens in all."""
    kept = [_smaller(old, new, model) for old, new in zip(before, after, strict=True)]
    if all(new is old for old, new in zip(before, kept, strict=True)):
        return list(before)
    saves = count_tokens(kept, model=model).total < count_tokens(list(before), model=model).total
    return kept if saves else list(before)


def _smaller(old: Item, new: Item, model: str) -> Item:
    if new is old:
        return old
    sizes = [sum(count_text(text, model=model) for text in texts(message)) for message in (old, new)]
    return new if sizes[1] < sizes[0] else old


def is_json(text: str) -> bool:
    """Whether the text is one JSON object or list, and nothing else."""
    if text.lstrip()[:1] not in {"{", "["}:
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a text: prose, or a fenced block with its fences."""

    text: str
    language: str | None = None
    """What the opening fence names, perhaps nothing; None for prose."""
    closed: bool = True
    """False for a block whose fence is never closed: it reaches to the end of the text."""


def pieces(text: str) -> Iterator[Piece]:
    """The text cut at its fences."""
    lines: list[str] = []
    fence, language = "", None
    for line in cast("list[str]", _LINES.findall(text)):
        found = _FENCE.match(line)
        if found and not fence:
            if lines:
                yield Piece("".join(lines))
            lines, fence, language = [line], found[1], found[2].lower()
            continue
        lines.append(line)
        if found and _closes(line.strip(" \t>\r\n"), fence):
            yield Piece("".join(lines), language)
            lines, fence, language = [], "", None
    if lines:
        yield Piece("".join(lines), language, closed=not fence)


def _closes(line: str, fence: str) -> bool:
    return len(line) >= len(fence) and not line.strip(fence[0])
