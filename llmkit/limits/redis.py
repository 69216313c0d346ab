"""Buckets in Redis, which any number of processes and machines share."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from llmkit.errors import RedisUnavailable
from llmkit.limits.backend import Limits, Ticket
from llmkit.limits.bucket import Amount, Mark
from llmkit.limits.headers import Told
from llmkit.limits.memory import MemoryBackend
from llmkit.limits.script import SCRIPT
from llmkit.redis_server import RedisServer

if TYPE_CHECKING:
    import redis

_MANY = 1_000
"""Buckets of which news are kept until the next call takes them to Redis."""
_AGAIN, _AGAIN_WITH_NEWS = 0.5, 0.1
"""Seconds after which a waiting call asks again: it moves up by what has been given back meanwhile."""
_GONE = object()
"""The memo of a call that has given up."""

Figure = float | Literal[False]
"""False where there is none: Lua's reader of JSON takes null for true."""


@dataclass(slots=True)
class _Held:
    """What a call has taken of the bucket made at `born`; it may go at `due`, unless it can move up."""

    born: float
    due: float
    places: list[float]
    moved: list[float]
    marks: tuple[Mark, Mark]
    asked: float


@dataclass(slots=True)
class _News:
    """What has happened since the last command to Redis; merged, so that it stays small."""

    unused: list[float] = field(default_factory=lambda: [0.0, 0.0])
    told: list[Figure] = field(default_factory=lambda: [False, False])
    remaining: list[Figure] = field(default_factory=lambda: [False, False])
    others: list[Figure] = field(default_factory=lambda: [False, False])
    born: float = 0.0
    paused_until: float = 0.0
    given_up: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def note(self, index: int, told: Told, held: _Held, limits: Limits) -> None:
        if told.per_minute is not None:
            self.told[index] = told.per_minute
        if told.remaining is None or held.born < self.born:
            return
        if held.born > self.born:  # a new bucket: what was noted for the old one is void
            self.born, self.others = held.born, [False, False]
        mark, limit = held.marks[index], min(limits.per_minute[index], self.told[index] or inf)
        if limit == inf:
            return
        if mark.left > limit * limits.burst_seconds / 60:  # as in bucket.py
            known = self.remaining[index]
            self.remaining[index] = told.remaining if known is False else min(known, told.remaining)
        else:
            self.others[index] = max(self.others[index] or 0.0, mark.left + mark.others - told.remaining)


