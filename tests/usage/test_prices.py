from __future__ import annotations

import sys
from decimal import Decimal

import pytest

from llmkit import LLMKitError
from llmkit.usage.prices import cost


def test_cached_tokens_are_billed_once_at_their_own_rate() -> None:
    # gpt-4o: 2.50 USD a million input tokens, 1.25 cached, 10 output (OpenAI's price list, 2026)
    assert cost(model="gpt-4o", input_tokens=1_000_000, output_tokens=0) == Decimal("2.5")
    assert cost(model="gpt-4o", input_tokens=1_000_000, output_tokens=100_000, cached_tokens=400_000) == Decimal("3.0")


def test_an_unknown_model_has_no_price() -> None:
    assert cost(model="my-own-deployment", input_tokens=1, output_tokens=1) is None


@pytest.mark.parametrize("model", ["tts-1", "whisper-1", "gpt-transcribe"])
def test_a_model_that_is_billed_by_the_minute_or_the_character_is_not_free(model: str) -> None:
    assert cost(model=model, input_tokens=1_000, output_tokens=1_000) is None


def test_what_is_free_costs_nothing() -> None:
    assert cost(model="omni-moderation-latest", input_tokens=1_000, output_tokens=0) == 0


def test_figures_that_cannot_be_have_no_price() -> None:
    assert cost(model="gpt-4o", input_tokens=1, output_tokens=1, cached_tokens=2) is None
    assert cost(model="gpt-4o", input_tokens=-1, output_tokens=1) is None


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(LLMKitError, match=r"pip install 'llmkit\[prices\]'"):
        cost(model="gpt-4o", input_tokens=1, output_tokens=1)
