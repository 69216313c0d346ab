"""A store or an index that fails, and is left alone for a while."""

from __future__ import annotations

from llmkit.errors import LLMKitError
from llmkit.pauses import Pause
from llmkit.record import logger


class Unavailable(Exception):
    """It has failed, and calls shall go on without it."""


class Trouble:
    """Whether something fails; said once in the log, until it has worked again."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._pause = Pause()

    def check(self, now: float) -> None:
        """Raise `Unavailable` while it is left alone."""
        if self._pause.lasts(now):
            raise Unavailable

    def over(self) -> None:
        """It has worked."""
        self._pause.over()

    def note(self, error: Exception, now: float) -> None:
        """It has failed; what others' errors say may quote anything."""
        if self._pause.failed(now):
            said = f": {error}" if isinstance(error, LLMKitError) else ""
            logger.warning("%s failed with %s%s; calls go on without it", self._what, type(error).__name__, said)
