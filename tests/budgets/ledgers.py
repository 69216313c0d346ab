from __future__ import annotations

import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from llmkit.budgets import Charge, Ledger, MemoryLedger, RedisLedger, Refusal, SQLiteLedger

NOW = 1_700_000_000.0
ENDS = NOW + 40
"""The end of the minute that NOW is in."""

KINDS = ["memory", "sqlite", "redis"]


def charge(
    amount: int,
    *,
    most: int | None = 100,
    scope: str = "user:user=alice",
    name: str = "minute_tokens",
    ends: float = ENDS,
) -> Charge:
    return Charge(scope=scope, name=name, window="2023-11-14T22:13", ends=ends, amount=amount, most=most)


@contextmanager
def opened(kind: str, redis_url: str) -> Iterator[Callable[[], Ledger]]:
    """Makes ledgers that keep the same figures (in memory: the same ledger)."""
    if kind == "memory":
        ledger = MemoryLedger()
        yield lambda: ledger
        return
    if kind == "redis":
        prefix = f"test-{uuid.uuid4().hex}"
        yield lambda: RedisLedger(redis_url, prefix=prefix)
        return
    with tempfile.TemporaryDirectory() as folder:
        made: list[SQLiteLedger] = []

        def make() -> Ledger:
            made.append(SQLiteLedger(Path(folder) / "budget.db"))
            return made[-1]

        yield make
        for each in made:
            each.close()


class Remote(MemoryLedger):
    """A ledger of one's own that does I/O, which can be slow, fail, or fail when all is done."""

    blocks = True

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.gate = threading.Event(), threading.Event()
        self.gate.set()
        self.fails = self.fails_late = False
        self.settled: list[tuple[str, list[int]]] = []

    def reserve(self, charges: Sequence[Charge], *, now: float) -> Refusal | None:
        self._work()
        return super().reserve(charges, now=now)

    def settle(self, charges: Sequence[Charge], *, once: str, now: float) -> None:
        self._work()
        if once not in [name for name, _ in self.settled]:
            self.settled.append((once, [charge.amount for charge in charges]))
            super().settle(charges, once=once, now=now)
        if self.fails_late:
            raise OSError("the answer was lost")

    def spent(self, charges: Sequence[Charge]) -> list[int]:
        self._work()
        return super().spent(charges)

    def _work(self) -> None:
        self.reached.set()
        self.gate.wait()
        if self.fails:
            raise OSError("no route to host")
