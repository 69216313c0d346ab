"""What a finished call has come to, as attributes, events and metric attributes: figures, and nothing of the answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from llmkit.record import CANCELLED, CallRecord, FailedAttempt
from llmkit.streaming.facts import plain
from llmkit.telemetry.asked import at_start
from llmkit.telemetry.names import Value, says_openai, server

_TOKENS: Final = {
    "gen_ai.usage.input_tokens": "input_tokens",
    "gen_ai.usage.output_tokens": "output_tokens",
}
_PARTS: Final = {
    "gen_ai.usage.cache_read.input_tokens": "cached_tokens",
    "gen_ai.usage.cache_write.input_tokens": "cache_write_tokens",
    "gen_ai.usage.reasoning.output_tokens": "reasoning_tokens",
    "gen_ai.usage.audio.input_tokens": "input_audio_tokens",
    "gen_ai.usage.audio.output_tokens": "output_audio_tokens",
    "gen_ai.usage.image.input_tokens": "input_image_tokens",
    "gen_ai.usage.image.output_tokens": "output_image_tokens",
}
_OWN: Final = {
    "llmkit.operation": "operation",
    "llmkit.outcome": "outcome",
    "llmkit.attempts": "attempts",
    "llmkit.cache": "cache",
    "llmkit.key": "key",
    "llmkit.request_id": "request_id",
    "llmkit.hint": "hint",
    "llmkit.sent_model": "sent_model",
    "llmkit.sent_to": "sent_to",
    "llmkit.predicted_tokens": "predicted_tokens",
    "llmkit.saved.cost": "saved_cost",
    "llmkit.audio_seconds": "audio_seconds",
    "llmkit.time_to_first_token": "time_to_first_token",
}
"""What is told when it is known."""
_OWN_NOT_ZERO: Final = {
    "llmkit.retry_wait": "retry_wait",
    "llmkit.limit_wait": "limit_wait",
    "llmkit.fallback": "fallback",
    "llmkit.estimated": "estimated",
    "llmkit.trimmed_messages": "trimmed_messages",
    "llmkit.saved.input_tokens": "saved_input_tokens",
    "llmkit.saved.output_tokens": "saved_output_tokens",
}


def answered(record: CallRecord) -> dict[str, Value]:
    """What the conventions have names for. The model and the server are those that were asked in the end."""
    found = _models(record) | _attributes(record, _TOKENS) | _attributes(record, _PARTS, zero=False)
    if record.response_id is not None:
        found["gen_ai.response.id"] = record.response_id
    if record.finish_reasons:
        found["gen_ai.response.finish_reasons"] = record.finish_reasons
    if record.service_tier is not None and says_openai(_asked_at(record)):
        found["openai.response.service_tier"] = record.service_tier
    if record.error is not None:
        found["error.type"] = record.error
    return found


def own(record: CallRecord) -> dict[str, Value]:
    """What only llmkit knows, but for the cost; dollars and seconds are fractions."""
    found = _attributes(record, _OWN) | _attributes(record, _OWN_NOT_ZERO, zero=False)
    if (code := plain(record.error_code)) is not None:
        found["llmkit.error_code"] = code
    if record.similar is not None:
        found["llmkit.similarity"] = record.similar.score
    return found | {f"llmkit.tag.{name}": value for name, value in record.tags.items()}


def failed_attempts(record: CallRecord, told: int = 0) -> Iterator[tuple[str, dict[str, Value], int]]:
    """An event for each attempt that failed but the first few: name, attributes, nanoseconds since the epoch."""
    for number, failure in enumerate(record.failures[told:], told + 1):
        yield "llmkit.attempt_failed", _failure(failure, number), nanoseconds(record.started_at + failure.at)


def status(record: CallRecord) -> str | None:
    """What the status of a failed call says; None when it has not failed, and a caller who goes is no failure."""
    if record.error is None or record.error in CANCELLED:
        return None
    code = plain(record.error_code)
    return record.error if code is None else f"{record.error}: {code}"


def measured(record: CallRecord, tags: Iterable[str]) -> dict[str, Value]:
    """The attributes of the metrics: few values each, so of the tags only those that were asked for."""
    found = at_start(record.operation, record.model, base_url=record.base_url) | _models(record)
    if record.from_cache and record.cache is not None:
        found["llmkit.cache"] = record.cache
    return found | {f"llmkit.tag.{name}": record.tags[name] for name in tags if name in record.tags}


def billed_tokens(record: CallRecord) -> Iterator[tuple[str, int]]:
    """Input and output as the server counted them: what a cache gives is billed to nobody, and a guess is no count."""
    if record.from_cache or record.estimated:
        return
    for kind, count in (("input", record.input_tokens), ("output", record.output_tokens)):
        if count is not None and count > 0:  # a histogram takes no other
            yield kind, count


def nanoseconds(seconds: float) -> int:
    """The unit of OpenTelemetry's times."""
    return int(seconds * 1_000_000_000)


def _models(record: CallRecord) -> dict[str, Value]:
    found: dict[str, Value] = {}
    if record.sent_model is not None:
        found["gen_ai.request.model"] = record.sent_model
    if record.sent_to is not None:
        found.update(server(record.sent_to))
    if record.response_model is not None:
        found["gen_ai.response.model"] = record.response_model
    return found


def _asked_at(record: CallRecord) -> str:
    return record.sent_to or record.base_url


def _failure(failure: FailedAttempt, number: int) -> dict[str, Value]:
    found: dict[str, Value] = {
        "llmkit.attempt": number,
        "error.type": failure.error,
        "llmkit.base_url": failure.base_url,
        **server(failure.base_url),
    }
    del found["gen_ai.provider.name"]
    known = (("gen_ai.request.model", failure.model), ("llmkit.error_code", plain(failure.error_code)))
    found.update({name: value for name, value in known if isinstance(value, str)})
    if failure.status_code is not None:
        found["http.response.status_code"] = failure.status_code
    return found


def _attributes(record: CallRecord, names: dict[str, str], *, zero: bool = True) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for attribute, field in names.items():
        value: Any = getattr(record, field)
        if value is not None and (zero or value):
            found[attribute] = float(value) if isinstance(value, Decimal) else value
    return found
