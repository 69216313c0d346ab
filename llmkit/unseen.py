"""Texts of others as they may be shown: they do nothing where they stand. Pure."""

from __future__ import annotations

import re
from typing import Final

_UNSEEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What would move the cursor, colour, hide or turn around the rest of a line, and halves of characters."""
_BREAKS: Final = re.compile(r"[\t\n]")


def printable(text: str) -> str:
    """`text` for a terminal or a page, where an answer must do nothing: what is not seen is written out."""
    return _UNSEEN.sub(_written_out, text)


def in_line(text: str) -> str:
    """`text`, such as a name, as a part of one line."""
    return _BREAKS.sub(_written_out, printable(text))


def _written_out(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
