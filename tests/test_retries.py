from __future__ import annotations

import itertools
import ssl
from collections import deque
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmkit.errors import InvalidResponse, LLMKitError
from llmkit.retries import (
    MAX_SERVER_WAIT,
    QUOTA_CODES,
    check_retry_on,
    room_for_a_retry,
    seconds,
    server_wait,
    waits,
    worth_retrying,
)

NOW = 1_700_000_000.0
REQUEST = httpx2.Request("POST", "https://api.openai.com/v1/chat/completions")


def status_error(status: int, *, code: str | None = None, **headers: str) -> openai.APIStatusError:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx2.Response(status, headers=names, request=REQUEST)
    return openai.APIStatusError("failed", response=response, body={"code": code})


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_passing_troubles_are_worth_another_attempt(status: int) -> None:
    assert worth_retrying(status_error(status), now=NOW)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_the_callers_mistakes_are_not(status: int) -> None:
    assert not worth_retrying(status_error(status), now=NOW)


@pytest.mark.parametrize("code", sorted(QUOTA_CODES))
def test_an_exhausted_quota_is_never_retried_even_when_the_server_says_so(code: str) -> None:
    assert not worth_retrying(status_error(429, code=code, x_should_retry="true"), now=NOW)


def test_the_server_decides_with_x_should_retry() -> None:
    assert worth_retrying(status_error(400, x_should_retry="true"), now=NOW)
    assert not worth_retrying(status_error(500, x_should_retry="false"), now=NOW)
    assert worth_retrying(status_error(500, x_should_retry="perhaps"), now=NOW)


def test_connection_errors_and_timeouts_are_worth_it_and_other_errors_are_not() -> None:
    assert worth_retrying(openai.APIConnectionError(request=REQUEST), now=NOW)
    assert worth_retrying(openai.APITimeoutError(REQUEST), now=NOW)
    assert not worth_retrying(openai.OpenAIError("local"), now=NOW)
    assert not worth_retrying(LLMKitError("local"), now=NOW)
    assert not worth_retrying(TimeoutError(), now=NOW)
    assert worth_retrying(InvalidResponse("no JSON", operation="responses", missing="JSON"), now=NOW)
    assert server_wait(openai.APITimeoutError(REQUEST), now=NOW) is None


def test_what_stays_as_it_is_is_not_tried_again() -> None:
    def caused_by(cause: Exception) -> openai.APIConnectionError:
        error, between = openai.APIConnectionError(request=REQUEST), httpx2.ConnectError("failed")
        error.__cause__, between.__cause__ = between, cause
        return error

    untrusted = ssl.SSLCertVerificationError(1, "certificate verify failed")
    assert not worth_retrying(caused_by(untrusted), now=NOW)
    assert not worth_retrying(caused_by(httpx2.UnsupportedProtocol("no http://")), now=NOW)
    assert not worth_retrying(caused_by(httpx2.LocalProtocolError("a line break in a header")), now=NOW)
    assert worth_retrying(caused_by(ssl.SSLEOFError(8, "the server hung up")), now=NOW)
    assert worth_retrying(caused_by(untrusted), now=NOW, retry_on=(openai.APIConnectionError,))
    endless = caused_by(OSError())
    for _ in range(20):
        endless, endless.__context__ = openai.APIConnectionError(request=REQUEST), endless
    assert worth_retrying(endless, now=NOW)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry_after": "2"}, 2.0),
        ({"retry_after": "0.25"}, 0.25),
        ({"retry_after_ms": "750", "retry_after": "9"}, 0.75),
        ({"retry_after_ms": "soon", "retry_after": "9"}, 9.0),
        ({"retry_after": "Tue, 14 Nov 2023 22:13:30 GMT"}, 10.0),
        ({"retry_after": "Tue, 14 Nov 2023 22:13:10 GMT"}, None),
        ({"retry_after": "tomorrow"}, None),
        ({"retry_after": "Tue, 99 Nov 2023 22:13:10 GMT"}, None),
        ({"retry_after": "-3"}, None),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "inf"}, None),
        ({"retry_after": "1e999"}, MAX_SERVER_WAIT + 1),
    ],
)
def test_the_servers_wait_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert server_wait(status_error(429, **headers), now=NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"remaining_requests": "0", "reset_requests": "1.5s"}, 1.5),
        ({"remaining_requests": "0", "reset_requests": "1s", "remaining_tokens": "0", "reset_tokens": "6m0s"}, 360.0),
        ({"remaining_requests": "1", "reset_requests": "1s", "remaining_tokens": "0", "reset_tokens": "20ms"}, 0.02),
        ({"remaining_requests": "1", "reset_requests": "9s"}, None),
        ({"remaining_requests": "0"}, None),
        ({"remaining_requests": "0", "reset_requests": "0s"}, None),
        ({"remaining_requests": "0", "reset_requests": "soon"}, None),
    ],
)
def test_without_a_retry_after_a_used_up_limit_says_how_long(headers: dict[str, str], seconds: float | None) -> None:
    limits = {f"x_ratelimit_{name}": value for name, value in headers.items()}
    assert server_wait(status_error(429, **limits), now=NOW) == seconds
    assert server_wait(status_error(429, **limits, retry_after="2"), now=NOW) == 2
    assert server_wait(status_error(503, **limits), now=NOW) is None


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("1h2m3s", 3723.0), ("6m0s", 360.0), ("750ms", 0.75), ("1.5s", 1.5), ("", None), ("5", None), ("1s!", None)],
)
def test_durations_are_read_as_the_api_writes_them(duration: str, expected: float | None) -> None:
    assert seconds(duration) == expected


