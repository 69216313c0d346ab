"""The span of a call: current while the call is made, ended once it is over, with all that has become of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from contextvars import Token
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from llmkit.fields import values_of
from llmkit.record import CallRecord
from llmkit.request import Request
from llmkit.streaming.facts import is_final
from llmkit.streaming.gathered import Gathered
from llmkit.structure import read_json
from llmkit.telemetry.answered import answered, billed_tokens, failed_attempts, measured, nanoseconds, own, status
from llmkit.telemetry.asked import asked, at_start
from llmkit.telemetry.instruments import Instruments
from llmkit.telemetry.messages import content_of
from llmkit.telemetry.names import GENERATING, METERED, operation_name
from llmkit.usage import prices
from llmkit.usage.billing import cost_of

_NOTES: Final[Mapping[str, str]] = {
    **dict.fromkeys(GENERATING, "opentelemetry.genai.client.inference.context"),
    "embeddings": "opentelemetry.genai.client.embedding.context",
    "fetch_response": "opentelemetry.genai.client.fetch_response.context",
}
"""Where `opentelemetry-util-genai` notes in the context that it has a span for the call that is being made."""
_TAKEN: Final = "llmkit."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the spans of one middleware go, and what is on them."""

    tracer: Tracer
    instruments: Instruments | None
    content: bool
    metric_tags: tuple[str, ...]


class CallSpan(ABC):
    """A span that is told of one call, through all passes of it."""

    def __init__(self, record: CallRecord, span: Span, context: Context) -> None:
        self.record = record
        self.answer: object = None
        """What the method returns, where there is no stream."""
        self._span = span
        self._context = context
        self._events_told = 0

    def enter(self) -> Token[Context]:
        """Make the span current; `leave` takes the token back."""
        return contexts.attach(self._context)

    @staticmethod
    def leave(token: Token[Context]) -> None:
        """Make current what was before."""
        with suppress(ValueError):  # a task that its loop has dropped ends elsewhere, where nothing has changed
            token.var.reset(token)

    @abstractmethod
    def saw(self, event: object) -> None:
        """An event of the stream has come."""

    @abstractmethod
    def done(self) -> None:
        """The call is over."""

    def _tell(self) -> None:
        """What only llmkit knows."""
        record = self.record
        if not self._span.is_recording():
            return
        self._span.set_attributes(own(record))
        cost = cost_of(record) if record.cost is None and prices.is_loaded() else record.cost
        if cost is not None:  # not noted on the record, which may not have its last figures yet
            self._span.set_attribute("llmkit.cost", float(cost))
        for name, attributes, when in failed_attempts(record, self._events_told):
            self._span.add_event(name, attributes, when)
        self._events_told = len(record.failures)


def span_of(request: Request, settings: Settings) -> CallSpan:
    """The span that another library has begun for this very call, or else a new one."""
    here = contexts.get_current()
    place = _NOTES.get(operation_name(request.operation), "")
    note = contexts.get_value(place, here)
    # A call inside the call, of a summary for instance, finds the same note, but that span is not its own.
    if note is None or contexts.get_value(_TAKEN + place, here) is note:
        return OwnSpan(request, settings, here)
    span = trace.get_current_span(here)
    return BorrowedSpan(request.record, span, contexts.set_value(_TAKEN + place, note, here), note)


class OwnSpan(CallSpan):
    """A new span, and the measurements of its call."""

    def __init__(self, request: Request, settings: Settings, here: Context) -> None:
        name, model = operation_name(request.operation), request.model
        span = settings.tracer.start_span(
            f"{name} {model}" if isinstance(model, str) else name,  # callers may give anything
            context=here,
            kind=SpanKind.CLIENT,
            attributes=at_start(request.operation, model, base_url=request.base_url),
            start_time=nanoseconds(request.record.started_at),
        )
        if span.is_recording():
            about = asked(request.operation, request.body, base_url=request.base_url, stream=request.stream)
            span.set_attributes(about)
        super().__init__(request.record, span, trace.set_span_in_context(span, here))
        self._operation = name
        self._body = request.body
        self._settings = settings
        self._is_timed = name in METERED
        self._gathered = Gathered() if settings.content and request.stream else None
        self._first_event: float | None = None
        self._last_event = 0.0
        self._measured: dict[str, Any] = {}

    def saw(self, event: object) -> None:
        """Measure when it has come."""
        if self._gathered is not None:
            self._gathered.add(event)
        if self.record.from_cache:
            return
        now, first = self.record.elapsed(), self._first_event is None
        if first:
            self._first_event = now
            self._measured = measured(self.record, self._settings.metric_tags)
        if self._settings.instruments is not None and self._is_timed:
            self._settings.instruments.event(now - self._last_event, self._measured, self._context, first=first)
        self._last_event = now

    def done(self) -> None:
        """Measure, tell all, and end the span."""
        record, span = self.record, self._span
        try:
            if self._settings.instruments is not None:
                self._measure(self._settings.instruments)
            self._tell()
            self._tell_answer()
        finally:
            span.end(nanoseconds(record.started_at + (record.latency or 0.0)))

    def _measure(self, instruments: Instruments) -> None:
        """Tokens count in any operation: what was made in the background is billed by the look that finds it."""
        about = measured(self.record, self._settings.metric_tags)
        instruments.tokens(self.record, about, self._context)
        if self._is_timed:
            instruments.duration(self.record, about, self._context)

    def _tell_answer(self) -> None:
        if not self._span.is_recording():
            return
        self._span.set_attributes(answered(self.record))
        if self._first_event is not None:
            self._span.set_attribute("gen_ai.response.time_to_first_chunk", self._first_event)
        if self._settings.content and self._operation in GENERATING:
            self._span.set_attributes(content_of(self._body, self._whole_answer()))
        failure = status(self.record)
        if failure is not None:
            self._span.set_status(Status(StatusCode.ERROR, failure))

    def _whole_answer(self) -> object:
        answer = self.answer if self._gathered is None else self._gathered.answer
        if values_of(answer):
            return answer
        received = self.record.received  # the caller reads the HTTP response himself
        content = None if received is None else received.content()
        try:
            return None if content is None else read_json(content)
        except ValueError:
            return None


class BorrowedSpan(CallSpan):
    """Another library's span of the call: it is told what only llmkit knows, and nothing is measured twice."""

    def __init__(self, record: CallRecord, span: Span, context: Context, note: Any) -> None:
        super().__init__(record, span, context)
        self._note = note

    def saw(self, event: object) -> None:
        """Tell what is known at the last event, for at that of a Responses stream the library ends its span."""
        if not is_final(event):
            return
        self._tell()
        if self.record.outcome == "cut":  # as it is until the end is seen
            self._span.set_attribute("llmkit.outcome", "ok")

    def done(self) -> None:
        """Tell all, and hand over the tokens of a stream whose usage the caller has not asked for."""
        self._tell()
        for kind, count in billed_tokens(self.record):
            if getattr(self._note, f"usage_{kind}_tokens", 0) is None:
                setattr(self._note, f"usage_{kind}_tokens", count)
