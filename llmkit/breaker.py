"""When a circuit opens, lets one probe through, and closes. Pure: no clock, no waiting, no lock."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "open", "half-open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitState:
    """The circuit of one model at one address; times are seconds on one clock."""

    base_url: str
    model: str | None
    state: State
    """"half-open" while a probe runs."""
    failures: int
    """Calls that have failed in a row, counted up to those that open it."""
    last_error: str | None
    """The class of the last failure."""
    retry_in: float
    """Seconds until a probe may run; 0 when calls, or a probe, may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`failures` in a row, `within` seconds, open a circuit for `cooldown` seconds."""

    failures: int
    within: float
    cooldown: float


class Breaker:
    """The state of one circuit. `enter` gives each call a number, and what is told with an old one is ignored."""

    __slots__ = ("_era", "_failed", "_limits", "_open_until", "_probing", "last_error")

    def __init__(self, limits: Limits) -> None:
        self.last_error: str | None = None
        self._limits = limits
        self._era = 0
        """Counts the changes of state: a call that began before one says nothing about what came after it."""
        self._failed: deque[float] = deque(maxlen=limits.failures)
        self._open_until: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        """What becomes of calls now."""
        if self._open_until is None:
            return "closed"
        return "half-open" if self._probing else "open"

    @property
    def failures(self) -> int:
        """Calls that have failed in a row."""
        return len(self._failed)

    def retry_in(self, now: float) -> float:
        """Seconds until a probe may run."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - now)

    def enter(self, now: float) -> int | None:
        """The number of a call that may run; None when it must not."""
        if self._open_until is None:
            return self._era
        if self._probing or now < self._open_until:
            return None
        self._probing = True
        self._era += 1
        return self._era

    def is_probe(self, number: int) -> bool:
        """Whether all other calls wait for what this one shows."""
        return self._probing and number == self._era

    def failed(self, number: int, now: float, error: str) -> bool:
        """Take in a failure; whether it opens the circuit."""
        if number != self._era:
            return False
        self.last_error = error
        self._failed.append(now)
        in_a_row = len(self._failed) == self._limits.failures and now - self._failed[0] <= self._limits.within
        if not (self._probing or in_a_row):
            return False
        self._change(open_until=now + self._limits.cooldown)
        return True

    def worked(self, number: int) -> bool:
        """Take in a success; whether it closes the circuit."""
        if number != self._era:
            return False
        self._failed.clear()
        if self._open_until is None:
            return False
        self._change(open_until=None)
        return True

    def told_nothing(self, number: int) -> None:
        """Take in that a call ended without showing how the server does: after a probe, the next call is one."""
        if self.is_probe(number):
            self._probing = False
            self._era += 1

    def _change(self, *, open_until: float | None) -> None:
        self._open_until = open_until
        self._probing = False
        self._era += 1
