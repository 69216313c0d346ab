"""What a budget asks of the place that keeps its figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """An amount to book under one limit of one budget, in one window."""

    scope: str
    """Whose budget: its name and the values of its tags, "user:user=alice"."""
    name: str
    """Of the limit: "daily_usd"."""
    window: str
    """"2026-11-21T17:30", "2026-11-21" or "2026-11", in UTC."""
    ends: float
    """The end of the window, seconds since the epoch; an hour later nobody asks for it any more."""
    amount: int
    """Tokens or nano-dollars."""
    most: int | None
    """The sum must not exceed it; None for no limit."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What amounts are added up by."""
        return self.scope, self.name, self.window


class Refusal(NamedTuple):
    """A charge that does not fit, and what is booked under its key."""

    charge: Charge
    spent: int


class Ledger(Protocol):
    """Adds up amounts by `Charge.key`. Its methods are called from many threads, and may raise when they cannot."""

    blocks: bool
    """Whether the methods do I/O: async clients then call them in a thread."""

    def reserve(self, charges: Sequence[Charge], *, now: float) -> Refusal | None:
        """Book all charges, or none and tell which does not fit; no other `reserve` may come in between."""
        ...

    def settle(self, charges: Sequence[Charge], *, once: str, now: float) -> None:
        """Book all charges, which fit whatever the sum is; negative ones take back, down to 0.

        Called again with the same `once`, after an error that left open whether it was done, it does nothing if so.
        """
        ...

    def spent(self, charges: Sequence[Charge]) -> list[int]:
        """What is booked under the key of each charge, in their order."""
        ...
