"""How far a batch job is, as one line of a terminal or a call of the user's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO, TypeAlias

Progress: TypeAlias = Callable[[int, int, int], object]
"""Called with the requests answered, failed, and all of them."""

_WIDTH = 30


class Bar:
    """A bar that is drawn again over itself."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_full = False

    def __call__(self, done: int, failed: int, total: int) -> None:
        """Draw it; the line ends when it is full."""
        if self._is_full:
            return
        self._is_full = done + failed >= total
        filled = "#" * (_WIDTH * (done + failed) // total)
        text = f"\rbatch [{filled:<{_WIDTH}}] {done + failed}/{total}{f', {failed} failed' if failed else ''}"
        self._stream.write(text + ("\n" if self._is_full else ""))
        self._stream.flush()


def progress_for(given: bool | Progress) -> Progress:
    """A bar on stderr where that is a terminal, the user's own function, or nothing."""
    if callable(given):
        return given
    return Bar(sys.stderr) if given and sys.stderr.isatty() else _say_nothing


def _say_nothing(done: int, failed: int, total: int) -> None: ...
