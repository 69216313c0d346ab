"""`warm`: calls made ahead of time, so that a cache has their answers when somebody asks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Final, cast

import anyio
import openai

from llmkit import runtime
from llmkit.cache.per_call import caching
from llmkit.cache.store import CacheStore
from llmkit.cache.wanted import FIELDS, InvalidRequest, Wanted, read_wanted
from llmkit.errors import LLMKitError
from llmkit.figures import check_figures
from llmkit.guidance import explain
from llmkit.middleware.rate_limit import RateLimit
from llmkit.record import CallRecord
from llmkit.request import CallNext, Middleware, Request
from llmkit.tagging import tags

_AT_ONCE: Final = 1.0
"""Seconds' worth of requests that may go at once, but one request at least: a whole minute's would double the limit."""
_ALONE: Final = "Make one such call by itself to see the message, which may quote the request."
_records: ContextVar[list[CallRecord]] = ContextVar("llmkit_warmed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed:
    """What came of some requests."""

    made: int = 0
    """Answered by the API, and kept."""
    present: int = 0
    """Already in the cache."""
    not_kept: int = 0
    """Answered by the API, but of a kind that the cache does not keep; they were billed all the same."""
    failed: int = 0
    errors: Mapping[str, int] = field(default_factory=dict[str, int])
    """How often each class of error ended a request."""
    hints: Mapping[str, str] = field(default_factory=dict[str, str])
    """What to do about it, by the same names, from the first of each."""

    @property
    def done(self) -> int:
        """All of them."""
        return self.made + self.present + self.not_kept + self.failed


async def warm(
    client: openai.AsyncOpenAI,
    requests: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
    *,
    concurrency: int = 8,
    requests_per_minute: float | None = None,
    on_progress: Callable[[Warmed], object] | None = None,
) -> Warmed:
    """Make the calls whose answers the `Cache` of `client` does not have yet; one that fails does not stop the others.

    A request is the body of a call (`{"model": ..., "messages": [...]}`), a line of a batch file, or
    `{"operation": "chat.completions", "body": {...}}`, each with the "tags" of its entry if it has any. They are read
    as they are needed, so they may be endless. `requests_per_minute` holds for what is sent, retries included, and
    not for what is there already. `on_progress` is called after each request. An error of `requests` or of
    `on_progress` is raised when the calls under way are over, which are kept. What was made stays when the task is
    cancelled.
    """
    check_figures(concurrency=concurrency, requests_per_minute=requests_per_minute)
    if concurrency < 1:
        raise ValueError(f"concurrency={concurrency!r} makes no call; use at least 1")
    layers = _layers(client)
    stores: list[CacheStore] = [cast("Any", layer).store for layer in layers if hasattr(layer, "store")]
    if not stores:
        raise TypeError("warm() takes a client whose middleware has a Cache; this one's would keep no answer")
    pace = () if requests_per_minute is None else (_steady(requests_per_minute),)
    noting = cast("Any", client).with_options(middleware=[_note, *layers, *pace])
    warming = _Warming(noting, stores, on_progress, anyio.Semaphore(concurrency))
    try:
        await warming.run(requests)
    except BaseExceptionGroup as ended:  # by SystemExit in `requests`
        raise ended.exceptions[0] from None
    return warming.warmed


class _Warming:
    """Makes calls, at most as many at a time as are `free`, and counts what comes of them."""

    def __init__(
        self,
        client: Any,
        stores: Sequence[CacheStore],
        on_progress: Callable[[Warmed], object] | None,
        free: anyio.Semaphore,
    ) -> None:
        self.warmed = Warmed()
        self._free = free
        self._broken: Exception | None = None
        self._client = client
        self._stores = stores
        self._on_progress = on_progress

    async def run(self, requests: Iterable[Any] | AsyncIterable[Any]) -> None:
        """Make all calls; an error of the user's own ends it when what is under way, and paid for, is over."""
        async with anyio.create_task_group() as group, aclosing(_each(requests)) as each:
            try:
                async for request in each:
                    await self._free.acquire()
                    if self._broken is not None:
                        break
                    group.start_soon(self._make, request)
            except Exception as error:  # noqa: BLE001 - raised below
                self._broken = error
        if self._broken is not None:
            raise self._broken

    async def _make(self, request: object) -> None:
        """Make one call; whatever is wrong with it is no matter of the others."""
        try:
            outcome = await self._outcome(request)
            warmed = replace(self.warmed, **{outcome: getattr(self.warmed, outcome) + 1})
        except Exception as error:  # noqa: BLE001
            warmed = _with_failure(self.warmed, error)
        self.warmed = warmed
        if self._broken is None:
            self._tell()
        self._free.release()

    def _tell(self) -> None:
        try:
            if self._on_progress is not None:
                self._on_progress(self.warmed)
        except Exception as error:  # noqa: BLE001 - raised by `run`
            self._broken = error

    async def _outcome(self, request: object) -> str:
        wanted = read_wanted(request)
        records: list[CallRecord] = []
        _records.set(records)  # of this task alone
        with tags(**wanted.tags), caching(count=False):
            await _call(self._client, wanted)
        record = records[0]
        if record.from_cache:
            return "present"
        key, clock = record.cache_key, runtime.current(is_async=True)
        if key is None:  # no cache looks at such a request
            return "not_kept"
        kept = await clock.run_blocking(lambda: any(store.get(key, now=clock.time()) for store in self._stores))
        return "made" if kept else "not_kept"


async def _note(request: Request, call_next: CallNext) -> Any:
    """The outermost layer: what it notes is complete when the call is over."""
    _records.get().append(request.record)
    return await call_next(request)


def _with_failure(warmed: Warmed, error: Exception) -> Warmed:
    name = type(error).__name__
    hints = warmed.hints if name in warmed.hints else {**warmed.hints, name: _hint(error)}
    errors = {**warmed.errors, name: warmed.errors.get(name, 0) + 1}
    return replace(warmed, failed=warmed.failed + 1, errors=errors, hints=hints)


def _hint(error: Exception) -> str:
    if isinstance(error, InvalidRequest | LLMKitError):  # which say what to do, without a word of the request
        return str(error)
    explanation = explain(error)
    return _ALONE if explanation.kind == "unknown" else explanation.todo


def _layers(client: Any) -> Sequence[Middleware]:
    if not isinstance(client, openai.AsyncOpenAI) or not hasattr(client, "_llmkit"):
        raise TypeError(f"warm() takes an llmkit.AsyncOpenAI with a Cache, not a {type(client).__qualname__}")
    layers: Sequence[Middleware] = cast("Any", client)._llmkit.middleware
    return layers


def _steady(requests_per_minute: float) -> RateLimit:
    at_once = max(_AT_ONCE, 60 / requests_per_minute) if requests_per_minute > 0 else _AT_ONCE
    return RateLimit(requests_per_minute=requests_per_minute, burst_seconds=at_once)


async def _each(requests: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
        return
    for request in requests:
        yield request


async def _call(client: Any, wanted: Wanted) -> None:
    """Make the call by the SDK's own method, so that its key is that of an ordinary call."""
    typed = ("model", *FIELDS[wanted.operation])  # the model always: by it Azure's client finds the deployment
    named = {name: wanted.body[name] for name in typed if name in wanted.body}
    rest = {name: value for name, value in wanted.body.items() if name not in named}
    await attrgetter(wanted.operation)(client).create(**named, extra_body=rest)
