"""No more requests and tokens per minute than a limit allows: calls wait their turn."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Literal

import openai

from llmkit.errors import RateLimitTimeout
from llmkit.expected import expected_tokens
from llmkit.figures import check_figures
from llmkit.limits.backend import Backend, Limits, Ticket
from llmkit.limits.bucket import Amount
from llmkit.limits.gate import Gate
from llmkit.limits.headers import NOTHING, Told, told
from llmkit.limits.memory import MemoryBackend
from llmkit.record import CallRecord
from llmkit.request import CallNext, Request
from llmkit.retries import MAX_SERVER_WAIT, QUOTA_CODES, server_wait

Per = Literal["model", "key"] | Callable[[Request], str] | None

_ANSWERS = frozenset({"chat.completions", "responses", "completions"})
_SPENT = Told(remaining=0.0)


class RateLimit:
    """Lets calls go when requests and tokens per minute allow it, first come, first served.

    A call reserves one request, its input tokens and the output it allows (`output_tokens` where it sets no limit);
    what it did not use is given back when it is over. A full bucket has `burst_seconds` worth of both. A call larger
    than that waits until as much has been saved up, and goes alone. `max_concurrency` caps the calls of this process
    that are running, streams included. A 429 stops its bucket for as long as the server asks.

    `per` says what has a bucket of its own, on each host: a "model"; a model with each "key", for a KeyRing above; a
    name that a function makes of the request; or with None the host. Limits and remaining amounts that the server
    tells (`x-ratelimit-*`) are a model's: they lower the figures of buckets per model or key, and are all there is
    where none are given. Calls wait for as long as it takes; after `timeout` seconds they raise `RateLimitTimeout`.
    Put it below Retry, so that each attempt counts.
    """

    def __init__(
        self,
        *,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        max_concurrency: int | None = None,
        per: Per = "model",
        burst_seconds: float = 60.0,
        timeout: float | None = None,
        output_tokens: int = 500,
        backend: Backend | None = None,
    ) -> None:
        check_figures(
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            max_concurrency=max_concurrency,
            burst_seconds=burst_seconds,
            timeout=timeout,
            output_tokens=output_tokens,
        )
        self._limits = Limits(
            requests_per_minute=_above_0("requests_per_minute", requests_per_minute),
            tokens_per_minute=_above_0("tokens_per_minute", tokens_per_minute),
            burst_seconds=_above_0("burst_seconds", burst_seconds),
        )
        if burst_seconds == inf:
            raise ValueError("burst_seconds=inf would let all calls go at once; use None for the figures instead")
        if max_concurrency is not None and max_concurrency < 1:
            raise ValueError(f"max_concurrency={max_concurrency!r} lets no call go; use at least 1, or None for no cap")
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout={timeout!r} is negative; use seconds, or None to wait for as long as it takes")
        if output_tokens < 0:
            raise ValueError(f"output_tokens={output_tokens!r} is negative; use what an answer usually has")
        if backend is not None and (isinstance(backend, type) or not callable(getattr(backend, "ask", None))):
            raise TypeError(
                f"backend is a {type(backend).__qualname__}; pass RedisBackend(url), MemoryBackend() or one of your own"
            )
        self._name = _naming(per)
        self._heeds_headers = per in ("model", "key")
        self._patience = inf if timeout is None else timeout
        self._output_tokens = output_tokens
        self._backend = MemoryBackend() if backend is None else backend
        self._gate = Gate(self._backend, max_concurrency=max_concurrency or inf)

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Wait for room, make the call, and give back what it did not use."""
        record = request.record
        ticket = Ticket(
            bucket=self._name(request), limits=self._limits, need=await self._need(request), runtime=request.runtime
        )
        await self._enter(ticket, record)
        headers_before = record.headers
        try:
            answer = await call_next(request)
        except BaseException as error:
            self._note(ticket, record, headers_before, error)
            self._over(ticket, used=_used_by_failure(error, ticket))
            raise
        self._note(ticket, record, headers_before, None)
        if request.stream or record.total_tokens is None:
            record.add_done_callback(functools.partial(self._done, ticket))
        else:
            self._done(ticket, record)
        return answer

    async def _need(self, request: Request) -> Amount:
        allowed = self._output_tokens if request.operation in _ANSWERS else 0
        return Amount(1, sum(await expected_tokens(request, output_tokens=allowed)))

    async def _enter(self, ticket: Ticket, record: CallRecord) -> None:
        clock = ticket.runtime
        began = clock.monotonic()
        record.queued = True
        try:
            admitted = await self._gate.enter(ticket, patience=self._patience)
        finally:
            waited = clock.monotonic() - began
            record.queued = False
            record.limit_wait += waited
        if not admitted:
            raise RateLimitTimeout(
                f"no room in the rate limit of {ticket.bucket!r} for a call of about {ticket.need.tokens:,.0f} tokens "
                f"after {waited:.1f} s; send less at a time, ask for less output, or give RateLimit a longer timeout",
                bucket=ticket.bucket,
                waited=waited,
                needed=int(ticket.need.tokens),
            )

    def _note(self, ticket: Ticket, record: CallRecord, before: object, error: BaseException | None) -> None:
        """Take in what the server has told, if this attempt had an answer of it."""
        if record.headers is before or not record.headers:
            return
        pause = _pause(error, now=ticket.runtime.time())
        silent = _SPENT if pause else NOTHING  # a server that refuses has nothing left
        headers: Mapping[str, str] = record.headers if self._heeds_headers else {}
        requests, tokens = (_or(told(headers, kind), silent) for kind in ("requests", "tokens"))
        if requests is not NOTHING or tokens is not NOTHING:
            self._backend.note(ticket, requests, tokens, pause=pause)
            self._gate.stir(ticket)

    def _done(self, ticket: Ticket, record: CallRecord) -> None:
        used = record.input_tokens if record.total_tokens is None else record.total_tokens
        self._over(ticket, used=ticket.need.tokens if used is None else used)

    def _over(self, ticket: Ticket, *, used: float) -> None:
        self._backend.settle(ticket, Amount(0, ticket.need.tokens - used))
        self._gate.leave(ticket)


def _above_0(name: str, given: float | None) -> float:
    if given is not None and not given > 0:
        raise ValueError(f"{name}={given!r} must be above 0")
    return inf if given is None else given


def _naming(per: Per) -> Callable[[Request], str]:
    if per is None:
        return lambda request: request.host
    if per == "model":
        return lambda request: _joined(request.host, request.model)
    if per == "key":
        return lambda request: _joined(request.host, request.record.key, request.model)
    if callable(per):
        return per
    raise ValueError(f"per={per!r} is unknown; use 'model', 'key', None, or a function of the request")


def _joined(*parts: str | None) -> str:
    return " ".join(str(part) for part in parts if part)


def _or(given: Told, otherwise: Told) -> Told:
    return otherwise if given is NOTHING else given


def _pause(error: BaseException | None, *, now: float) -> float:
    """Seconds for which the server wants no calls; a wait too long to be waited is left to its next refusal."""
    if not isinstance(error, openai.RateLimitError) or error.code in QUOTA_CODES:
        return 0.0
    wait = server_wait(error, now=now) or 0.0
    return wait if wait <= MAX_SERVER_WAIT else 0.0


def _used_by_failure(error: BaseException, ticket: Ticket) -> float:
    """None of its tokens when the server has refused it; all when it may have worked on it: timeouts, cancels."""
    unserved = isinstance(error, openai.APIStatusError | openai.APIConnectionError)
    return 0.0 if unserved and not isinstance(error, openai.APITimeoutError) else ticket.need.tokens
