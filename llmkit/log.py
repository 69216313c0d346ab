"""The sink that prints: one structlog event a call."""

from __future__ import annotations

import json
import logging
import os
import sys
from decimal import Decimal
from typing import Any, Literal, TextIO

import structlog

from llmkit.record import CANCELLED, CallRecord

LogFormat = Literal["console", "json"]

_KNOWN = (
    "model",
    "response_model",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "predicted_tokens",
    "cached_tokens",
    "reasoning_tokens",
    "audio_seconds",
    "cost",
    "latency",
    "time_to_first_token",
    "attempts",
    "cache",
    "saved_cost",
    "key",
    "sent_model",
    "sent_to",
    "error",
    "error_code",
    "status_code",
    "hint",
    "prompt",
    "answer",
)
"""Fields of the record that are logged when they are known, in this order."""
_NOT_ZERO = (
    "stream",
    "estimated",
    "trimmed_messages",
    "retry_wait",
    "limit_wait",
    "saved_input_tokens",
    "saved_output_tokens",
    "cache_write_tokens",
    "input_audio_tokens",
    "output_audio_tokens",
    "input_image_tokens",
    "output_image_tokens",
)
"""Fields that are logged when they are neither False nor 0."""


_encode = json.JSONEncoder(default=repr).encode
_SAME = (("response_model", "model"), ("predicted_tokens", "input_tokens"))
_IN_THE_TEXT = frozenset({"input_tokens", "output_tokens", "total_tokens"})


class StructlogSink:
    """Logs each call as one structlog event: `OpenAI tokens: prompt=X, completion=Y, total=Z` and its facts.

    With your own `structlog.configure(...)` the event goes through it unchanged. Without, it goes to stderr:
    readable in a terminal, JSON when piped; `format` or the environment's `LLMKIT_LOG_FORMAT` ("console" or "json")
    decides otherwise. `logger` is a structlog logger to use instead of both. Calls that failed are warnings with the
    error's class, its code and what to do; the message is left out, because it may quote the request.
    """

    def __init__(self, *, logger: Any = None, format: LogFormat | None = None) -> None:
        chosen = format or os.environ.get("LLMKIT_LOG_FORMAT", "").lower() or None
        if chosen not in (None, "console", "json"):
            where = "format" if format else "the environment's LLMKIT_LOG_FORMAT"
            raise ValueError(f"{where} is {chosen!r}; use 'console' or 'json'")
        self._logger = logger
        self._format = chosen
        self._own: tuple[TextIO, Any] | None = None

    def __call__(self, record: CallRecord) -> None:
        """Log the finished call."""
        logger = self.logger()
        failed = record.error is not None and record.error not in CANCELLED
        level = logging.WARNING if failed else logging.INFO
        # Asked of its class, for some loggers answer to any name.
        if hasattr(logger.__class__, "is_enabled_for") and not logger.is_enabled_for(level):
            return
        log = logger.warning if failed else logger.info
        log(message(record), **fields(record))

    def logger(self) -> Any:
        """Where its events go now, for other events that should go there, too."""
        return (self._logger or self._default_logger()).bind()

    def _default_logger(self) -> Any:
        if structlog.is_configured():
            return structlog.get_logger("llmkit")
        stream = sys.stderr
        if self._own is None or self._own[0] is not stream:  # stderr may have been redirected since
            self._own = stream, _own_logger(stream, self._format)
        return self._own[1]


def message(record: CallRecord) -> str:
    """The event's text: that the call failed, was cancelled or cached, else its tokens, else what it was."""
    if record.error in CANCELLED:
        return f"OpenAI call cancelled: {record.operation}"
    if record.error is not None:
        return f"OpenAI call failed: {record.operation}"
    if record.from_cache:
        return f"OpenAI call answered from the cache: {record.operation}"
    if record.input_tokens is not None:
        prompt, completion, total = record.input_tokens, record.output_tokens, record.total_tokens
        return f"OpenAI tokens: prompt={prompt}, completion={completion}, total={total}"
    return f"OpenAI call: {record.operation}"


def fields(record: CallRecord) -> dict[str, Any]:
    """The event's key-value pairs; what is unknown is left out, times are in seconds."""
    event: dict[str, Any] = {"operation": record.operation}
    for name in _KNOWN:
        if (value := getattr(record, name)) is not None:
            event[name] = _rounded(value)
    if record.similar is not None:
        event["similarity"] = _rounded(record.similar.score)
    if record.service_tier not in (None, "default"):
        event["service_tier"] = record.service_tier
    if record.request_id is not None:
        event["openai_request_id"] = record.request_id  # `request_id` is often bound to the web request
    if record.finish_reasons:
        event["finish_reason"] = ",".join(record.finish_reasons)
    if record.tags:
        event["tags"] = dict(record.tags)
    event.update({name: _rounded(value) for name in _NOT_ZERO if (value := getattr(record, name))})
    if not record.complete:
        event["complete"] = False
    return event


def _rounded(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    return round(value, 4) if isinstance(value, float) else value


def _own_logger(stream: TextIO, chosen: str | None) -> Any:
    is_terminal = stream.isatty()
    as_json = chosen == "json" or (chosen is None and not is_terminal)
    processors: list[Any] = [structlog.contextvars.merge_contextvars, structlog.processors.add_log_level]
    if as_json:
        processors += [structlog.processors.TimeStamper(fmt="iso", utc=True), _json]
    else:
        plain = structlog.dev.plain_traceback  # rich, where it is installed, prints local variables, too
        renderer = structlog.dev.ConsoleRenderer(colors=is_terminal, sort_keys=False, exception_formatter=plain)
        processors += [structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False), _brief, renderer]
    logger = structlog.PrintLogger(stream)
    return structlog.wrap_logger(logger, processors=processors, wrapper_class=structlog.BoundLogger).bind()


def _json(_logger: object, _method: str, event: dict[str, Any]) -> str:
    return _encode(event)


def _brief(_logger: object, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    """For a terminal: without the zeros, and without what the text says already."""
    hidden = {*_IN_THE_TEXT}
    for name, other in _SAME:
        if event.get(name) == event.get(other):
            hidden.add(name)
    return {name: value for name, value in event.items() if name not in hidden and (value or value is False)}
