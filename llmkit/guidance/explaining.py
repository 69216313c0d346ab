"""Which reading an error gets: by its class, then by its code, what its message speaks of, and its status."""

from __future__ import annotations

import json
import time
from typing import TypeGuard

import openai

from llmkit.errors import InvalidResponse, LLMKitError
from llmkit.guidance.access import explain_access
from llmkit.guidance.connection import CONNECTION_KINDS, explain_connection
from llmkit.guidance.explanation import Advice, Explanation
from llmkit.guidance.failure import Failure
from llmkit.guidance.load import explain_load
from llmkit.guidance.missing_key import explain_missing_key, is_missing_key
from llmkit.guidance.own import explain_invalid, explain_own
from llmkit.guidance.refusals import BY_STATUS, REFUSALS
from llmkit.retries import server_wait, worth_retrying
from llmkit.streaming.facts import plain
from llmkit.streaming.hints import CUT, FILTERED

_HOPELESS = CONNECTION_KINDS | {"request_too_large"}
_READ = frozenset({None, 400, 404, 413, 422})
"""Statuses at which the server's words are looked at; None is an error that a stream reports."""
_LOAD = frozenset({407, 408, 409, 429})
_ACCESS = frozenset({401, 403, 404})
_ACCESS_CODES = frozenset({"invalid_api_key", "model_not_found"})
_TRANSPORTS = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "aiohttp"})

_PLAIN_CASES: tuple[tuple[type[Exception], Advice], ...] = (
    (
        openai.APIResponseValidationError,
        Advice(
            "invalid_response",
            "The answer is not what the SDK's types promise.",
            "The client validates strictly, and the server is not quite OpenAI-compatible.",
            "Leave strict validation off, or take it to whoever runs the server, with the request id.",
        ),
    ),
    (
        json.JSONDecodeError,
        Advice(
            "invalid_response",
            "The server sent something that is not JSON.",
            "A proxy cut or changed the answer, or the server is not OpenAI-compatible.",
            "Send the request again; if it stays, take it to whoever runs the server, with the request id.",
        ),
    ),
    (
        openai.LengthFinishReasonError,
        Advice("length", "The answer was cut, so it cannot be parsed.", "It reached its limit of tokens.", CUT),
    ),
    (
        openai.ContentFilterFinishReasonError,
        Advice("content_filter", "There is no answer to parse.", "A content filter stopped it.", FILTERED),
    ),
)
_SDK = Advice(
    "sdk_error",
    "The openai package refused to go on.",
    "It found something wrong by itself, before or after the request.",
    "Its message says what.",
)


def explain(error: BaseException, *, now: float | None = None) -> Explanation:
    """What `error` means, why it happened and what to do next.

    For every error of the openai SDK, of llmkit and of the HTTP library below; any other is of the kind "unknown".
    `now` is seconds since the epoch, for a server that names a date to come back.
    """
    kind, what, why, todo = _advice(error)
    moment = time.time() if now is None else now
    failed = error if isinstance(error, Exception) else None
    return Explanation(
        kind=kind,
        what=what,
        why=why,
        todo=todo,
        retryable=failed is not None and kind not in _HOPELESS and worth_retrying(failed, now=moment),
        retry_after=_retry_after(failed, moment),
        request_id=plain(getattr(error, "request_id", None)),
    )


def _advice(error: BaseException) -> Advice:
    if isinstance(error, LLMKitError):
        return explain_invalid(error) if isinstance(error, InvalidResponse) else explain_own(error)
    if isinstance(error, openai.APIConnectionError) or _is_transports(error):
        return explain_connection(Failure(error))
    if is_missing_key(error):
        return explain_missing_key(error)
    for kind, advice in _PLAIN_CASES:
        if isinstance(error, kind):
            return advice
    if isinstance(error, openai.APIError):
        return _of_api(Failure(error))
    if isinstance(error, openai.OpenAIError):
        return _SDK
    return Advice(
        "unknown",
        f"{type(error).__name__} was raised.",
        "It is neither the API's error nor llmkit's.",
        "See its message and its traceback.",
    )


def _is_transports(error: BaseException) -> TypeGuard[Exception]:
    return isinstance(error, Exception) and type(error).__module__.partition(".")[0] in _TRANSPORTS


def _retry_after(error: Exception | None, now: float) -> float | None:
    """What the server asks for, or what an error of llmkit's says by itself."""
    if error is None:
        return None
    own = getattr(error, "retry_after", getattr(error, "retry_in", None))
    return own if isinstance(own, float) else server_wait(error, now=now)


def _of_api(failure: Failure) -> Advice:
    code, status = (failure.code or "").lower(), failure.status
    for codes, words, reading in REFUSALS:
        if code in codes or (status in _READ and any(piece in failure.words for piece in words)):
            return reading(failure)
    if status in _ACCESS or code in _ACCESS_CODES:
        return explain_access(failure)
    if status in BY_STATUS:
        return BY_STATUS[status](failure)
    waits = status is None or status >= 500 or status in _LOAD
    return explain_load(failure) if waits else BY_STATUS[400](failure)
