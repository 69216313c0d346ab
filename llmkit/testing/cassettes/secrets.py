"""Finds what looks like a credential in the text of a cassette."""

from __future__ import annotations

import base64
import binascii
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PLACEHOLDER = "sk-redacted"

# Also after an escape of JSON, YAML or a URL, whose last character is a letter or a digit.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[a-z])|(?<=\\x[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})|(?<=%[0-9A-Fa-f]{2}))"
_SAFE = r"(?:sk-redacted|sk-fake)(?![A-Za-z0-9])"
_KINDS = {
    "OpenAI API key": rf"{_START}(?!{_SAFE})sk-[A-Za-z0-9_-]{{8,}}",
    # The digit keeps prose such as "Bearer authentication" out.
    "bearer token": rf"{_START}(?i:Bearer)(?:[\s\\]|%20)+(?!{_SAFE})(?=[\w.~+/=-]*\d)[\w.~+/=-]{{8,}}",
    # As vcrpy writes a header: the name on one line, its value as the first list item on the next.
    "credential header": (
        r"(?im)^ *(?:authorization|(?:x-)?api-key|x-goog-api-key|cookie|set-cookie):\n *- +"
        rf"(?!['\"]?(?:Bearer +)?{_SAFE})\S"
    ),
    "organization id": rf"{_START}org-(?=[A-Za-z0-9]*[A-Z0-9])[A-Za-z0-9]{{8,}}",
    "project id": rf"{_START}proj_(?=[A-Za-z0-9]*[A-Z0-9])[A-Za-z0-9]{{8,}}",
}
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _KINDS.items()}
_BINARY = re.compile(r"!!binary \|-?\n((?: +[A-Za-z0-9+/=]+\n)+)")
_VARIABLES = ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN")
_SHORTEST_VALUE = 8  # a shorter value of a variable would be found in ordinary words


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Finding:
    """Where a credential was found and what kind it is; never what it is."""

    line: int
    kind: str


def find_secrets(text: str) -> list[Finding]:
    """List the credentials in a cassette, first line first; an empty list means it may be committed."""
    found = {Finding(line=_line(text, at), kind=kind) for at, kind in _search(text)}
    for block in _BINARY.finditer(text):
        line = _line(text, block.start())
        found.update(Finding(line=line, kind=kind) for _, kind in _search(_decoded(block[1])))
    return sorted(found)


def _search(text: str) -> Iterator[tuple[int, str]]:
    for kind, pattern in _PATTERNS.items():
        yield from ((match.start(), kind) for match in pattern.finditer(text))
    for variable in _VARIABLES:
        value = os.environ.get(variable, "")
        if len(value) < _SHORTEST_VALUE or re.fullmatch(rf"{_SAFE}.*", value):
            continue
        yield from ((match.start(), f"value of {variable}") for match in re.finditer(re.escape(value), text))


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _decoded(block: str) -> str:
    try:
        return base64.b64decode(block).decode("latin-1")
    except binascii.Error:
        return ""  # cut short by hand: nothing in it can be replayed either
