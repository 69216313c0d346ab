"""For how long something that fails is left alone, so that it does not delay every call."""

from __future__ import annotations

_FIRST, _LONGEST = 1.0, 8.0
"""Seconds; each failure that follows doubles them."""


class Pause:
    """A pause that grows with each failure, until something works; times are seconds on a clock of the caller's."""

    def __init__(self) -> None:
        self.seconds = 0.0
        """How long the last one is; 0 when it works."""
        self._until = 0.0

    def lasts(self, now: float) -> bool:
        """Whether to leave it alone."""
        return now < self._until

    def over(self) -> None:
        """It has worked."""
        self.seconds = self._until = 0.0

    def failed(self, now: float) -> bool:
        """It has failed; whether that is the first time since it has worked."""
        first = not self.seconds
        if now >= self._until:  # none of those that were under way when another one failed
            self.seconds = min(2 * self.seconds or _FIRST, _LONGEST)
            self._until = now + self.seconds
        return first
