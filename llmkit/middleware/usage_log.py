"""One event for every call: who asked which model, what it cost in tokens and time, how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmkit.log import StructlogSink
from llmkit.record import CallRecord, Sink, Starting, check_sinks
from llmkit.request import CallNext, Request
from llmkit.stream_usage import StreamUsage
from llmkit.usage import prices
from llmkit.usage.billing import known_cost

_PROMPTS = ("messages", "input", "prompt")


class UsageLog:
    """Reports every call to its sinks when the call is over, a stream when it has ended.

    `sinks` defaults to one `StructlogSink`; one with a method `started` is also told when a call begins. `content=True`
    also records prompts and answers; otherwise no text of either is kept. `cost=True` puts the dollars of each call on
    its record (extra `llmkit[prices]`), which a sink that keeps costs has done anyway. `include_usage` asks Chat
    streams for their token usage and hides the extra chunk that this adds; a model on a server that refuses
    `stream_options` is asked without, from then on.
    """

    def __init__(
        self,
        *,
        sinks: Iterable[Sink] | None = None,
        content: bool = False,
        cost: bool = False,
        include_usage: bool = True,
    ) -> None:
        self._sinks: tuple[Sink, ...] = (StructlogSink(),) if sinks is None else check_sinks(sinks)
        every: tuple[object, ...] = self._sinks
        self._beginnings = tuple(sink.started for sink in every if isinstance(sink, Starting))
        self._content = content
        if cost:
            prices.load()
        self._usage = StreamUsage() if include_usage else None

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Run the call with its record wired to the sinks."""
        record = request.record
        record.add_done_callback(_note_cost)
        for sink in self._sinks:
            record.add_done_callback(sink)
        for started in self._beginnings:
            record.tell(started)
        if self._content:
            record.capture_content = True
            record.body = dict(request.body)
            record.prompt = next((request.body[key] for key in _PROMPTS if key in request.body), None)
        return await (call_next(request) if self._usage is None else self._usage.send(request, call_next))


def _note_cost(record: CallRecord) -> None:
    if record.cost is None and prices.is_loaded():
        record.cost = known_cost(record)
