"""Saying which tools there are to somebody who asked for another."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

_MOST: Final = 50


def known_names(wanted: str, names: Iterable[str]) -> str:
    """The names, those most like the wanted one first when there are many."""
    every = list(names)
    if not every:
        return "there are no tools"
    near = difflib.get_close_matches(wanted[:64], every, n=_MOST) if len(every) > _MOST else []
    listed = [*near, *(name for name in every if name not in near)][:_MOST]
    more = f" and {len(every) - _MOST} more" if len(every) > _MOST else ""
    return f"the tools are {', '.join(listed)}{more}"
