"""Budgets of one process, gone when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from threading import RLock

from llmkit.budgets.ledger import Charge, Refusal
from llmkit.budgets.windows import GRACE

_Key = tuple[str, str, str]


class MemoryLedger:
    """Keeps the figures in memory: an entry for each limit and each value of the tags, until its window is over."""

    blocks = False

    def __init__(self) -> None:
        self._spent: dict[_Key, int] = {}
        self._ends: dict[_Key, float] = {}
        self._next_sweep = 0.0
        self._lock = RLock()  # a stream that is collected may be settled while this very thread is inside

    def reserve(self, charges: Sequence[Charge], *, now: float) -> Refusal | None:
        """Book all charges or none."""
        with self._lock:
            self._sweep(now)
            for charge in charges:
                spent = self._spent.get(charge.key, 0)
                if charge.most is not None and spent + charge.amount > charge.most:
                    return Refusal(charge, spent)
            self._add(charges)
        return None

    def settle(self, charges: Sequence[Charge], *, once: str, now: float) -> None:
        """Book all charges."""
        with self._lock:
            self._add([charge for charge in charges if charge.ends + GRACE > now])

    def spent(self, charges: Sequence[Charge]) -> list[int]:
        """What is booked."""
        with self._lock:
            return [self._spent.get(charge.key, 0) for charge in charges]

    def __len__(self) -> int:
        """How many sums are kept."""
        return len(self._spent)

    def _add(self, charges: Sequence[Charge]) -> None:
        for charge in charges:
            self._spent[charge.key] = max(0, self._spent.get(charge.key, 0) + charge.amount)
            self._ends[charge.key] = charge.ends

    def _sweep(self, now: float) -> None:
        """Forget the windows that nobody asks for any more, at most once a minute."""
        if now < self._next_sweep:
            return
        self._next_sweep = now + 60
        for key in [key for key, ends in self._ends.items() if ends + GRACE <= now]:
            del self._spent[key], self._ends[key]
