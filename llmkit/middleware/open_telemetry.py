"""A span and metrics for every call, by the GenAI conventions of OpenTelemetry."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from traceback import walk_stack
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from llmkit.errors import LLMKitError
from llmkit.record import CallRecord
from llmkit.request import CallNext, Request
from llmkit.stream_usage import StreamUsage
from llmkit.usage import prices

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from llmkit.telemetry.spans import CallSpan

logger = logging.getLogger("llmkit")


class OpenTelemetry:
    """Traces and measures every call; put it first, so that the span covers the whole stack.

    One span per call, retries and stream included, is current while the call is made; failed attempts are its events.
    The providers default to the global ones, which may be set later. `content=True` puts prompts and answers on the
    spans; otherwise no text of either is told. `metrics=False` leaves the histograms out; `metric_tags` names the tags
    (`llmkit.tags`) that they are split by, which should have few values each. `include_usage` is that of `UsageLog`.

    Beside `opentelemetry-instrumentation-genai-openai` its span gets llmkit's attributes, and nothing is counted twice.
    Needs the extra: pip install "llmkit[otel]".
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        content: bool = False,
        metrics: bool = True,
        metric_tags: Iterable[str] = (),
        include_usage: bool = True,
    ) -> None:
        if isinstance(metric_tags, str):
            raise TypeError(f"metric_tags is the text {metric_tags!r}; pass a list of names")
        self._span_of = _spans(tracer_provider, meter_provider, metrics, content, tuple(metric_tags))
        self._usage = StreamUsage() if include_usage else None
        # By the id of the record, which holds them: a stream that nobody wants must not be kept by what waits for it.
        self._open: WeakValueDictionary[int, CallSpan] = WeakValueDictionary()
        self._late: deque[CallSpan] = deque()
        prices.load_if_installed()

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Run the call inside its span."""
        call = self._open.get(id(request.record)) or self._begin(request)
        if call is None:
            return await self._send(request, call_next)
        token = call.enter()
        try:
            result = await self._send(request, call_next)
        finally:
            call.leave(token)
        if not request.stream:
            call.answer = result
        return result

    def _send(self, request: Request, call_next: CallNext) -> Coroutine[Any, Any, Any]:
        if self._usage is None or not request.stream:
            return call_next(request)
        return self._usage.send(request, call_next)

    def _begin(self, request: Request) -> CallSpan | None:
        while self._late:
            self._finish(self._late.popleft())
        record = request.record
        try:
            call = self._span_of(request)
        except Exception as error:  # noqa: BLE001 - a tracer that fails must not cost the call
            logger.warning("no span for a call: the tracer failed with %s", type(error).__name__)
            return None
        self._open[id(record)] = call
        record.add_done_callback(lambda _: self._done(call))
        if request.stream:
            record.on_event = _forgiving(record, call)
        return call

    def _done(self, call: CallSpan) -> None:
        # A stream that nobody has closed ends in the garbage collector, which may run inside a lock of the SDK's.
        if call.record.stream and _inside("opentelemetry.sdk"):
            self._late.append(call)
        else:
            self._finish(call)

    @staticmethod
    def _finish(call: CallSpan) -> None:
        try:
            call.done()
        except Exception as error:  # noqa: BLE001 - as above
            logger.warning("a span could not be ended: the tracer failed with %s", type(error).__name__)


def _inside(package: str) -> bool:
    """Whether a function of the package is running below in this thread."""
    return any(frame.f_globals.get("__name__", "").startswith(package) for frame, _ in walk_stack(None))


def _forgiving(record: CallRecord, call: CallSpan) -> Callable[[object], None]:
    def saw(event: object) -> None:
        try:
            call.saw(event)
        except Exception as error:  # noqa: BLE001 - a meter that fails must not cut the user's stream
            record.on_event = None
            logger.warning("the events of a stream are not measured: the meter failed with %s", type(error).__name__)

    return saw


def _spans(
    tracer_provider: TracerProvider | None,
    meter_provider: MeterProvider | None,
    metrics: bool,
    content: bool,
    metric_tags: tuple[str, ...],
) -> Callable[[Request], CallSpan]:
    try:
        from opentelemetry.metrics import get_meter
        from opentelemetry.trace import get_tracer
    except ImportError:
        raise LLMKitError("OpenTelemetry needs the opentelemetry-api package: pip install 'llmkit[otel]'") from None
    from llmkit.telemetry.instruments import Instruments
    from llmkit.telemetry.spans import Settings, span_of

    settings = Settings(
        tracer=get_tracer("llmkit", tracer_provider=tracer_provider),
        instruments=Instruments(get_meter("llmkit", meter_provider=meter_provider)) if metrics else None,
        content=content,
        metric_tags=metric_tags,
    )
    return partial(span_of, settings=settings)
