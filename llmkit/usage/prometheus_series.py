"""What Prometheus is told of finished calls: the metrics, and how a record goes into them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, get_args

from llmkit.record import CacheState, CallRecord, Outcome
from llmkit.usage.rules import is_unpriced

if TYPE_CHECKING:
    from prometheus_client import Counter, Histogram

Labels = tuple[str, ...]
"""The values of operation, model and the chosen tags."""

OTHER: Final = "other"
"""The value of a label in place of those that would be too many."""

DURATIONS: Final = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
FIRST_TOKENS: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)
"""Upper bounds of the buckets, in seconds; the SDK gives up after 600."""

COUNTERS: Final = {
    "calls": (
        "Calls that have ended, by outcome: ok, cached, cut, cancelled, refused (never sent), failed.",
        "outcome",
    ),
    "tokens": (
        "Tokens billed, by kind. The kinds do not overlap and add up to the total: input (without cached_input), "
        "cached_input, output (without reasoning), reasoning.",
        "kind",
    ),
    "saved_tokens": ("Tokens that answers from llmkit's cache were billed when they were made.", "kind"),
    "cost_usd": ("Cost of the calls whose price is known, in US dollars.",),
    "saved_cost_usd": ("Cost that answers from llmkit's cache had when they were made, in US dollars.",),
    "unpriced_calls": ("Calls that used tokens or audio whose price is not known: not in the cost.",),
    "cache_lookups": ("Questions to llmkit's caches, by result: hit, semantic, miss.", "result"),
    "errors": ("Calls that failed or were refused, by what ended them.", "error", "status", "code"),
    "attempts": ("HTTP requests made, retries included.",),
    "failed_attempts": ("HTTP requests without a good answer, retried or not.", "error", "status"),
    "retries": ("HTTP requests beyond the first of a call.",),
    "retry_wait_seconds": ("Time that calls have waited between attempts.",),
    "rate_limit_wait_seconds": ("Time that calls have waited for a rate limit of llmkit's.",),
    "fallbacks": ("Calls answered by a fallback, under the model that stood in.",),
    "predicted_input_tokens": ("Input tokens counted before calls whose server then told its own count.",),
    "prediction_error_tokens": ("How far those counts were off, up or down.",),
}
"""Of each counter, without the namespace and _total: its help, and its labels beside those of all."""

HISTOGRAMS: Final = {
    "call_duration_seconds": (
        "Time from a call to its end, of calls that were sent: retries, streams, waits.",
        DURATIONS,
    ),
    "time_to_first_token_seconds": ("Time from a call to the first piece of a streamed answer.", FIRST_TOKENS),
}

_INPUT, _CACHED_INPUT, _OUTPUT, _REASONING = _KINDS = ("input", "cached_input", "output", "reasoning")
_MOST_CODES: Final = 100
"""Codes of errors kept apart: they are the server's own words."""
_TOO_MANY: Final = 2.0**63
"""Figures that are no counts; a float could not hold each of them."""


def text(value: object) -> str:
    """A label's value: short, and with nothing that cannot be sent, which would fail the scrape of everything."""
    return str(value)[:200].encode(errors="replace").decode()


class Metrics:
    """The metrics of a sink, in no registry."""

    def __init__(self, namespace: str, tags: tuple[str, ...]) -> None:
        from prometheus_client import Counter, Histogram

        labels = ("operation", "model", *tags)
        self.counters: dict[str, Counter] = {
            name: Counter(name, about, (*labels, *more), namespace=namespace, registry=None)
            for name, (about, *more) in COUNTERS.items()
        }
        self.histograms: dict[str, Histogram] = {
            name: Histogram(name, about, labels, namespace=namespace, registry=None, buckets=buckets)
            for name, (about, buckets) in HISTOGRAMS.items()
        }
        self._codes: set[str] = set()

    def code(self, code: object) -> str:
        """The value of the label for an API's own code of an error."""
        known = text(code or "")
        if known not in self._codes:
            if len(self._codes) >= _MOST_CODES:
                return OTHER
            self._codes.add(known)
        return known


