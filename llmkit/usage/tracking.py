"""What the calls made in one part of a program use, added up."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable
from contextvars import ContextVar
from decimal import Decimal
from threading import RLock
from typing import Any, TypeVar

from llmkit.record import CallRecord
from llmkit.scopes import Scope
from llmkit.usage.billing import known_cost
from llmkit.usage.totals import Usage

T = TypeVar("T")

_entered: ContextVar[tuple[Tracker, ...]] = ContextVar("llmkit_tracked", default=())


class Tracker(Scope["Tracker"]):
    """Is told of every call that is made inside."""

    _entered = _entered

    @abstractmethod
    def began(self, record: CallRecord) -> None:
        """A call has begun; it comes before those that it makes in turn."""

    def _value(self) -> Tracker:
        return self


class track_usage(Tracker):
    """Adds up what every call made inside uses: `with track_usage() as used: ...`, then `used.usage`.

    Also a decorator. A stream counts when it has ended, be it after the block; an answer from a cache counts as a call
    without tokens and without cost. Clients whose stack is empty are not counted.
    """

    def __init__(self) -> None:
        self.usage = Usage()
        """Of the calls that have ended with an answer."""
        self.from_cache = 0
        """How many of them a cache has answered."""
        self._lock = RLock()  # a stream that is collected may end while this very thread is inside

    def began(self, record: CallRecord) -> None:
        """Have the call counted when it is over."""
        record.add_done_callback(self._count)

    def _count(self, record: CallRecord) -> None:
        if record.error is not None and record.total_tokens is None:
            return
        with self._lock:
            self.usage += _used(record)
            self.from_cache += record.from_cache


class OneCall(Tracker):
    """The usage of one call of a client, by its record: in the right tier, and nothing when a cache has answered."""

    def __init__(self) -> None:
        self._record: CallRecord | None = None

    def began(self, record: CallRecord) -> None:
        """Keep the first one: the others are made on its way."""
        self._record = self._record or record

    async def by(self, call: Awaitable[T]) -> T:
        """Await the call."""
        with self:
            return await call

    @property
    def from_cache(self) -> bool:
        """Whether a cache has answered it."""
        return self._record is not None and self._record.from_cache

    def usage(self, answer: Any) -> Usage:
        """What the call has used that has brought `answer`; as the answer says, where no record knows."""
        record = self._record
        if record is not None and (self.from_cache or not (record.total_tokens is None or record.estimated)):
            return _used(record)
        return Usage.of(answer.usage, model=answer.model, service_tier=getattr(answer, "service_tier", None))


def track(record: CallRecord) -> None:
    """Tell those who track calls here that one has begun."""
    for tracker in _entered.get():
        tracker.began(record)


def _used(record: CallRecord) -> Usage:
    return Usage(
        calls=1,
        input_tokens=record.input_tokens or 0,
        output_tokens=record.output_tokens or 0,
        total_tokens=record.total_tokens or 0,
        cached_tokens=record.cached_tokens or 0,
        cost=_cost(record),
    )


def _cost(record: CallRecord) -> Decimal | None:
    """None where something was used whose price is not known."""
    cost = known_cost(record) if record.cost is None else record.cost
    return cost if cost is not None or record.total_tokens or record.audio_seconds else Decimal(0)
