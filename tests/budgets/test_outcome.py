from __future__ import annotations

import asyncio

import httpx2
import openai
import pytest

from llmkit import CallRecord
from llmkit.budgets.outcome import never_served
from llmkit.errors import CircuitOpen
from llmkit.record import FailedAttempt
from llmkit.runtime import SYNC

REQUEST = httpx2.Request("POST", "https://fake.openai.test/v1")


def record(attempts: int, *failures: str) -> CallRecord:
    failed = [
        FailedAttempt(at=0, model=None, base_url="", error=error, error_code=None, status_code=None)
        for error in failures
    ]
    return CallRecord(operation="chat.completions", model="m", attempts=attempts, failures=failed, runtime=SYNC)


def no_connection(cause: Exception | None, kind: type[openai.APIConnectionError]) -> Exception:
    error = kind(request=REQUEST)
    error.__cause__ = cause
    return error


STATUS = openai.RateLimitError("slow down", response=httpx2.Response(429, request=REQUEST), body=None)
REFUSED = no_connection(httpx2.ConnectError(""), openai.APIConnectionError)
UNREACHABLE = no_connection(httpx2.ConnectTimeout(""), openai.APITimeoutError)
SLOW = no_connection(httpx2.ReadTimeout(""), openai.APITimeoutError)
BROKEN = no_connection(httpx2.ReadError(""), openai.APIConnectionError)


@pytest.mark.parametrize(
    ("error", "attempts", "failures", "expected"),
    [
        (STATUS, 1, ["RateLimitError"], True),
        (STATUS, 3, ["RateLimitError"], True),  # the SDK's own retries are one pass
        (REFUSED, 1, ["APIConnectionError"], True),
        (UNREACHABLE, 1, ["APITimeoutError"], True),
        (SLOW, 1, ["APITimeoutError"], False),
        (BROKEN, 1, ["APIConnectionError"], False),
        (openai.ContentFilterFinishReasonError(), 1, ["ContentFilterFinishReasonError"], False),
        (CircuitOpen("left alone"), 1, ["InternalServerError"], True),
        (ValueError("of a layer, after the answer"), 1, [], False),
        (asyncio.CancelledError(), 1, [], False),
        (asyncio.CancelledError(), 2, ["InternalServerError"], False),
        (asyncio.CancelledError(), 2, ["InternalServerError", "InternalServerError"], True),  # while Retry waited
    ],
)
def test_what_cannot_be_billed(error: BaseException, attempts: int, failures: list[str], expected: bool) -> None:
    assert never_served(error, record(attempts, *failures)) is expected
