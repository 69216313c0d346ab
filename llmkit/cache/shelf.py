"""Answers taken from a store and put into it: what all caches do, whatever they find an answer by."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, TypeVar

import httpx2
from openai.types import CreateEmbeddingResponse

from llmkit import runtime
from llmkit.cache.answers import whole
from llmkit.cache.counters import Counters
from llmkit.cache.entry import Entry, Selection
from llmkit.cache.replay import answer_of, events_of, replayed
from llmkit.cache.stats import CacheStats, saved_by
from llmkit.cache.store import CacheStore
from llmkit.cache.trouble import Trouble, Unavailable
from llmkit.record import CacheState, CallRecord, logger
from llmkit.request import Request
from llmkit.streaming.received import Received
from llmkit.usage.billing import known_cost

T = TypeVar("T")
Facts = Callable[[], Mapping[str, Any]]
"""Makes further fields of an entry."""

MOST_BYTES = 4_000_000
"""Of an answer as it is sent; longer ones are not kept."""
_FALLBACK_TTL = 60.0
"""Seconds, at most, for which the answer of a fallback is kept."""


class Shelf:
    """A store as calls use it: a store that fails costs no answer, and no call more than one failing command."""

    def __init__(self, store: CacheStore, *, on_error: Literal["open", "closed"], tool_calls: bool) -> None:
        if isinstance(store, type) or not callable(getattr(store, "get", None)):
            name = store.__qualname__ if isinstance(store, type) else type(store).__qualname__
            raise TypeError(
                f"store is {name}; pass MemoryStore(), SQLiteStore(path), RedisStore(url) or one of your own"
            )
        if on_error not in ("closed", "open"):  # pyright: ignore[reportUnnecessaryContains]
            raise ValueError(f"on_error={on_error!r} is unknown; use 'open' or 'closed'")
        self.store = store
        self.counters = Counters(store)
        self.reading, self.writing = Trouble("reading the store of a cache"), Trouble("writing to the store of a cache")
        self._lets_go = on_error == "open"
        self._tool_calls = tool_calls
        weakref.finalize(self, self.counters.close)

    async def ask(self, request: Request, command: Callable[[], T], *, about: Trouble, blocks: bool | None = None) -> T:
        """Do something that may fail; `Unavailable` when it does and calls shall go on without it.

        In a thread, if it `blocks`, as the store does unless you say.
        """
        clock = request.runtime
        if self._lets_go:
            about.check(clock.monotonic())
        try:
            in_thread = self.store.blocks if blocks is None else blocks
            done = await clock.run_blocking(command) if in_thread else command()
        except Exception as error:
            if not self._lets_go:
                error.add_note("The cache could not be asked and the call was not sent; on_error='open' would send it.")
                raise
            about.note(error, clock.monotonic())
            raise Unavailable from None
        about.over()
        return done

    async def find(self, key: str, request: Request) -> Entry | None:
        """The entry under `key`."""
        now = request.runtime.time()

        def get() -> Entry | None:
            entry = self.store.get(key, now=now)
            with suppress(Exception):  # they are kept, and the next write of an answer tells
                self.writing.check(request.runtime.monotonic())
                self.counters.write_if_due(now)
            return entry

        return await self.ask(request, get, about=self.reading)

    async def serve(self, entry: Entry, request: Request, *, state: CacheState = "hit", shared: bool = False) -> Any:
        """What the SDK makes of an entry; None, and the entry is dropped, when it cannot be made of it."""
        record = request.record
        _note_hit(record, entry, state)
        try:
            answer = await request.respond(*_as_asked(entry, request))
        except Exception as error:  # noqa: BLE001 - the API is asked instead, and what the caller's parser raises comes again
            note_miss(record)
            record.cache = "miss"
            logger.warning("the cached answer %s could not be used (%s); asking anew", entry.key, type(error).__name__)
            await self._drop(entry.key, request)
            return None
        self.counters.add(saved_by(entry) | ({"shared": 1} if shared else {}))
        return answer

    def entry_of(
        self, received: Received, request: Request, *, key: str, ttl: float | None, facts: Facts
    ) -> Entry | None:
        """The entry for a whole answer, None when it is none to be kept; never fails, and takes milliseconds."""
        try:
            return self._entry_of(received, request, key=key, ttl=ttl, facts=facts)
        except Exception as error:  # noqa: BLE001 - the answer has been paid for and must not be lost
            logger.warning("an answer could not be kept (%s)", type(error).__name__)
            return None

    def put(self, entry: Entry, request: Request) -> None:
        """Keep an entry; may block, and never fails."""
        clock = request.runtime
        try:
            self.writing.check(clock.monotonic())
            self.store.put(entry, now=entry.created_at)
        except Unavailable:
            return
        except Exception as error:  # noqa: BLE001 - the answer has been paid for and must not be lost
            self.writing.note(error, clock.monotonic())
            return
        self.writing.over()
        self.counters.add({"stored": 1})

    def _entry_of(
        self, received: Received, request: Request, *, key: str, ttl: float | None, facts: Facts
    ) -> Entry | None:
        record, content = request.record, received.content()
        if content is None or len(content) > MOST_BYTES:
            return None
        body = answer_of(request.operation, content) if request.stream else content
        if body is None or (request.stream and (record.estimated or record.total_tokens is None)):
            return None  # a stream without usage would be an answer without usage
        verdict = whole(request.operation, body)
        if not verdict.keep or (verdict.calls_tools and not self._tool_calls):
            return None
        now = request.runtime.time()
        if record.fallback:  # it stands in for another model, which may be back soon
            ttl = min(_FALLBACK_TTL, _FALLBACK_TTL if ttl is None else ttl)
        return Entry(
            key=key,
            operation=request.operation,
            model=request.model,
            body=body,
            events=replayed(request.operation, content) if request.stream else None,
            created_at=now,
            expires_at=None if ttl is None else now + ttl,
            request_id=received.request_id,
            tags=dict(request.tags),
            input_tokens=record.input_tokens or 0,
            output_tokens=record.output_tokens or 0,
            cost=known_cost(record),
            **facts(),
        )

    def invalidate(self, selection: Selection) -> tuple[list[str], int]:
        """Drop entries; their keys, and how many there were. May block."""
        keys = selected(self.store, selection, now=_now())
        return keys, self.store.delete(keys)

    def all_counts(self) -> dict[str, int]:
        """The counters of all who share the store; may block."""
        self.counters.write(now=_now())
        return self.store.counts()

    def stats(self) -> CacheStats:
        """The counters and what is in the store; may block."""
        return CacheStats.of(self.all_counts(), self.store.entries(now=_now()))

    async def _drop(self, key: str, request: Request) -> None:
        with suppress(Unavailable):
            await self.ask(request, lambda: self.store.delete([key]), about=self.writing)


def received_as(answer: Any, request: Request) -> Received | None:
    """The bytes behind an answer; None where a layer below has made it, but for embeddings, which are data."""
    received = request.record.received
    if received is not None and received.result is answer:
        return received
    if request.operation != "embeddings" or not isinstance(answer, CreateEmbeddingResponse):
        return None
    return Received(answer, httpx2.Response(200, content=answer.to_json().encode()))


def selected(store: CacheStore, selection: Selection, *, now: float) -> list[str]:
    """The keys of the entries that are meant; reads the list of all, but for a single key."""
    only_a_key = Selection(key=selection.key)
    if selection.key is not None and selection == only_a_key:
        return [selection.key]
    return [entry.key for entry in store.entries(now=now) if selection.has(entry, now=now)]


def _as_asked(entry: Entry, request: Request) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of the answer, as events or not; `cache-status` is that of RFC 9211."""
    now = request.runtime.time()
    left = "" if entry.expires_at is None else f"; ttl={entry.expires_at - now:.0f}"
    headers = {"cache-status": f"llmkit; hit{left}", "age": f"{max(0.0, now - entry.created_at):.0f}"}
    if entry.request_id is not None:
        headers["x-request-id"] = entry.request_id
    if not request.stream:
        return entry.body, headers | {"content-type": "application/json"}
    events = events_of(entry.operation, entry.body) if entry.events is None else entry.events
    return events, headers | {"content-type": "text/event-stream; charset=utf-8"}


def _note_hit(record: CallRecord, entry: Entry, state: CacheState) -> None:
    record.cache = state
    if record.total_tokens is None:  # else an earlier pass through the stack has been billed
        record.input_tokens = record.output_tokens = record.total_tokens = 0
    record.saved_input_tokens, record.saved_output_tokens = entry.input_tokens, entry.output_tokens
    record.saved_cost = entry.cost


def note_miss(record: CallRecord) -> None:
    """Take back what was noted of an answer from the cache, by an earlier pass or one that could not be used."""
    if not record.from_cache:
        return
    record.cache = None
    record.saved_input_tokens = record.saved_output_tokens = 0
    record.saved_cost = record.similar = None
    if record.total_tokens == 0:
        record.input_tokens = record.output_tokens = record.total_tokens = None


def _now() -> float:
    return runtime.current(is_async=False).time()
