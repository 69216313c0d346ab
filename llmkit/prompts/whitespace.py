"""White space that prose does not need."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from llmkit.context.items import Item, read
from llmkit.prompts.texts import is_json, keep_smaller, map_texts, pieces, texts

_CODE: Final = re.compile(
    r"""^(?:\t|\ {2,})\s*(?!(?:[-*+•]|\d+[.)])\s)\S   # indented, and no item of a list
    |^(?:@@|\+\+\+|---)\s\S                            # a diff
    |[{};\\]\s*$""",
    re.VERBOSE,
)
_GAP: Final = re.compile(r"(?<=[^\s.!?:;,])[ ]{2,}(?=\S)")  # not the two spaces after a sentence
_RUN: Final = re.compile(r"(?<=\S)[ ]{2,}(?=\S)")
_BLANK_LINES: Final = re.compile(r"\n{3,}")
_DATA_ROLES: Final = frozenset({"tool", "function"})


def squeeze_whitespace(messages: Sequence[Item], *, model: str) -> list[Item]:
    """Take trailing spaces, runs of blank lines and runs of spaces out of prose.

    Left as they are: tool results, JSON, fenced blocks, and whatever outside of them looks like code or a table.
    """
    return keep_smaller(messages, [_squeezed(message) for message in messages], model=model)


def _squeezed(message: Item) -> Item:
    if read(message, "role") in _DATA_ROLES:
        return message
    found = texts(message)
    if len(found) > 1 and not all(piece.closed for text in found for piece in pieces(text)):
        return message  # a fence may be closed in a later part
    return map_texts(message, _squeeze)


def _squeeze(text: str) -> str:
    if is_json(text):
        return text
    return "".join(piece.text if piece.language is not None else _squeeze_prose(piece.text) for piece in pieces(text))


def _squeeze_prose(text: str) -> str:
    lines = text.split("\n")
    if any(_CODE.search(line) for line in lines):
        return text
    return _BLANK_LINES.sub("\n\n", "\n".join(_tidy(lines, index) for index in range(len(lines))))


def _tidy(lines: list[str], index: int) -> str:
    line = lines[index].rstrip(" \t\r")
    if "\t" in line:
        return lines[index]  # tab-separated: an empty last column counts
    if any(mark in line for mark in '|"`') or _is_row(lines, index):
        return line
    return _RUN.sub(" ", line)


def _is_row(lines: list[str], index: int) -> bool:
    """Whether gaps in the line seem to align columns: there are two, or a line beside it has one, too."""
    gaps = len(_GAP.findall(lines[index]))
    beside = [*lines[max(index - 1, 0) : index], *lines[index + 1 : index + 2]]
    return gaps > 1 or (gaps == 1 and any(_GAP.search(line) for line in beside))
