from __future__ import annotations

import sys
from decimal import Decimal

import pytest
from openai.types import CompletionUsage
from openai.types.responses import ResponseUsage

from llmkit.usage.totals import Usage

CHAT = CompletionUsage.model_validate(
    {
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "total_tokens": 110,
        "prompt_tokens_details": {"cached_tokens": 40},
    }
)
RESPONSES = ResponseUsage.model_validate(
    {
        "input_tokens": 100,
        "output_tokens": 10,
        "total_tokens": 110,
        "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
)


@pytest.mark.parametrize("usage", [CHAT, RESPONSES], ids=["chat", "responses"])
def test_both_apis_are_read_alike(usage: CompletionUsage | ResponseUsage) -> None:
    counted = Usage.of(usage, model="gpt-4o-mini")
    assert (counted.calls, counted.input_tokens, counted.output_tokens, counted.total_tokens) == (1, 100, 10, 110)
    assert counted.cached_tokens == 40
    assert counted.cost is not None
    assert counted.cost > 0


def test_a_server_that_leaves_the_details_out_has_cached_nothing() -> None:
    usage = ResponseUsage.construct(input_tokens=1, output_tokens=2, total_tokens=3)
    assert Usage.of(usage, model="gpt-4o-mini").cached_tokens == 0


def test_usages_add_up_and_an_unknown_price_makes_the_sum_unknown() -> None:
    known = Usage.of(CHAT, model="gpt-4o-mini")
    assert known.cost is not None
    assert (known + known).cost == known.cost * 2
    assert (known + known).input_tokens == 200
    assert (known + Usage.of(CHAT, model="nobody's")).cost is None
    assert (known + Usage.of(None, model="gpt-4o-mini")).calls == 2


@pytest.mark.parametrize("cost", [None, Decimal("0.1000")])
def test_usage_survives_json(cost: Decimal | None) -> None:
    usage = Usage(calls=1, input_tokens=2, cost=cost)
    assert Usage.from_json(usage.to_json()) == usage


def test_a_service_tier_is_billed_as_such() -> None:
    flex = Usage.of(CHAT, model="gpt-5", service_tier="flex").cost
    assert flex is not None
    assert flex * 2 == Usage.of(CHAT, model="gpt-5").cost


def test_without_the_extra_the_cost_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    monkeypatch.setattr("llmkit.usage.prices._remembered", {})
    counted = Usage.of(CHAT, model="gpt-4o-mini")
    assert (counted.total_tokens, counted.cost) == (110, None)
