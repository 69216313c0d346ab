"""The value of JSON text that is still arriving."""

from __future__ import annotations

from typing import Any

import jiter

from llmkit.streaming.surrogates import mended


def partial_json(text: str) -> Any:
    """What `text`, cut off anywhere, says so far: objects with the values seen, strings as far as they got.

    A name whose value has not begun, a cut literal (`tr`) and a cut escape are left out; a number at the very end may
    still grow. None when there is nothing yet, and when `text` is seen not to be JSON (or nests deeper than 200);
    what follows a complete value is ignored. Half of a surrogate pair, which JSON allows and UTF-8 does not, reads as
    U+FFFD.

    Reads `text` from its start each time: in a long stream call it when you draw, not for each piece.
    """
    try:
        return jiter.from_json(mended(text).encode(), partial_mode="trailing-strings")
    except ValueError:
        return None


def begins_json(text: str) -> bool:
    """Whether `text` is JSON that is not at its end yet, or a whole value."""
    try:
        jiter.from_json(mended(text).encode(), partial_mode=True)
    except ValueError:
        return False
    return True
