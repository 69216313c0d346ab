"""Leaving a model alone for a while when it keeps failing."""

from __future__ import annotations

from collections import OrderedDict
from threading import RLock
from typing import Any

import openai

from llmkit import runtime
from llmkit.breaker import Breaker, CircuitState, Limits
from llmkit.errors import CallTimeout, CircuitOpen, InvalidResponse
from llmkit.figures import check_figures
from llmkit.record import CallRecord, logger
from llmkit.request import CallNext, Request
from llmkit.retries import RetryOn, check_retry_on, is_one_of

_FAILURES = (openai.APIConnectionError, openai.InternalServerError, InvalidResponse)
_TIMEOUTS = frozenset({"CallTimeout", "APITimeoutError"})
_BY_CHOICE = frozenset({"CancelledError", "Cancelled", "GeneratorExit", "KeyboardInterrupt"})
"""What ends a stream and says nothing about the server."""
_SERVERS_FAULT = (None, "server_error")
"""Codes of an error within a stream; the others are about the request or its pace."""
_WORKED = ""
"""The outcome of a call beside the class name of its failure, and None where it showed nothing."""
_MOST = 1_000
"""Circuits kept; of more, the one used longest ago is forgotten."""


class CircuitBreaker:
    """Refuses calls of a model that keeps failing with `CircuitOpen`, at once and without a request.

    A model at one address (base URL) has a circuit of its own. It opens when `failures` calls in a row fail within
    `within` seconds; `cooldown` seconds later one call is let through as a probe while the others are still refused,
    and its outcome closes the circuit or opens it again.

    Connection errors, timeouts, 5xx and answers that make no sense are failures, and so is a stream that breaks off;
    `on` is another choice: statuses and exception classes, or a function of the error. Everything else the API
    refuses, 429 included, is neither failure nor success. Outside of Retry, which is where it belongs, a call counts
    once, when its attempts are spent.
    """

    def __init__(
        self, *, failures: int = 5, within: float = 60.0, cooldown: float = 30.0, on: RetryOn | None = None
    ) -> None:
        check_figures(failures=failures, within=within, cooldown=cooldown)
        if failures < 1:
            raise ValueError(f"failures={failures!r} must be at least 1")
        if not within > 0:
            raise ValueError(f"within={within!r} must be above 0 seconds")
        if not cooldown > 0:
            raise ValueError(f"cooldown={cooldown!r} must be above 0 seconds")
        check_retry_on(on)
        self._limits = Limits(failures=failures, within=within, cooldown=cooldown)
        self._on = on
        self._lock = RLock()  # a stream that is collected may end here while this very thread is inside
        self._breakers: OrderedDict[tuple[str, str | None], Breaker] = OrderedDict()

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Let the call through or refuse it, and take in how it ends."""
        breaker = self._breaker(request)
        number = self._enter(breaker, request)
        known = len(request.record.failures)
        try:
            answer = await call_next(request)
        except BaseException as error:
            self._take_in(breaker, number, request, self._failure(error, request, known))
            raise
        if request.stream:
            self._watch(breaker, number, request)
        else:
            self._take_in(breaker, number, request, _WORKED)
        return answer

    def states(self) -> list[CircuitState]:
        """How it stands with each model that was called lately, for operators."""
        now = runtime.current(is_async=False).monotonic()
        with self._lock:
            return [
                CircuitState(
                    base_url=base_url,
                    model=model,
                    state=breaker.state,
                    failures=breaker.failures,
                    last_error=breaker.last_error,
                    retry_in=breaker.retry_in(now),
                )
                for (base_url, model), breaker in self._breakers.items()
            ]

    def _breaker(self, request: Request) -> Breaker:
        place = (request.base_url, request.model)
        with self._lock:
            breaker = self._breakers.setdefault(place, Breaker(self._limits))
            self._breakers.move_to_end(place)
            if len(self._breakers) > _MOST:
                self._breakers.popitem(last=False)
        return breaker

    def _enter(self, breaker: Breaker, request: Request) -> int:
        now = request.runtime.monotonic()
        with self._lock:
            number = breaker.enter(now)
            failures, wait = breaker.failures, breaker.retry_in(now)
        if number is not None:
            return number
        then = f"one is tried in {wait:.0f} s" if wait else "one is being tried now"
        raise CircuitOpen(
            f"calls of {_place(request)} are not sent: the last {failures} failed with {breaker.last_error}; {then}",
            retry_in=wait,
        )

    def _watch(self, breaker: Breaker, number: int, request: Request) -> None:
        """Wait for the end of a stream; only a probe has shown enough by having begun."""
        with self._lock:
            is_probe = breaker.is_probe(number)
        if is_probe:
            self._take_in(breaker, number, request, _WORKED)
            number += 1  # the closed circuit's

        def at_end(record: CallRecord) -> None:
            self._take_in(breaker, number, request, _end_of(record))

        request.record.add_done_callback(at_end)

    def _failure(self, error: BaseException, request: Request, known: int) -> str | None:
        if not isinstance(error, Exception):  # cancelled: by the caller, or by a Timeouts above
            late = request.deadlines.passed() if request.deadlines is not None else None
            return None if late is None else self._failure(late, request, known)
        if isinstance(error, CallTimeout) and not _TIMEOUTS & {one.error for one in request.record.failures[known:]}:
            return None  # what took too long was not the server, but a RateLimit, say
        chosen = _FAILURES if self._on is None else self._on
        failed = chosen(error) if callable(chosen) else is_one_of(error, chosen)
        return type(error).__name__ if failed else None

    def _take_in(self, breaker: Breaker, number: int, request: Request, outcome: str | None) -> None:
        now = request.runtime.monotonic()
        opened = closed = False
        with self._lock:
            if outcome is None:
                breaker.told_nothing(number)
            elif outcome == _WORKED:
                closed = breaker.worked(number)
            else:
                opened = breaker.failed(number, now, outcome)
        if opened:
            logger.warning("calls of %s are not sent for %g s: %s", _place(request), self._limits.cooldown, outcome)
        if closed:
            logger.info("calls of %s are sent again", _place(request))


def _end_of(record: CallRecord) -> str | None:
    """The outcome of a stream."""
    if record.error is None:
        return _WORKED
    blameless = record.error in _BY_CHOICE or (record.error == "APIError" and record.error_code not in _SERVERS_FAULT)
    return None if blameless else record.error


def _place(request: Request) -> str:
    return f"{request.model!r} at {request.host}"
