from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest

from llmkit.errors import CallTimeout, CircuitOpen, InvalidResponse, NoUsableKey, RateLimitTimeout
from llmkit.fallbacks import described, who_may_help

REQUEST = httpx2.Request("POST", "https://api.openai.com/v1/chat/completions")


def status(code: int, name: str | None = None) -> openai.APIStatusError:
    response = httpx2.Response(code, request=REQUEST)
    return openai.APIStatusError("the prompt", response=response, body={"code": name})


def made(kind: type[Exception]) -> Exception:
    return kind.__new__(kind)


@pytest.mark.parametrize("code", [404, 408, 409, 429, 500, 502, 503, 504, 529, 599])
def test_any_model_may_help_where_the_one_asked_cannot_answer(code: int) -> None:
    assert who_may_help(status(code), on=None) == "any"


@pytest.mark.parametrize("code", [400, 413, 422, 451])
def test_nobody_helps_a_request_that_is_wrong(code: int) -> None:
    assert who_may_help(status(code), on=None) == "none"


def test_what_the_account_is_refused_another_client_may_have() -> None:
    assert who_may_help(status(401), on=None) == who_may_help(status(403), on=None) == "another client"
    assert who_may_help(status(403, "model_not_found"), on=None) == "any"
    assert who_may_help(status(429, "insufficient_quota"), on=None) == "any"


@pytest.mark.parametrize(
    "error",
    [
        openai.APIConnectionError(request=REQUEST),
        openai.APITimeoutError(request=REQUEST),
        CallTimeout("total", 2, REQUEST),
        *map(made, (InvalidResponse, CircuitOpen, RateLimitTimeout, NoUsableKey)),
    ],
)
def test_any_model_may_help_where_none_was_reached(error: Exception) -> None:
    assert who_may_help(error, on=None) == "any"


def test_other_errors_are_no_ones() -> None:
    assert who_may_help(ValueError(), on=None) == "none"


@pytest.mark.parametrize(
    ("on", "error", "who"),
    [
        ((400,), status(400), "any"),
        ((400,), status(500), "none"),
        ((401,), status(401), "any"),
        ((ValueError,), ValueError(), "any"),
        ((openai.APIStatusError,), status(422), "any"),
        ((), status(500), "none"),
        (lambda error: "prompt" in str(error), status(418), "any"),
        (lambda error: False, status(500), "none"),
    ],
)
def test_a_choice_of_ones_own_replaces_the_default(on: Any, error: Exception, who: str) -> None:
    assert who_may_help(error, on=on) == who


def test_an_error_is_described_without_its_text() -> None:
    assert (described(status(503)), described(ValueError("the prompt"))) == ("APIStatusError 503", "ValueError")
