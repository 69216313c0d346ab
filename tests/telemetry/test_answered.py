from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from llmkit.record import CallRecord, FailedAttempt, SimilarQuestion
from llmkit.runtime import current
from llmkit.telemetry.answered import answered, billed_tokens, failed_attempts, measured, own, status

OPENAI = "https://api.openai.com/v1/"


def record(**fields: Any) -> CallRecord:
    given = {"operation": "chat.completions", "model": "gpt-4o", "base_url": OPENAI} | fields
    return CallRecord(**given, runtime=current(is_async=False))


def test_parts_of_the_tokens_are_told_when_there_are_any() -> None:
    spent = record(
        input_tokens=10,
        output_tokens=0,
        cached_tokens=0,
        cache_write_tokens=3,
        input_audio_tokens=2,
        output_audio_tokens=1,
        input_image_tokens=4,
        output_image_tokens=5,
        reasoning_tokens=None,
    )
    assert answered(spent) == {
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 0,
        "gen_ai.usage.cache_write.input_tokens": 3,
        "gen_ai.usage.audio.input_tokens": 2,
        "gen_ai.usage.audio.output_tokens": 1,
        "gen_ai.usage.image.input_tokens": 4,
        "gen_ai.usage.image.output_tokens": 5,
    }


def test_the_tier_is_openais() -> None:
    assert answered(record(service_tier="flex"))["openai.response.service_tier"] == "flex"
    assert "openai.response.service_tier" not in answered(record(service_tier="flex", base_url="https://api.groq.com/"))


def test_dollars_and_scores_are_fractions() -> None:
    similar = SimilarQuestion(key="k", score=0.97, threshold=0.9, objection=None, question="secret")
    told = own(record(saved_cost=Decimal("0.5"), similar=similar, trimmed_messages=2))
    assert (told["llmkit.saved.cost"], told["llmkit.similarity"]) == (0.5, 0.97)
    assert told["llmkit.trimmed_messages"] == 2
    assert "secret" not in str(told)


def test_only_attempts_that_were_not_told_before_are_told() -> None:
    failures = [
        FailedAttempt(at=at, model=None, base_url=OPENAI, error="APITimeoutError", error_code=None, status_code=None)
        for at in (1.0, 2.5)
    ]
    ((name, attributes, when),) = failed_attempts(record(failures=failures), 1)
    assert name == "llmkit.attempt_failed"
    assert attributes == {
        "llmkit.attempt": 2,
        "llmkit.base_url": OPENAI,
        "error.type": "APITimeoutError",
        "server.address": "api.openai.com",
        "server.port": 443,
    }
    assert when > 2_500_000_000


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (None, None, None),
        ("CancelledError", None, None),
        ("APITimeoutError", None, "APITimeoutError"),
        ("RateLimitError", "insufficient_quota", "RateLimitError: insufficient_quota"),
        ("BadRequestError", "a sentence that may quote the prompt", "BadRequestError"),
    ],
)
def test_the_status_names_the_error_and_its_code(error: str | None, code: str | None, told: str | None) -> None:
    failed = record(error=error, error_code=code)
    assert status(failed) == told
    assert "quote" not in str(own(failed))


def test_only_what_the_server_has_billed_is_counted() -> None:
    assert dict(billed_tokens(record(input_tokens=3, output_tokens=2))) == {"input": 3, "output": 2}
    assert dict(billed_tokens(record(input_tokens=3, output_tokens=2, estimated=True))) == {}
    assert dict(billed_tokens(record(input_tokens=3, output_tokens=2, cache="hit"))) == {}
    assert dict(billed_tokens(record(input_tokens=3, output_tokens=None))) == {"input": 3}
    assert dict(billed_tokens(record(input_tokens=-3, output_tokens=0))) == {}


def test_measurements_are_split_by_few_things() -> None:
    found = measured(record(tags={"user": "alice", "feature": "search"}, cache="semantic"), ["feature"])
    assert found == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "server.address": "api.openai.com",
        "server.port": 443,
        "llmkit.cache": "semantic",
        "llmkit.tag.feature": "search",
    }
