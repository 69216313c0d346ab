"""What each queued answer turns into on the wire."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import httpx2

from llmkit.testing._fake_records import (
    Answer,
    ApiError,
    FakeRequest,
    Outcome,
    ToolCall,
    Turn,
    json_bytes,
    json_text,
)
from llmkit.testing._fake_routes import Operation

_TYPES = {429: "requests"}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_MESSAGES = {
    "context_length_exceeded": "This model's maximum context length was exceeded.",
    "insufficient_quota": "You exceeded your current quota, please check your plan and billing details.",
    "invalid_api_key": "Incorrect API key provided: sk-fake.",
    "model_not_found": "The model does not exist or you do not have access to it.",
    "rate_limit_exceeded": "Rate limit reached for requests.",
}
_REQUEST_LIMIT = 10_000
_TOKEN_LIMIT = 2_000_000


def answer(operation: Operation, turn: Turn) -> Answer:
    """The successful answer to a request, streamed when it asks for that."""
    if operation.events is not None and turn.body.get("stream"):
        parts = tuple(operation.events(turn))
        kept = parts[: turn.reply.drop_after]
        kind = "text/event-stream; charset=utf-8"
    else:
        parts = (json_bytes(operation.body(turn)),)
        kept = parts if turn.reply.drop_error is None else (parts[0][: len(parts[0]) // 2],)
        kind = "application/json"
    headers = _success_headers(turn) | {"content-type": kind}
    return Answer(headers=httpx2.Headers(headers), parts=kept, error=turn.reply.drop_error)


def error(
    status: int,
    *,
    code: str | None,
    message: str | None,
    type: str | None,
    param: str | None,
    headers: Mapping[str, str],
) -> Outcome:
    """An error of the API, completed with what it usually says."""
    known_code = code or _CODES.get(status)
    planned = ApiError(
        status=status,
        message=message or _MESSAGES.get(known_code or "", f"The fake API answered {status}."),
        type=type or _error_type(status, known_code),
        param=param,
        code=known_code,
        headers=headers,
    )
    return lambda _request, number: planned.answer(number)


def failure(exception: Exception) -> Outcome:
    """An exception that the transport raises instead of answering."""

    def outcome(_request: FakeRequest, _number: int) -> Answer:
        raise exception

    return outcome


def response(planned: httpx2.Response | Callable[[FakeRequest], httpx2.Response]) -> Outcome:
    """A response of the user's own, with a body that can be read without a loop."""

    def outcome(request: FakeRequest, _number: int) -> Answer:
        given = planned if isinstance(planned, httpx2.Response) else planned(request)
        if not isinstance(given.stream, httpx2.SyncByteStream):
            raise TypeError("FakeOpenAI.respond() needs a body of bytes, text, JSON or a plain iterator")
        return Answer(status=given.status_code, headers=given.headers, parts=tuple(given.stream))

    return outcome


def tool_calls(calls: Iterable[tuple[str, Mapping[str, object] | str]]) -> tuple[ToolCall, ...]:
    """Tool calls with their arguments as JSON text."""
    return tuple(
        ToolCall(name=name, arguments=given if isinstance(given, str) else json_text(dict(given)))
        for name, given in calls
    )


def _error_type(status: int, code: str | None) -> str:
    if code == "insufficient_quota":
        return code
    return _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")


def _success_headers(turn: Turn) -> dict[str, str]:
    return {
        "openai-organization": "org-fake",
        "openai-processing-ms": "12",
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": str(_REQUEST_LIMIT),
        "x-ratelimit-limit-tokens": str(_TOKEN_LIMIT),
        "x-ratelimit-remaining-requests": str(_REQUEST_LIMIT - 1),
        "x-ratelimit-remaining-tokens": str(max(0, _TOKEN_LIMIT - turn.prompt_tokens)),
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "1ms",
        "x-request-id": f"req_fake_{turn.number}",
    }
