"""What the calls made in one part of a program use, added up."""

from __future__ import annotations

from collections.abc import Awaitable
from contextvars import ContextVar
from decimal import Decimal
from threading import RLock
from typing import TypeVar

from llmkit.errors import LLMKitError
from llmkit.record import CallRecord
from llmkit.scopes import Scope
from llmkit.usage.billing import cost_of
from llmkit.usage.totals import Usage

T = TypeVar("T")

_entered: ContextVar[tuple[track_usage, ...]] = ContextVar("llmkit_track_usage", default=())


class track_usage(Scope["track_usage"]):
    """Adds up what every call made inside uses: `with track_usage() as used: ...`, then `used.usage`.

    Also a decorator. A stream counts when it has ended, be it after the block; an answer from a cache counts as a call
    without tokens and without cost. Clients whose stack is empty are not counted.
    """

    _entered = _entered

    def __init__(self) -> None:
        self.usage = Usage()
        """Of the calls that have ended with an answer."""
        self.from_cache = 0
        """How many of them a cache has answered."""
        self._lock = RLock()  # a stream that is collected may end while this very thread is inside

    async def by(self, call: Awaitable[T]) -> T:
        """Await a call of a client, and nothing around it."""
        with self:
            return await call

    def note(self, record: CallRecord) -> None:
        """Count a call."""
        if record.error is not None and record.total_tokens is None:
            return
        used = Usage(
            calls=1,
            input_tokens=record.input_tokens or 0,
            output_tokens=record.output_tokens or 0,
            total_tokens=record.total_tokens or 0,
            cached_tokens=record.cached_tokens or 0,
            cost=_cost(record),
        )
        with self._lock:
            self.usage += used
            self.from_cache += record.from_cache

    def _value(self) -> track_usage:
        return self


def track(record: CallRecord) -> None:
    """Have a call that begins counted by those that track it."""
    for tracker in _entered.get():
        record.add_done_callback(tracker.note)


def _cost(record: CallRecord) -> Decimal | None:
    try:
        return cost_of(record) if record.cost is None else record.cost
    except LLMKitError:  # the extra is not there
        return None