def test_the_user_may_choose_the_errors() -> None:
    chosen = (400, TimeoutError, openai.APIConnectionError)
    assert worth_retrying(status_error(400), now=NOW, retry_on=chosen)
    assert worth_retrying(TimeoutError(), now=NOW, retry_on=chosen)
    assert worth_retrying(openai.APITimeoutError(REQUEST), now=NOW, retry_on=chosen)
    assert not worth_retrying(status_error(500), now=NOW, retry_on=chosen)
    assert not worth_retrying(status_error(500, x_should_retry="true"), now=NOW, retry_on=chosen)
    assert not worth_retrying(status_error(400, x_should_retry="false"), now=NOW, retry_on=chosen)
    assert not worth_retrying(status_error(429, code="insufficient_quota"), now=NOW, retry_on=(429,))


def test_a_function_decides_alone() -> None:
    quota = status_error(429, code="insufficient_quota")
    assert worth_retrying(quota, now=NOW, retry_on=lambda error: error is quota)
    assert not worth_retrying(status_error(500), now=NOW, retry_on=lambda error: error is quota)


@pytest.mark.parametrize("chosen", ["429", 429, TimeoutError, ["429"], [str]])
def test_a_choice_that_is_none_is_refused(chosen: Any) -> None:
    with pytest.raises(TypeError, match=r"429|class"):
        check_retry_on(chosen)


@pytest.mark.parametrize("chosen", [None, (), (429,), {TimeoutError}, bool])
def test_statuses_classes_and_functions_are_choices(chosen: Any) -> None:
    check_retry_on(chosen if chosen is not bool else (lambda error: bool(error)))


def test_retries_of_the_last_minute_are_counted() -> None:
    recent = deque[float]()
    asked = [0.0, 10.0, 20.0, 59.9, 60.0, 60.1, 70.0, 200.0]
    assert [room_for_a_retry(recent, now, limit=2) for now in asked] == [
        True,
        True,
        False,
        False,
        True,
        False,
        True,
        True,
    ]
    assert list(recent) == [200.0]


@pytest.mark.parametrize("asked", ["121", "3600", "1e999"])
def test_a_wait_of_more_than_two_minutes_is_not_waited(asked: str) -> None:
    assert not worth_retrying(status_error(429, retry_after=asked), now=NOW)


def test_a_wait_of_two_minutes_is() -> None:
    assert worth_retrying(status_error(429, retry_after="120"), now=NOW)


def test_waits_double_up_to_the_cap() -> None:
    longest: list[float] = list(itertools.islice(waits(first=0.5, cap=8, random=lambda: 0.0), 7))
    assert longest == [0.5, 1, 2, 4, 8, 8, 8]


@given(st.floats(0, 1, exclude_max=True), st.floats(0.01, 5), st.integers(1, 40))
def test_jitter_keeps_every_wait_above_zero_and_within_its_ceiling(jitter: float, first: float, count: int) -> None:
    made: Any = itertools.islice(waits(first=first, cap=60, random=lambda: jitter), count)
    for n, wait in enumerate(made):
        assert 0 < wait <= min(60, first * 2**n)
