"""The wide event of a call: layers annotate it, sinks read it once when the call is over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

from llmkit.runtime import Runtime
from llmkit.tagging import Tag

logger = logging.getLogger("llmkit")

Sink = Callable[["CallRecord"], object]
"""Reads a finished record. Called once a call, in the context the call was made in; must not block."""


@dataclass(slots=True, kw_only=True)
class CallRecord:
    """Everything known about one logical call, retries and stream included.

    Times are seconds; token figures are the server's own, unless `estimated`. `None` means unknown.
    """

    operation: str
    """"chat.completions", "responses", "embeddings", ... (`Request.operation`)."""
    model: str | None
    """The model asked for."""
    stream: bool = False
    tags: Mapping[str, Tag] = field(default_factory=dict[str, Tag])

    started_at: float = 0.0
    """When the call began, seconds since the epoch."""
    duration: float | None = None
    """From the call to its end; for a stream, to its last event or its close."""
    time_to_first_token: float | None = None
    """From the call to the first piece of text or arguments of a stream."""

    attempts: int = 0
    """HTTP requests made, as far as llmkit saw them (retries inside the SDK itself are its own)."""
    retry_wait: float = 0.0
    """Time spent waiting between attempts."""

    response_model: str | None = None
    """The model that answered, such as a dated snapshot."""
    response_id: str | None = None
    request_id: str | None = None
    """The server's `x-request-id`; quote it to support."""
    finish_reasons: tuple[str, ...] = ()
    """One for each choice; a Responses call has its status or the reason it is incomplete."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    """The part of `input_tokens` read from the provider's prompt cache."""
    reasoning_tokens: int | None = None
    """The part of `output_tokens` spent on reasoning."""
    estimated: bool = False
    """The token figures are llmkit's own: the server sent none."""
    complete: bool = False
    """The answer arrived whole. False for errors and for streams cut short."""

    status_code: int | None = None
    """The HTTP status of a failed call."""
    error: str | None = None
    """The class name of what ended the call."""
    error_code: str | None = None
    """The API's own code, such as "insufficient_quota"."""

    capture_content: bool = field(default=False, repr=False)
    """Set by a layer that was asked to log texts; nothing is kept otherwise."""
    prompt: Any = field(default=None, repr=False)
    """`messages` or `input`, only with `capture_content`."""
    answer: str | None = field(default=None, repr=False)
    """The text answered, only with `capture_content`."""

    runtime: Runtime = field(repr=False)
    _began: float = field(default=0.0, init=False, repr=False)
    _context: Context = field(default_factory=copy_context, init=False, repr=False)
    _sinks: list[Sink] = field(default_factory=list[Sink], init=False, repr=False)
    _over: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        self.started_at = self.runtime.time()
        self._began = self.runtime.monotonic()

    @property
    def over(self) -> bool:
        """Whether the call has ended and the sinks have been told."""
        return self._over

    def elapsed(self) -> float:
        """Seconds since the call began."""
        return self.runtime.monotonic() - self._began

    def add_done_callback(self, sink: Sink) -> None:
        """Have `sink(record)` called once, when the call is over: at the end of the stream if there is one."""
        self._sinks.append(sink)

    def finish(self) -> None:
        """Report the end of the call; the client does this, and only the first time counts."""
        if self._over:
            return
        self._over = True
        self.duration = self.elapsed()
        sinks, self._sinks = self._sinks, []
        for sink in sinks:
            try:
                self._context.run(sink, self)
            except Exception as error:  # noqa: BLE001 - a broken sink must not fail the user's call
                name = getattr(sink, "__qualname__", type(sink).__qualname__)
                logger.warning("sink %s failed with %s: %s", name, type(error).__name__, error)
