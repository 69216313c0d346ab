"""Ledgers of simulated months, for tests and to look at: `python tests/usage/report/ledgers.py usage.db [calls]`."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from llmkit.record import CallRecord
from llmkit.testing import VirtualClock
from llmkit.usage.ledger import LedgerSink

DAY = 86_400
_PRICES = {"gpt-4o": (2_500, 10_000), "gpt-4o-mini": (150, 600), "o4-mini": (1_100, 4_400), "in-house-70b": None}
"""Nano-dollars for a token of input and of output."""
_FEATURES = {
    "search": ("gpt-4o-mini", 900, 120, 5),
    "chat": ("gpt-4o", 1_800, 350, 4),
    "summary": ("gpt-4o-mini", 6_000, 400, 2),
    "planning": ("o4-mini", 2_500, 1_600, 1),
    "drafts": ("in-house-70b", 1_200, 700, 1),
}
"""The model, usual tokens of input and output, and how often, of each."""
_USERS = ("alice", "bob", "carol", "dave", "Zoë", "王小明", "support-team", "nightly")
_ERRORS = (
    ("RateLimitError", "rate_limit_exceeded", 429, 5),
    ("APITimeoutError", None, None, 3),
    ("InternalServerError", None, 500, 2),
    ("BadRequestError", "context_length_exceeded", 400, 1),
)


def month(*, calls: int = 5_000, days: float = 30, until: float | None = None, seed: int = 8) -> Iterator[CallRecord]:
    """Finished records of a month of an office's calls, in order: quiet nights and weekends, errors in bursts."""
    draw = random.Random(seed)
    end = time.time() if until is None else until
    for at in sorted(_moments(draw, calls, end - days * DAY, end)):
        yield _call(draw, at)


def record(*, at: float = 1_795_000_000.0, latency: float = 0.0, **facts: Any) -> CallRecord:
    """A finished call with these facts."""
    clock = VirtualClock(start=at)
    made = CallRecord(operation="chat.completions", model="gpt-4o", runtime=clock)
    for name, value in facts.items():
        setattr(made, name, value)
    clock.advance(latency)
    made.finish()
    return made


def write(path: Path | str, records: Iterable[CallRecord]) -> None:
    """A ledger of the records."""
    sink = LedgerSink(path)
    for number, record in enumerate(records, start=1):
        sink(record)
        if not number % 10_000:
            sink.flush(timeout=None)  # no more than 100,000 can wait
    sink.close()


def _moments(draw: random.Random, calls: int, since: float, until: float) -> Iterator[float]:
    while calls:
        at = draw.uniform(since, until)
        day, hour = int(at // DAY), at % DAY / 3_600
        quiet = 0.15 if (day + 4) % 7 in (0, 6) else 1.0  # the epoch began on a Thursday
        if draw.random() < quiet * (1.0 if 7 <= hour < 18 else 0.12):
            calls -= 1
            yield at


def _call(draw: random.Random, at: float) -> CallRecord:
    clock = VirtualClock(start=at)
    feature = draw.choices([*_FEATURES], [often for *_, often in _FEATURES.values()])[0]
    model, given, made, _ = _FEATURES[feature]
    embeds = feature == "search" and draw.random() < 0.3
    record = CallRecord(operation="chat.completions", model=model, runtime=clock)
    record.tags = {"user": draw.choices(_USERS, range(len(_USERS), 0, -1))[0], "feature": feature}
    if draw.random() < 0.05:
        del record.tags["user"]
    record.base_url, record.key = "https://api.openai.com/v1/", draw.choice(("...a1B2", "...c3D4"))
    if embeds:
        record.operation, record.model, made = "embeddings", "text-embedding-3-small", 0
    record.stream = not embeds and draw.random() < 0.5
    record.predicted_tokens = max(1, int(draw.lognormvariate(0, 0.6) * given))
    _answer(draw, clock, record, made) if draw.random() > 0.04 else _trouble(draw, clock, record, at)
    record.finish()
    return record


def _answer(draw: random.Random, clock: VirtualClock, record: CallRecord, made: int) -> None:
    given = record.predicted_tokens + (0 if draw.random() < 0.9 else draw.randint(-40, 60))
    given, answered = max(1, given), int(draw.lognormvariate(0, 0.5) * made)
    cost = _cost(record.model, given, answered)
    record.complete = True
    if record.operation == "chat.completions" and record.tags["feature"] in ("search", "chat"):
        record.cache = "hit" if draw.random() < 0.2 else "semantic" if draw.random() < 0.05 else "miss"
    if record.from_cache:
        record.saved_input_tokens, record.saved_output_tokens, record.saved_cost = given, answered, cost
        record.input_tokens = record.output_tokens = record.total_tokens = 0
        record.cost = Decimal(0)
        clock.advance(draw.uniform(0.0005, 0.004))
        return
    record.attempts = 1
    if draw.random() < 0.03:
        record.attempts, record.retry_wait = 2, draw.uniform(0.5, 4)
        clock.advance(record.retry_wait)
    if draw.random() < 0.02:
        record.limit_wait = draw.uniform(0.1, 8)
        clock.advance(record.limit_wait)
    first = draw.lognormvariate(-0.9, 0.5)
    if record.stream:
        record.time_to_first_token = record.elapsed() + first
    clock.advance(first + answered / draw.uniform(40, 90))
    if record.stream and draw.random() < 0.02:
        record.complete, record.estimated, answered = False, True, answered // 2
        cost = _cost(record.model, given, answered)
    record.response_model, record.request_id = record.model, f"req_{draw.getrandbits(64):016x}"
    record.input_tokens, record.output_tokens, record.total_tokens = given, answered, given + answered
    record.cached_tokens = given // 128 * 128 if given > 1_024 and draw.random() < 0.4 else 0
    record.reasoning_tokens = int(answered * 0.7) if record.model == "o4-mini" else 0
    record.cost = cost


def _trouble(draw: random.Random, clock: VirtualClock, record: CallRecord, at: float) -> None:
    clock.advance(draw.uniform(0.05, 30))
    if draw.random() < 0.2:
        record.error = draw.choice(("BudgetExceeded", "CircuitOpen"))
        return
    record.attempts = draw.choice((1, 1, 3))
    if draw.random() < 0.1:
        record.error = "CancelledError"
        return
    error = _ERRORS[0] if int(at // DAY) % 11 == 0 else draw.choices(_ERRORS, [often for *_, often in _ERRORS])[0]
    record.error, record.error_code, record.status_code, _ = error


def _cost(model: str | None, given: int, answered: int) -> Decimal | None:
    price = _PRICES.get(model or "", (20, 0))
    return None if price is None else Decimal(given * price[0] + answered * price[1]).scaleb(-9)


if __name__ == "__main__":
    write(sys.argv[1], month(calls=int(sys.argv[2]) if len(sys.argv) > 2 else 5_000))
