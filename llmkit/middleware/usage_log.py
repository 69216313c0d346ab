"""One event for every call: who asked which model, what it cost in tokens and time, how it ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmkit.log import StructlogSink
from llmkit.record import Sink, check_sinks
from llmkit.request import CallNext, Request
from llmkit.stream_usage import StreamUsage

_PROMPTS = ("messages", "input", "prompt")


class UsageLog:
    """Reports every call to its sinks when the call is over, a stream when it has ended.

    `sinks` defaults to one `StructlogSink`. `content=True` also records prompts and answers; otherwise no text of
    either is kept. `include_usage` asks Chat streams for their token usage and hides the extra chunk that this
    adds; a model on a server that refuses `stream_options` is asked without, from then on.
    """

    def __init__(
        self, *, sinks: Iterable[Sink] | None = None, content: bool = False, include_usage: bool = True
    ) -> None:
        self._sinks: tuple[Sink, ...] = (StructlogSink(),) if sinks is None else check_sinks(sinks)
        self._content = content
        self._usage = StreamUsage() if include_usage else None

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Run the call with its record wired to the sinks."""
        record = request.record
        for sink in self._sinks:
            record.add_done_callback(sink)
        if self._content:
            record.capture_content = True
            record.prompt = next((request.body[key] for key in _PROMPTS if key in request.body), None)
        return await (call_next(request) if self._usage is None else self._usage.send(request, call_next))