class Series:
    """The metrics under one set of labels, found once; counters begin at 0, so that their first step is seen."""

    def __init__(self, metrics: Metrics, labels: Labels) -> None:
        counters = metrics.counters
        self._metrics, self._labels = metrics, labels

        def each(name: str, values: tuple[str, ...]) -> dict[str, Counter]:
            return {value: counters[name].labels(*labels, value) for value in values}

        def bound(name: str) -> Callable[[float], None]:
            return _adding(counters[name].labels(*labels))

        self._calls = each("calls", get_args(Outcome))
        self._lookups = each("cache_lookups", get_args(CacheState))
        self._input, self._cached_input, self._output, self._reasoning = (
            _adding(child) for child in each("tokens", _KINDS).values()
        )
        saved = each("saved_tokens", (_INPUT, _OUTPUT))
        self._saved_input, self._saved_output = _adding(saved[_INPUT]), _adding(saved[_OUTPUT])
        self._cost, self._saved_cost = bound("cost_usd"), bound("saved_cost_usd")
        self._unpriced, self._fallbacks = bound("unpriced_calls"), bound("fallbacks")
        self._attempts, self._retries = bound("attempts"), bound("retries")
        self._retry_wait, self._limit_wait = bound("retry_wait_seconds"), bound("rate_limit_wait_seconds")
        self._predicted, self._misjudged = bound("predicted_input_tokens"), bound("prediction_error_tokens")
        self._duration = metrics.histograms["call_duration_seconds"].labels(*labels).observe
        self._first_token: Callable[[float], None] | None = None

    def count(self, record: CallRecord) -> None:
        """Add a finished call."""
        outcome = record.outcome
        self._calls[outcome].inc()
        if record.attempts:
            self._count_requests(record)
        if record.input_tokens or record.output_tokens:
            self._count_tokens(record)
        if is_unpriced(record):
            self._unpriced(1)
        if record.cost:
            self._cost(float(record.cost))
        if record.cache is not None:
            self._count_lookup(record, record.cache)
        if record.limit_wait:
            self._limit_wait(record.limit_wait)
        if outcome in ("failed", "refused"):
            code = self._metrics.code(record.error_code)
            self._metrics.counters["errors"].labels(*self._labels, record.error, record.status_code or "", code).inc()

    def count_failure(self, error: str, status: int | None) -> None:
        """Add an attempt that failed."""
        self._metrics.counters["failed_attempts"].labels(*self._labels, error, status or "").inc()

    def _count_requests(self, record: CallRecord) -> None:
        self._attempts(record.attempts)
        if record.attempts > 1:
            self._retries(record.attempts - 1)
            self._retry_wait(record.retry_wait)
        if record.fallback:
            self._fallbacks(1)
        if record.from_cache:  # what is fast for having been asked for before says nothing about the model
            return
        self._duration(record.latency or 0.0)
        if record.time_to_first_token is not None:
            self._observe_first_token(record.time_to_first_token)

    def _observe_first_token(self, seconds: float) -> None:
        if self._first_token is None:  # many sets of labels never stream
            self._first_token = self._metrics.histograms["time_to_first_token_seconds"].labels(*self._labels).observe
        self._first_token(seconds)

    def _count_tokens(self, record: CallRecord) -> None:
        given, made = record.input_tokens or 0, record.output_tokens or 0
        cached, reasoning = _part(record.cached_tokens, given), _part(record.reasoning_tokens, made)
        self._input(given - cached)
        self._output(made - reasoning)
        self._cached_input(cached)
        self._reasoning(reasoning)
        if record.predicted_tokens is not None and given > 0 and not record.estimated:
            self._predicted(record.predicted_tokens)
            self._misjudged(abs(record.predicted_tokens - given))

    def _count_lookup(self, record: CallRecord, state: CacheState) -> None:
        self._lookups[state].inc()
        if record.from_cache:
            self._saved_input(record.saved_input_tokens)
            self._saved_output(record.saved_output_tokens)
            self._saved_cost(float(record.saved_cost or 0))


def _part(part: int | None, whole: int) -> int:
    """Servers have been seen to tell parts larger than the whole."""
    return max(0, min(part or 0, whole))


def _adding(counter: Counter) -> Callable[[float], None]:
    """Add to the counter, which must not go down, nor become what is no number."""
    inc = counter.inc

    def add(amount: float) -> None:
        if 0 < amount < _TOO_MANY:
            inc(amount)

    return add