class RedisBackend:
    """Keeps the buckets of a RateLimit in Redis (6 or newer), for all processes that use the same `prefix`.

    A call costs one command, which reserves its turn, and two to ten more for each second that it waits, to move up by
    what has been given back. What it did not use itself goes with the next command of its process. `on_error` says what
    happens while Redis does not answer within `timeout` seconds: with "open" each process goes on with buckets of its
    own of the same size, so that together they may send more; with "closed" calls raise `RedisUnavailable`. Either
    ends by itself. Keys vanish an hour after their last use. The server is a URL or a `redis.Redis`. `max_concurrency`
    is not shared.
    """

    def __init__(
        self,
        server: str | redis.Redis,
        *,
        prefix: str = "llmkit:limit",
        on_error: Literal["open", "closed"] = "open",
        timeout: float = 1.0,
    ) -> None:
        if on_error not in ("open", "closed"):  # pyright: ignore[reportUnnecessaryContains]
            raise ValueError(f"on_error={on_error!r} is unknown; use 'open' or 'closed'")
        self._server = RedisServer(server, timeout=timeout)
        self._prefix = prefix
        self._own = MemoryBackend() if on_error == "open" else None
        self._script: Any = None
        self._news: dict[str, _News] = {}
        self._lock = threading.RLock()  # a collected coroutine may come here while this very thread is inside

    async def ask(self, ticket: Ticket) -> float:
        """The seconds until the call may go; 0 when it may go now."""
        held = ticket.memo if isinstance(ticket.memo, _Held) else None
        now = ticket.runtime.monotonic()
        if held is not None:
            again = held.asked + (_AGAIN_WITH_NEWS if ticket.bucket in self._news else _AGAIN)
            if held.due <= now or now < again:
                return min(held.due, again) - now
        try:
            held = await self._server.run(ticket.runtime, lambda client: self._reserve(client, ticket, held))
        except RedisUnavailable:
            if held is not None:
                held.asked = now
                return held.due - now
            if self._own is None:
                raise
            return await self._own.ask(ticket)
        return held.due - ticket.runtime.monotonic()

    def drop(self, ticket: Ticket) -> None:
        """Give a reservation back with the next command."""
        with self._lock:
            held, ticket.memo = ticket.memo, _GONE
            if isinstance(held, _Held):
                self._give_up(ticket, held)

    def settle(self, ticket: Ticket, unused: Amount) -> None:
        """Give back what the call did not use with the next command."""
        if not isinstance(ticket.memo, _Held):
            self._in_memory(ticket).settle(ticket, unused)
            return
        with self._lock:
            given_back = self._news_of(ticket).unused
            given_back[:] = (given_back[0] + unused.requests, given_back[1] + unused.tokens)

    def note(self, ticket: Ticket, requests: Told, tokens: Told, *, pause: float) -> None:
        """Pass on what the server has told with the next command."""
        held = ticket.memo
        if not isinstance(held, _Held):
            self._in_memory(ticket).note(ticket, requests, tokens, pause=pause)
            return
        with self._lock:
            news = self._news_of(ticket)
            news.note(0, requests, held, ticket.limits)
            news.note(1, tokens, held, ticket.limits)
            if pause:
                news.paused_until = max(news.paused_until, ticket.runtime.monotonic() + pause)

    def _reserve(self, client: Any, ticket: Ticket, held: _Held | None) -> _Held:
        """Runs in a thread, which goes on when its call has been cancelled."""
        script = self._script = self._script or client.register_script(SCRIPT)
        asked = ticket.runtime.monotonic()
        with self._lock:
            news = self._news.pop(ticket.bucket, None) or _News()
        reply = script(
            keys=[f"{self._prefix}:{ticket.bucket}"], args=[_message(ticket, news, held, asked)], client=client
        )
        born, wait, *levels = map(float, reply)
        due = ticket.runtime.monotonic() + wait
        with self._lock:
            new = held is None or held.born != born
            if held is None or new:
                marks = Mark(*levels[2:4]), Mark(*levels[6:8])
                held = _Held(born, due, levels[0::4], levels[1::4], marks, asked)
            held.due, held.asked = due, asked
            if ticket.memo is not _GONE:
                ticket.memo = held
            elif new:
                self._give_up(ticket, held)
        return held

    def _give_up(self, ticket: Ticket, held: _Held) -> None:
        self._news_of(ticket).given_up.append({"born": held.born, "need": ticket.need})

    def _in_memory(self, ticket: Ticket) -> MemoryBackend:
        assert self._own is not None  # only this lets calls go without Redis
        return self._own

    def _news_of(self, ticket: Ticket) -> _News:
        if ticket.bucket not in self._news:
            while len(self._news) >= _MANY:
                del self._news[next(iter(self._news))]  # Redis fills the bucket in time, told or not
            self._news[ticket.bucket] = _News()
        return self._news[ticket.bucket]


def _message(ticket: Ticket, news: _News, held: _Held | None, now: float) -> str:
    return json.dumps(
        {
            "limits": [False if limit == inf else limit for limit in ticket.limits.per_minute],
            "burst": ticket.limits.burst_seconds,
            "need": ticket.need,
            "held": held is not None and {"born": held.born, "places": held.places, "moved": held.moved},
            "given_up": news.given_up,
            "unused": news.unused,
            "told": news.told,
            "remaining": news.remaining,
            "others": news.others,
            "born": news.born,
            "pause": max(0.0, news.paused_until - now),
        }
    )
