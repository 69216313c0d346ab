"""One event for every call: who asked which model, what it cost in tokens and time, how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import openai

from llmkit.log import StructlogSink
from llmkit.record import Sink
from llmkit.request import CallNext, Request

_STREAMS_WITHOUT_USAGE = frozenset({"chat.completions", "completions"})


class UsageLog:
    """Reports every call to its sinks when the call is over, a stream when it has ended.

    `sinks` defaults to one `StructlogSink`. `content=True` also records prompts and answers; otherwise no text of
    either is kept. `include_usage` asks Chat streams for their token usage and hides the extra chunk that this
    adds; a server that refuses `stream_options` is asked without, from then on.
    """

    def __init__(
        self, *, sinks: Iterable[Sink] | None = None, content: bool = False, include_usage: bool = True
    ) -> None:
        self._sinks: tuple[Sink, ...] = (StructlogSink(),) if sinks is None else tuple(sinks)
        self._content = content
        self._include_usage = include_usage
        self._refused_by: set[str] = set()

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Run the call with its record wired to the sinks."""
        record = request.record
        for sink in self._sinks:
            record.add_done_callback(sink)
        if self._content:
            record.capture_content = True
            record.prompt = request.body.get("messages", request.body.get("input"))
        if not self._wants_usage(request):
            return await call_next(request)
        try:
            return await call_next(_with_usage(request))
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            if "stream_options" not in str(error.body):
                raise
            self._refused_by.add(request.base_url)
        return await call_next(request)

    def _wants_usage(self, request: Request) -> bool:
        if not (self._include_usage and request.stream and request.operation in _STREAMS_WITHOUT_USAGE):
            return False
        if request.base_url in self._refused_by:
            return False
        given = request.body.get("stream_options")
        return given is None or (isinstance(given, Mapping) and "include_usage" not in given)


def _with_usage(request: Request) -> Request:
    given: Mapping[str, Any] = request.body.get("stream_options") or {}
    return request.replace(body={**request.body, "stream_options": {**given, "include_usage": True}})
