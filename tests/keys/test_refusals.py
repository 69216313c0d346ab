from __future__ import annotations

import httpx2
import openai
import pytest

from llmkit.keys.refusals import Refusal, refusal

REQUEST = httpx2.Request("POST", "https://api.openai.com/v1/x")


def error(status: int, code: str | None = None, message: str = "no", headers: dict[str, str] | None = None) -> (
    openai.APIStatusError
):  # fmt: skip
    response = httpx2.Response(status, request=REQUEST, headers=headers or {})
    return openai.APIStatusError(message, response=response, body={"code": code, "message": message})


@pytest.mark.parametrize(
    ("status", "code", "because"),
    [
        (401, None, "401"),
        (401, "invalid_api_key", "401 invalid_api_key"),
        (401, "mismatched_organization", "401"),
        (402, None, "402"),
        (403, "account_deactivated", "403 account_deactivated"),
        (429, "insufficient_quota", "429 insufficient_quota"),
        (429, "billing_not_active", "429 billing_not_active"),
        (403, "access_terminated", "403 access_terminated"),
    ],
)
def test_a_wrong_blocked_or_spent_key_is_refused_until_further_notice(
    status: int, code: str | None, because: str
) -> None:
    found = refusal(error(status, code), now=0)
    assert found == Refusal(because, None)
    assert not found.rests


@pytest.mark.parametrize(
    ("headers", "seconds"), [({}, 5.0), ({"retry-after": "7"}, 7.0), ({"retry-after-ms": "20"}, 0.02)]
)
def test_a_key_that_is_too_fast_rests_for_as_long_as_the_server_says(headers: dict[str, str], seconds: float) -> None:
    found = refusal(error(429, "rate_limit_exceeded", headers=headers), now=0)
    assert found == Refusal("429", seconds)
    assert found.rests


@pytest.mark.parametrize(
    "reason",
    [
        error(400),
        error(403, "unsupported_country_region_territory"),
        error(404, "model_not_found"),
        error(500),
        error(401, "missing_scope"),
        error(401, "invalid_api_key", "You have insufficient permissions. Missing scopes: api.responses.write."),
    ],
    ids=str,
)
def test_a_refusal_that_another_key_of_the_account_would_meet_is_not_the_keys(reason: openai.APIStatusError) -> None:
    assert refusal(reason, now=0) is None
