"""Chat streams bring no usage unless asked, and some servers refuse to be asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openai

from llmkit.request import CallNext, Request
from llmkit.streaming.facts import parts_of, values_of

_MOST_REFUSALS = 1_000
"""Models of servers remembered; those beyond are asked twice each time."""
_STREAMS_WITHOUT_USAGE = frozenset({"chat.completions", "completions"})


class StreamUsage:
    """Sends streams with `include_usage`; a model on a server that refuses it is asked without, from then on.

    The client hides the extra chunk from callers who did not ask for it.
    """

    def __init__(self) -> None:
        self._refused_by: set[tuple[str, str | None]] = set()

    async def send(self, request: Request, call_next: CallNext) -> Any:
        """What `call_next` answers to the request, with usage where that can be had."""
        if not self._wanted(request):
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

    def _wanted(self, request: Request) -> bool:
        if not (request.stream and request.operation in _STREAMS_WITHOUT_USAGE):
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
