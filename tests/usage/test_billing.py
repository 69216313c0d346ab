from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from llmkit import CallRecord, Price, register_price, runtime
from llmkit.usage.billing import cost_of

MILLION = 1_000_000


def record_of(**facts: Any) -> CallRecord:
    record = CallRecord(operation="chat.completions", model="gpt-4o", runtime=runtime.current(is_async=False))
    for name, value in {"input_tokens": MILLION, "output_tokens": 0, "total_tokens": MILLION, **facts}.items():
        setattr(record, name, value)
    return record


@pytest.mark.parametrize(
    ("facts", "dollars"),
    [
        ({}, "2.5"),
        ({"response_model": "gpt-5"}, "1.25"),
        ({"response_model": "gpt-5", "service_tier": "flex"}, "0.625"),
        ({"response_model": "a-deployment"}, "2.5"),
        ({"model": "mine", "sent_model": "gpt-5"}, "1.25"),
        ({"model": {"odd": 1}, "response_model": "gpt-5"}, "1.25"),
        ({"base_url": "https://api.deepseek.com/v1/"}, None),
        ({"sent_to": "https://api.openai.com/v1/", "base_url": "https://api.deepseek.com/v1/"}, "2.5"),
        ({"model": "nobody's"}, None),
        ({"model": None}, None),
        ({"started_at": 1_749_600_000.0, "response_model": "o3"}, "2"),
        ({"started_at": 1_748_736_000.0, "response_model": "o3"}, "10"),
        ({"cached_tokens": MILLION}, "1.25"),
        ({"cache": "hit", "input_tokens": 0, "total_tokens": 0}, "0"),
        ({"cache": "hit", "input_tokens": 0, "total_tokens": 0, "model": "nobody's"}, "0"),
        ({"cache": "hit"}, "2.5"),
        ({"cache": "miss"}, "2.5"),
        ({"input_tokens": None}, None),
        ({"input_tokens": None, "model": "whisper-1", "audio_seconds": 3_600}, "0.36"),
    ],
)
def test_a_call_is_billed_at_the_price_of_what_has_answered(facts: dict[str, Any], dollars: str | None) -> None:
    assert cost_of(record_of(**facts)) == (None if dollars is None else Decimal(dollars))


def test_a_price_of_ones_own_holds_for_the_name_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmkit.usage.prices._registered", {})
    register_price("gpt-4o", Price(input=1, output=1))
    assert cost_of(record_of(response_model="gpt-4o-2024-08-06")) == 1
    register_price("gpt-4o-2024-08-06", Price(input=2, output=1))
    assert cost_of(record_of(response_model="gpt-4o-2024-08-06")) == 2
