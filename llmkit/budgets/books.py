"""A ledger as calls use it: nothing that is set aside is lost, whatever is cancelled or fails."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from threading import Lock, RLock
from typing import NamedTuple

from llmkit.budgets.ledger import Charge, Ledger, Refusal
from llmkit.record import logger
from llmkit.runtime import Runtime, current


class _Batch(NamedTuple):
    once: str
    charges: list[Charge]


class Books:
    """A ledger, and what is to be written to it with the next command.

    A call ends where nothing can be awaited (a stream closed, a task cancelled), so settling only notes the charges.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = RLock()  # a stream that is collected may be settled while this very thread is inside
        self._noted: dict[tuple[str, str, str], Charge] = {}
        self._failed: list[_Batch] = []

    async def reserve(self, charges: Sequence[Charge], *, now: float, runtime: Runtime) -> Refusal | None:
        """Book all charges or none and tell which does not fit; what was noted is written first."""
        if not self._ledger.blocks:
            return self._ledger.reserve(charges, now=now)
        handover = _Handover()

        def work() -> Refusal | None:
            self.write(now=now)
            refusal = self._ledger.reserve(charges, now=now)
            if refusal is None and not handover.done():
                self.note(back(charges), now=now)
                self.write(now=now)
            return refusal

        try:
            return await runtime.run_blocking(work)
        except BaseException:
            if handover.left():
                self.note(back(charges), now=now)
            raise

    def note(self, charges: Iterable[Charge], *, now: float) -> None:
        """Book the charges, at once or with the next command; never blocks and never fails."""
        if not self._ledger.blocks:
            self._ledger.settle(_added_up({}, charges), once="", now=now)
            return
        with self._lock:
            self._noted = {charge.key: charge for charge in _added_up(self._noted, charges)}

    async def write_soon(self, *, runtime: Runtime) -> None:
        """Write what was noted; when that fails it is kept for the next command."""
        if not self._noted and not self._failed:
            return
        now = runtime.time()
        try:
            await runtime.run_blocking(lambda: self.write(now=now))
        except Exception as error:  # noqa: BLE001 - the answer has been paid for and must not be lost
            logger.debug("the budget's ledger failed with %s; it is told with the next call", type(error).__name__)

    def write(self, *, now: float) -> None:
        """Write what was noted; blocks."""
        while batch := self._next_batch():
            try:
                self._ledger.settle(batch.charges, once=batch.once, now=now)
            except BaseException:
                with self._lock:
                    self._failed.append(batch)  # under its name: it may have been written all the same
                raise

    def close(self) -> None:
        """Write what was noted, at the end of the process; blocks, and never fails."""
        try:
            self.write(now=current(is_async=False).time())
        except Exception as error:  # noqa: BLE001 - nobody is left to handle it
            logger.warning("what calls have used could not be written to a ledger: %s", type(error).__name__)

    def spent(self, charges: Sequence[Charge], *, now: float) -> dict[str, int]:
        """What is booked, by the names of the charges; blocks."""
        self.write(now=now)
        amounts = self._ledger.spent(charges)
        return {charge.name: amount for charge, amount in zip(charges, amounts, strict=True)}

    def _next_batch(self) -> _Batch | None:
        with self._lock:
            if self._failed:
                return self._failed.pop()
            noted, self._noted = self._noted, {}
        return _Batch(uuid.uuid4().hex, list(noted.values())) if noted else None


class _Handover:
    """Whether a call still waits when its thread has made a reservation; both may look at the same moment."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._done = self._left = False

    def done(self) -> bool:
        """The thread has reserved; False when the call is gone."""
        with self._lock:
            self._done = True
            return not self._left

    def left(self) -> bool:
        """The call is going; True when the thread has reserved."""
        with self._lock:
            self._left = True
            return self._done


def back(charges: Iterable[Charge]) -> list[Charge]:
    """What takes the charges back."""
    return [replace(charge, amount=-charge.amount) for charge in charges]


def _added_up(noted: dict[tuple[str, str, str], Charge], charges: Iterable[Charge]) -> list[Charge]:
    """One charge for each key, and none for those that come to nothing."""
    sums = dict(noted)
    for charge in charges:
        before = sums.get(charge.key)
        sums[charge.key] = charge if before is None else replace(charge, amount=before.amount + charge.amount)
    return [charge for charge in sums.values() if charge.amount]
