"""Names of calls, so that a row that is written twice is there once."""

from __future__ import annotations

from itertools import count
from secrets import token_urlsafe

from llmkit.forks import begin_anew_in_children


class CallNames:
    """Names that no other process, fork, machine or restart gives."""

    def __init__(self) -> None:
        begin_anew_in_children(self)

    def begin(self) -> None:
        """Begin anew, under another prefix."""
        self._prefix = token_urlsafe(9)
        self._number = count(1).__next__

    def next(self) -> str:
        """The name of one more call; in any thread."""
        return f"{self._prefix}-{self._number()}"
