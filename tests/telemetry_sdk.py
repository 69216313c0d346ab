"""The real OpenTelemetry SDK, with what it would export kept in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from llmkit.middleware.open_telemetry import OpenTelemetry


class Telemetry:
    """A tracer provider and a meter provider, and what has come to them."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meters = MeterProvider([self._reader])
        self.tracer = self.tracers.get_tracer("app")

    def middleware(self, **options: Any) -> OpenTelemetry:
        return OpenTelemetry(tracer_provider=self.tracers, meter_provider=self.meters, **options)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def span(self) -> ReadableSpan:
        """The one span there is."""
        (span,) = self.spans
        return span

    def attributes(self) -> dict[str, Any]:
        return dict(self.span().attributes or {})

    def points(self, name: str) -> list[Any]:
        """The data points of a metric, whoever measured it."""
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def tokens(self) -> dict[str, int]:
        """The sum by type."""
        found: dict[str, int] = {}
        for point in self.points("gen_ai.client.token.usage"):
            kind = point.attributes["gen_ai.token.type"]
            found[kind] = found.get(kind, 0) + point.sum
        return found

    def calls(self) -> int:
        """How many calls have had their duration measured."""
        return sum(point.count for point in self.points("gen_ai.client.operation.duration"))

    def text(self) -> str:
        """All that is told to anybody, to look for secrets in."""
        data = self._reader.get_metrics_data()
        return "".join(span.to_json() for span in self.spans) + (data.to_json() if data else "")


@contextmanager
def instrumented(telemetry: Telemetry) -> Iterator[None]:
    """With `opentelemetry-instrumentation-genai-openai` at work on the SDK's classes."""
    from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=telemetry.tracers, meter_provider=telemetry.meters)
    try:
        yield
    finally:
        instrumentor.uninstrument()
