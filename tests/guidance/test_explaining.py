"""Every answer of the API that is an error, as the API sends it, and what is made of it."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import openai
import pytest

from llmkit.guidance import explain

OPENAI = "https://api.openai.com/v1"
AZURE = "https://acme.openai.azure.com/openai/deployments/chat"
LOCAL = "http://localhost:8000"


def failure(
    status: int,
    message: str = "",
    *,
    code: str | None = None,
    type: str | None = None,
    param: str | None = None,
    headers: dict[str, str] | None = None,
    base_url: str = OPENAI,
    sent: Any = None,
    path: str = "/chat/completions",
    body: Any = None,
) -> openai.APIStatusError:
    """The exception that the SDK makes of an answer."""
    given = {"model": "gpt-4o"} if sent is None else sent
    request = httpx2.Request("POST", base_url + path, content=json.dumps(given).encode())
    error = {"message": message, "code": code, "type": type, "param": param}
    response = httpx2.Response(status, json=body or {"error": error}, headers=headers, request=request)
    with openai.OpenAI(api_key="sk-fake") as client:
        return client._make_status_error_from_response(response)


KINDS: list[tuple[openai.APIStatusError, str, list[str]]] = [
    (
        failure(400, "This model's maximum context length is 8192 tokens.", code="context_length_exceeded"),
        "context_length",
        ["context window of gpt-4o", 'Context(on_overflow="trim")'],
    ),
    (failure(400, "This model's maximum context length is 8192 tokens."), "context_length", []),
    (
        failure(400, "...", code="invalid_function_parameters", param="tools[0].function.parameters"),
        "bad_schema",
        ["at tools[0].function.parameters", "additionalProperties: false"],
    ),
    (failure(400, "Invalid schema for response_format 'x': ...", param="response_format"), "bad_schema", []),
    (
        failure(400, "Unsupported parameter", code="unsupported_parameter", param="max_tokens", sent={"model": "o3"}),
        "unsupported_parameter",
        ["o3 does not take max_tokens", "Send max_completion_tokens instead"],
    ),
    (
        failure(400, "Unsupported value", code="unsupported_value", param="temperature"),
        "unsupported_parameter",
        ["Leave temperature out: reasoning models take its default only"],
    ),
    (
        failure(400, "Unsupported parameter", code="unsupported_parameter", param="reasoning_effort"),
        "unsupported_parameter",
        ["Leave reasoning_effort out"],
    ),
    (failure(400, "Unsupported parameter"), "unsupported_parameter", ["Leave it out"]),
    (
        failure(400, "Unknown parameter: 'temprature'.", code="unknown_parameter", param="temprature"),
        "unknown_parameter",
        ["the parameter temprature", "extra_body"],
    ),
    (failure(400, "Unrecognized request argument supplied: x"), "unknown_parameter", ["the parameter."]),
    (failure(400, "...", code="empty_array", param="messages"), "empty_messages", ["nothing in messages"]),
    (failure(400, "...", code="content_filter", base_url=AZURE), "content_filter", ["Reword the prompt"]),
    (failure(400, "Whatever.", param="seed"), "bad_request", ["at seed (400)"]),
    (failure(418), "bad_request", ["(418)"]),
    (
        failure(401, "Incorrect", code="invalid_api_key"),
        "invalid_key",
        ["OpenAI refused the key (401 invalid_api_key)"],
    ),
    (failure(401, base_url=LOCAL), "invalid_key", ["localhost:8000 refused the key", "not OpenAI's server"]),
    (failure(401, base_url=AZURE), "invalid_key", ["AZURE_OPENAI_API_KEY", "azure_endpoint"]),
    (failure(401, code="mismatched_project"), "wrong_account", ["organization= or project= of the client"]),
    (failure(401, "You have insufficient permissions for this operation."), "permission", ["Keys can be restricted"]),
    (failure(403, "No."), "permission", ["(403)"]),
    (failure(403, code="unsupported_country_region_territory"), "region", ["supported country"]),
    (failure(403, "Country, region, or territory not supported"), "region", []),
    (failure(403, code="model_not_found"), "model_not_found", ["has no access to it"]),
    (
        failure(404, code="model_not_found", sent={"model": "gpt-4o-minni"}),
        "model_not_found",
        ["has no model gpt-4o-minni", "Did you mean gpt-4o-mini or", "client.models.list()"],
    ),
    (
        failure(404, "The model `x` does not exist", sent={"model": "zzzzzzzz"}),
        "model_not_found",
        ["no model zzzzzzzz"],
    ),
    (failure(404, code="model_not_found", sent=[1]), "model_not_found", ["no model that name"]),
    (failure(404, "no such model", base_url=LOCAL), "model_not_found", ["client.models.list()"]),
    (failure(404, code="DeploymentNotFound", base_url=AZURE), "model_not_found", ["name you gave the deployment"]),
    (failure(404, "No file found", path="/files/file-1", sent={}), "not_found", ["no object with that id"]),
    (failure(404, "Invalid URL (POST /v1/chat)", path="/chat", sent={}), "wrong_path", ["nothing at the path"]),
    (failure(404, body={"detail": "Not Found"}, base_url=LOCAL), "wrong_path", ["Its path has no /v1."]),
    (failure(408), "request_timeout", ["stopped waiting for the request (408)"]),
    (failure(407), "proxy", ["NO_PROXY"]),
    (failure(409), "conflict", ["one change at a time"]),
    (failure(413), "too_large", ["client.files.create"]),
    (failure(422), "unprocessable", ["cannot make sense of the request."]),
    (
        failure(422, body={"detail": [{"loc": ["body", "messages", 0, "content"], "msg": "..."}]}, base_url=LOCAL),
        "unprocessable",
        ["at messages.0.content"],
    ),
    (failure(429, "Rate limit", code="rate_limit_exceeded", type="tokens"), "rate_limit", ["tokens a minute (tpm)"]),
    (failure(429, "Rate limit", type="requests"), "rate_limit", ["requests a minute (rpm)", "RateLimit("]),
    (failure(429), "rate_limit", ["Too many calls for gpt-4o"]),
    (failure(429, code="insufficient_quota"), "quota", ["out of credit", "neither waiting nor another attempt"]),
    (failure(429, "You exceeded your current quota, please check"), "quota", []),
    (failure(429, "Request too large for gpt-4o"), "request_too_large", ["waiting does not help"]),
    (failure(500), "server_error", ["api.openai.com failed (500)", "status.openai.com"]),
    (failure(500, base_url=LOCAL), "server_error", ["the provider's status page"]),
    (failure(503, code="slow_down"), "overloaded", []),
    (failure(500, code="overloaded_error"), "overloaded", []),
    (failure(504), "gateway", ["A gateway or proxy"]),
]


@pytest.mark.parametrize(("error", "kind", "said"), KINDS, ids=[f"{e.status_code} {kind}" for e, kind, _ in KINDS])
def test_an_error_of_the_api_is_explained(error: openai.APIStatusError, kind: str, said: list[str]) -> None:
    explanation = explain(error)
    assert explanation.kind == kind
    text = f"{explanation.what} {explanation.why} {explanation.todo}"
    for piece in said:
        assert piece in text
    for sentence in (explanation.what, explanation.why, explanation.todo):
        assert sentence == sentence.strip()
        assert sentence[-1] in ".)"


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (failure(400), False),
        (failure(408), True),
        (failure(429), True),
        (failure(429, code="insufficient_quota"), False),
        (failure(429, "Request too large for gpt-4o"), False),
        (failure(500), True),
        (failure(500, headers={"x-should-retry": "false"}), False),
        (failure(429, headers={"retry-after": "7"}), True),
        (failure(429, headers={"retry-after": "700"}), False),
        (openai.OpenAIError("x"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_it_says_whether_another_attempt_may_help(error: BaseException, retryable: bool) -> None:
    assert explain(error).retryable is retryable


def test_the_wait_that_the_server_asks_for_and_its_request_id_are_told() -> None:
    explanation = explain(failure(429, headers={"retry-after": "7", "x-request-id": "req_1"}))
    assert (explanation.retry_after, explanation.request_id) == (7, "req_1")
    explanation = explain(failure(500, headers={"x-request-id": "who? me"}))
    assert (explanation.retry_after, explanation.request_id) == (None, None)


def test_a_date_to_come_back_at_is_taken_from_the_clock_that_is_given() -> None:
    error = failure(503, headers={"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"})
    assert explain(error, now=70.0).retry_after == 30
    assert explain(error).retry_after is None  # long past


def test_a_rate_limit_names_the_limit_that_is_spent_and_when_it_is_full_again() -> None:
    headers = {
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-remaining-requests": "499",
        "x-ratelimit-reset-tokens": "6m12.5s",
    }
    explanation = explain(failure(429, headers=headers))
    assert "Too many tokens a minute (tpm) for gpt-4o" in explanation.what
    assert "The limit of 30000" in explanation.why
    assert "full again in 6m12.5s" in explanation.why
    both = headers | {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-tokens": "soon, Rosalind"}
    assert "soon" not in explain(failure(429, headers=both, type="tokens")).why


def test_variables_that_are_set_are_named_and_their_values_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://secret.test")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    assert explain(failure(401)).why.endswith("OPENAI_BASE_URL is set: requests go to api.openai.com.")
    assert "from OPENAI_ORG_ID in the environment" in explain(failure(401, code="mismatched_organization")).why
    assert "secret" not in str(explain(failure(401)))


def broken_call() -> list[dict[str, Any]]:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "user", "content": "y"},
    ]


MUST_FOLLOW = "An assistant message with 'tool_calls' must be followed by tool messages responding to each ..."
MUST_RESPOND = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."


@pytest.mark.parametrize(
    ("error", "what", "why"),
    [
        (
            failure(400, MUST_FOLLOW, param="messages", sent={"messages": broken_call()}),
            "messages[1] breaks",
            "no result right after it",
        ),
        (
            failure(400, MUST_RESPOND, sent={"messages": [{"role": "tool", "tool_call_id": "a", "content": ""}]}),
            "messages[0] breaks",
            "the result of a tool call that no message before it makes",
        ),
        (failure(400, MUST_RESPOND, param="messages.[3].role"), "messages[3] breaks", "the result of a tool call"),
        (
            failure(400, "No tool output found for function call call_1.", param="input", path="/responses"),
            "do not belong together",
            "no result right after it",
        ),
    ],
)
def test_the_message_that_breaks_a_tool_history_is_named(error: Any, what: str, why: str) -> None:
    explanation = explain(error)
    assert explanation.kind == "tool_history"
    assert what in explanation.what
    assert why in explanation.why


@pytest.mark.parametrize(
    ("code", "kind", "what"),
    [
        ("rate_limit_exceeded", "rate_limit", "(rate_limit_exceeded)"),
        ("server_error", "server_error", "failed (server_error)"),
        (None, "server_error", "failed (as its stream reports)"),
        ("context_length_exceeded", "context_length", "context window"),
        ("invalid_api_key", "invalid_key", "refused the key"),
    ],
)
def test_an_error_that_a_stream_reports_is_read_by_its_code(code: str | None, kind: str, what: str) -> None:
    request = httpx2.Request("POST", OPENAI + "/responses", content=b"{}")
    explanation = explain(openai.APIError("...", request, body={"message": "...", "code": code}))
    assert explanation.kind == kind
    assert what in explanation.what


def test_words_of_the_server_are_never_repeated() -> None:
    secret = "the patient Rosalind"
    headers = {"x-request-id": secret, "x-ratelimit-reset-requests": secret, "x-ratelimit-limit-requests": secret}
    for status in (400, 401, 403, 404, 409, 413, 422, 429, 500):
        error = failure(status, secret, code=secret, type=secret, param=secret, headers=headers, sent={"model": secret})
        assert "Rosalind" not in str(explain(error))


def test_a_request_that_cannot_be_read_is_no_obstacle() -> None:
    error = failure(404, code="model_not_found")
    error.request = httpx2.Request("POST", OPENAI, content=iter([b"..."]))
    assert explain(error).what == "api.openai.com has no model that name for this key."
    error.request = httpx2.Request(
        "POST", OPENAI, content=b'{"model": "gpt-4o", "messages": "%b"}' % (b"x" * 2_000_000)
    )
    assert "no model that name" in explain(error).what
    error.request = None  # type: ignore[assignment]
    assert explain(error).what == "the server has no model that name for this key."


def test_an_event_that_is_not_json_is_a_malformed_answer() -> None:
    found = explain(json.JSONDecodeError("Expecting value", "the patient Rosalind", 0))
    assert (found.kind, found.retryable) == ("invalid_response", False)
    assert "Rosalind" not in repr(found)
