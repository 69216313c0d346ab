from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from llmkit.batches.results import FailedRequest, no_result, read_results


def line(index: int, *, status: int | None = 200, body: object = None, error: object = None, **more: object) -> bytes:
    response = None if status is None else {"status_code": status, "request_id": "req", "body": body}
    return json.dumps({"custom_id": f"request-{index}", "response": response, "error": error} | more).encode()


def results(*lines: bytes, endpoint: str = "/v1/chat/completions") -> dict[int, Any]:
    return dict(read_results(b"\n".join(lines) + b"\n\n", endpoint=endpoint))


@pytest.mark.parametrize(
    ("endpoint", "answer_type"),
    [
        ("/v1/chat/completions", ChatCompletion),
        ("/v1/responses", Response),
        ("/v1/embeddings", CreateEmbeddingResponse),
    ],
)
def test_an_answer_is_the_sdks_object(endpoint: str, answer_type: type) -> None:
    found = results(line(4, body={"model": "m", "usage": {"total_tokens": 3}}), endpoint=endpoint)
    assert type(found[4]) is answer_type
    assert found[4].usage.total_tokens == 3


@pytest.mark.parametrize(
    ("given", "status", "code", "message"),
    [
        ({"status": 400, "body": {"error": {"code": "bad", "message": "no"}}}, 400, "bad", "no"),
        ({"status": 500, "body": {"error": {"code": None, "type": "server_error"}}}, 500, "server_error", ""),
        ({"status": 502, "body": "<html>"}, 502, None, ""),
        ({"status": None, "error": {"code": "batch_expired", "message": "late"}}, None, "batch_expired", "late"),
        ({"status": 200, "body": {}, "error": {"code": "odd"}}, 200, "odd", ""),
    ],
)
def test_a_failure_says_what_the_api_says(
    given: dict[str, Any], status: int | None, code: str | None, message: str
) -> None:
    found = results(line(2, **given))[2]
    assert found == FailedRequest(index=2, status_code=status, code=code, message=message)
    assert found.custom_id == "request-2"
    assert "no" not in repr(found).replace("None", "")


def test_lines_of_somebody_else_are_passed_over() -> None:
    assert list(results(line(1, body={}), line(2, body={}, custom_id="mine"))) == [1]


@pytest.mark.parametrize(
    ("status", "code"),
    [("expired", "batch_expired"), ("cancelled", "batch_cancelled"), ("completed", "no_result")],
)
def test_a_request_nobody_mentions_has_failed(status: str, code: str) -> None:
    assert (no_result(3, status=status).code, no_result(3, status=status).index) == (code, 3)
