"""One event for every call: who asked which model, what it cost in tokens and time, how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import openai

from llmkit.log import StructlogSink
from llmkit.record import Sink, check_sinks
from llmkit.request import CallNext, Request
from llmkit.streaming.facts import parts_of, values_of

_PROMPTS = ("messages", "input", "prompt")
_MOST_REFUSALS = 1_000
"""Models of servers remembered; those beyond are asked twice each time."""
_STREAMS_WITHOUT_USAGE = frozenset({"chat.completions", "completions"})


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
        self._include_usage = include_usage
        self._refused_by: set[tuple[str, str | None]] = set()

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Run the call with its record wired to the sinks."""
        record = request.record
        for sink in self._sinks:
            record.add_done_callback(sink)
        if self._content:
            record.capture_content = True
            record.prompt = next((request.body[key] for key in _PROMPTS if key in request.body), None)
        if not self._wants_usage(request):
            return await call_next(request)
        try:
            return await call_next(_with_usage(request))
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            if request.body.get("stream_options") is not None or not _blames_stream_options(error):
                raise
        answer = await call_next(request)
        if len(self._refused_by) < _MOST_REFUSALS:
            self._refused_by.add((request.base_url, request.model))
        return answer

    def _wants_usage(self, request: Request) -> bool:
        if not (self._include_usage and request.stream and request.operation in _STREAMS_WITHOUT_USAGE):
            return False
        if (request.base_url, request.model) in self._refused_by:
            return False
        given = request.body.get("stream_options")
        return given is None or (isinstance(given, Mapping) and "include_usage" not in given)


def _blames_stream_options(error: openai.APIStatusError) -> bool:
    """OpenAI's errors name a parameter or say it in the message; FastAPI's, of other servers, have a location."""
    places = [item.get("loc") for item in parts_of(values_of(error.body), "detail")]
    return any("stream_options" in str(blamed) for blamed in (error.param, error.message, *places))


def _with_usage(request: Request) -> Request:
    given: Mapping[str, Any] = request.body.get("stream_options") or {}
    return request.replace(body={**request.body, "stream_options": {**given, "include_usage": True}})
