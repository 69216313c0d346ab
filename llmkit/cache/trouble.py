"""A store or an index that fails, and is left alone for a while."""

from __future__ import annotations

from llmkit.errors import LLMKitError
from llmkit.record import logger

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 8.0
"""Seconds; each failure that follows doubles them."""


class Unavailable(Exception):
    """It has failed, and calls shall go on without it."""


class Trouble:
    """Whether something fails; said once in the log, until it has worked again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._pause = self._until = 0.0

    def check(self, now: float) -> None:
        """Raise `Unavailable` while it is left alone."""
        if now < self._until:
            raise Unavailable

    def over(self) -> None:
        """It has worked."""
        self._pause = self._until = 0.0

    def note(self, error: Exception, now: float) -> None:
        """It has failed; what others' errors say may quote anything."""
        if not self._pause:
            said = f": {error}" if isinstance(error, LLMKitError) else ""
            logger.warning("%s failed with %s%s; calls go on without it", self._what, type(error).__name__, said)
        if now >= self._until:  # none of those that were under way when another one failed
            self._pause = min(2 * self._pause or _FIRST_PAUSE, _LONGEST_PAUSE)
            self._until = now + self._pause
