"""JSON without the white space between its parts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from llmkit.context.items import Item
from llmkit.prompts.texts import Piece, is_json, keep_smaller, map_texts, pieces

_SPACE: Final = re.compile(r'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')


def minify_json(messages: Sequence[Item], *, model: str) -> list[Item]:
    """Write JSON compactly, where it is a whole text or the whole of a ```json block.

    Only the white space between its parts goes: numbers, escapes, duplicate keys and their order stay.
    """
    return keep_smaller(messages, [map_texts(message, _minify) for message in messages], model=model)


def _minify(text: str) -> str:
    if is_json(text):
        return _compact(text)
    return "".join(_block(piece) for piece in pieces(text))


def _block(piece: Piece) -> str:
    if piece.language != "json" or not piece.closed:
        return piece.text
    opening, *lines = piece.text.split("\n")
    closing = lines.pop() or f"{lines.pop()}\n"  # the last line is empty when the block ends with a line break
    inside = "\n".join(lines)
    return f"{opening}\n{_compact(inside)}\n{closing}" if is_json(inside) else piece.text


def _compact(text: str) -> str:
    """The text without white space outside of strings; no number or escape is read and written anew."""
    return _SPACE.sub(lambda found: found[1] or "", text)
