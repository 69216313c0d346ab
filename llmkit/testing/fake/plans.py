"""What each queued answer turns into, checked while it is queued."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import get_args

import httpx2

from llmkit.testing.fake.arguments import (
    check_count,
    check_exception,
    check_finish_reason,
    check_text,
    check_usage,
    tool_calls,
    type_name,
)
from llmkit.testing.fake.batches import BatchPlan, Ending
from llmkit.testing.fake.records import Answer, ApiError, FakeRequest, Outcome, Reply

_TYPES = {429: "requests"}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_MESSAGES = {
    "context_length_exceeded": "This model's maximum context length was exceeded.",
    "insufficient_quota": "You exceeded your current quota, please check your plan and billing details.",
    "invalid_api_key": "Incorrect API key provided: sk-fake.",
    "model_not_found": "The model does not exist or you do not have access to it.",
    "rate_limit_exceeded": "Rate limit reached for requests.",
}


def reply(
    text: str | None,
    *,
    calls: Iterable[tuple[str, Mapping[str, object] | str]],
    refusal: str | None,
    finish_reason: str | None,
    usage: Mapping[str, object] | None,
) -> Reply:
    """A reply of the model."""
    check_text("text", text)
    check_text("refusal", refusal)
    check_finish_reason(finish_reason)
    figures: Mapping[str, object] = {} if usage is None else usage
    check_usage(figures)
    return Reply(text=text, tool_calls=tool_calls(calls), refusal=refusal, finish_reason=finish_reason, usage=figures)


def drop(
    text: str | None,
    *,
    after: int,
    calls: Iterable[tuple[str, Mapping[str, object] | str]],
    error: Exception | None,
) -> Reply:
    """A reply whose connection breaks before its end."""
    check_text("text", text)
    check_count("after", after, least=0)
    broken = httpx2.ReadError("the fake connection was dropped") if error is None else error
    check_exception("error", broken)
    return Reply(text=text, tool_calls=tool_calls(calls), drop_after=after, drop_error=broken)


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
    check_count("the status of an error", status, least=400)
    known_code = code or _CODES.get(status)
    planned = ApiError(
        status=status,
        message=message or _MESSAGES.get(known_code or "", f"The fake API answered {status}."),
        type=type or _error_type(status, known_code),
        param=param,
        code=known_code,
        headers=httpx2.Headers(headers),
    )
    return lambda _request, number: planned.answer(number)


def batch(polls: int, status: Ending, done: int | None, failing: Mapping[int, int]) -> BatchPlan:
    """How a batch goes."""
    check_count("polls", polls, least=0)
    if status not in get_args(Ending):
        raise ValueError(f"status={status!r} is no end of a batch; use one of {', '.join(get_args(Ending))}")
    for line, of_line in failing.items():
        check_count("a line of failing", line, least=1)
        check_count("the status of a failing line", of_line, least=400)
    return BatchPlan(polls=polls, status=status, done=done, failing=dict(failing))


def failure(exception: Exception) -> Outcome:
    """An exception that the transport raises instead of answering."""
    check_exception("fail(error)", exception)

    def outcome(_request: FakeRequest, _number: int) -> Answer:
        raise exception

    return outcome


def response(planned: httpx2.Response | Callable[[FakeRequest], httpx2.Response]) -> Outcome:
    """A response of the user's own, with a body that can be read without a loop."""
    if not callable(planned):
        _checked(planned)

    def outcome(request: FakeRequest, _number: int) -> Answer:
        given, body = _checked(planned(request) if callable(planned) else planned)
        return Answer(status=given.status_code, headers=given.headers, parts=tuple(body))

    return outcome


def _checked(given: object) -> tuple[httpx2.Response, httpx2.SyncByteStream]:
    if not isinstance(given, httpx2.Response):
        wanted = "an httpx2.Response, or a function that makes one from the request"
        raise TypeError(f"respond() needs {wanted}, not {type_name(given)}")
    if not isinstance(given.stream, httpx2.SyncByteStream):
        raise TypeError("respond() needs a response whose body is bytes, text, JSON or a plain iterator")
    return given, given.stream


def _error_type(status: int, code: str | None) -> str:
    if code == "insufficient_quota":
        return code
    return _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
