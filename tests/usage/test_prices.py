from __future__ import annotations

import sys
from collections.abc import Iterator
from decimal import Decimal, localcontext
from typing import Any

import pytest
from genai_prices import Usage as GenaiUsage
from genai_prices import calc_price, data_snapshot
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CompletionUsage
from openai.types.images_response import Usage as ImagesUsage

from llmkit import LLMKitError
from llmkit.usage import prices
from llmkit.usage.prices import Price, cost, register_price
from llmkit.usage.tokens import TokenUsage

MILLION = 1_000_000
OPENAI = next(provider for provider in data_snapshot.get_snapshot().providers if provider.id == "openai")
BILLED_OTHERWISE = {
    "tts-1", "tts-1-hd", "whisper-1", "gpt-transcribe", "gpt-realtime-whisper", "gpt-realtime-translate",
    "gpt-live-transcribe", "gpt-live-1",
}  # fmt: skip
DRAWING = {"chatgpt-image-latest", "gpt-image-1.5"}
TEXT_MODELS = sorted({model.id for model in OPENAI.models} - BILLED_OTHERWISE - DRAWING)


@pytest.fixture
def own_prices() -> Iterator[None]:
    yield
    for model in ("mine", "gpt-4o"):
        register_price(model, None)


def tokens(input_tokens: int = 0, output_tokens: int = 0, **parts: Any) -> TokenUsage:
    return TokenUsage(input_tokens=input_tokens, output_tokens=output_tokens, **parts)


def test_cached_tokens_are_billed_once_at_their_own_rate() -> None:
    # gpt-4o: 2.50 USD a million input tokens, 1.25 cached, 10 output (OpenAI's price list, 2026)
    assert cost(tokens(MILLION), "gpt-4o") == Decimal("2.5")
    assert cost(tokens(MILLION, 100_000, cached_tokens=400_000), "gpt-4o") == Decimal("3.0")


def test_reasoning_tokens_are_a_part_of_the_output() -> None:
    assert cost(tokens(0, 1_000, reasoning_tokens=900), "o3") == cost(tokens(0, 1_000), "o3") == Decimal("0.008")


def test_what_is_written_to_the_providers_cache_has_its_own_rate() -> None:
    # gpt-6.1-sol: 2 USD a million input tokens, 2.50 written to the cache, 0.10 read from it
    usage = tokens(3 * 100_000, cached_tokens=100_000, cache_write_tokens=100_000)
    below = tokens(3 * 50_000, cached_tokens=50_000, cache_write_tokens=50_000)
    assert cost(below, "gpt-6.1-sol") == Decimal("0.05") * (2 + Decimal("2.5") + Decimal("0.1"))
    assert cost(usage, "gpt-6.1-sol") == 2 * Decimal("0.1") * (2 + Decimal("2.5") + Decimal("0.1"))


def test_long_inputs_have_another_price_for_all_their_tokens() -> None:
    # gpt-5.4: 2.50 USD up to 272,000 input tokens, 5.00 above
    assert cost(tokens(272_000), "gpt-5.4") == Decimal("0.68")
    assert cost(tokens(272_001), "gpt-5.4") == Decimal("1.360005")


@pytest.mark.parametrize(
    ("tier", "dollars"), [(None, "1.25"), ("default", "1.25"), ("flex", "0.625"), ("priority", "2.5")]
)
def test_a_service_tier_has_its_price(tier: str | None, dollars: str) -> None:
    assert cost(tokens(MILLION), "gpt-5", service_tier=tier) == Decimal(dollars)


def test_a_batch_has_its_discount() -> None:
    assert cost(tokens(MILLION, MILLION), "gpt-5", batch=True) == Decimal("5.625")


def test_the_price_is_that_of_the_day_of_the_call() -> None:
    # o3 fell from 10 to 2 USD a million input tokens on 2025-06-10
    assert cost(tokens(MILLION), "o3", at=1_748_736_000) == 10  # 2025-06-01
    assert cost(tokens(MILLION), "o3", at=1_749_600_000) == 2  # 2025-06-11


def test_sound_has_its_rates_and_is_unknown_where_only_text_has_a_price() -> None:
    # gpt-audio: text 2.50 and 10 USD, sound 32 and 64
    usage = tokens(1_000, 500, input_audio_tokens=400, output_audio_tokens=300)
    by_hand = (600 * Decimal("2.5") + 400 * 32 + 200 * 10 + 300 * 64) / MILLION
    assert cost(usage, "gpt-audio") == by_hand
    assert cost(usage, "gpt-4o-audio-preview") is None  # genai-prices has its text price only
    assert cost(tokens(1_000, 500, input_audio_tokens=0), "gpt-4o-audio-preview") == Decimal("0.0075")
    assert cost(tokens(0, 500, output_audio_tokens=500), "gpt-4o-transcribe") is None


def test_a_recording_is_billed_by_its_length() -> None:
    assert cost({"type": "duration", "seconds": 90}, "whisper-1") == Decimal("0.36") * 90 / 3_600
    assert cost({"type": "duration", "seconds": 90}, "gpt-4o") is None


def test_what_is_drawn_has_its_rate_even_if_the_server_does_not_say_that_it_is() -> None:
    # gpt-image-1.5: text 5 and 10 USD, images 8 and 32
    said = ImagesUsage.model_validate(
        {
            "input_tokens": 150,
            "input_tokens_details": {"text_tokens": 50, "image_tokens": 100},
            "output_tokens": 1_000,
            "total_tokens": 1_150,
            "output_tokens_details": {"text_tokens": 100, "image_tokens": 900},
        }
    )
    assert cost(said, "gpt-image-1.5") == Decimal(50 * 5 + 100 * 8 + 100 * 10 + 900 * 32) / MILLION
    unsaid = said.model_copy(update={"output_tokens_details": None})
    assert cost(unsaid, "gpt-image-1.5") == Decimal(50 * 5 + 100 * 8 + 1_000 * 32) / MILLION
    told = {"prompt_tokens": 50, "completion_tokens": 1_000}  # by Chat, where it may talk
    assert cost(told, "gpt-image-1.5") == Decimal(50 * 5 + 1_000 * 10) / MILLION


def test_an_answers_own_usage_is_read_whatever_its_api_calls_the_figures() -> None:
    chat = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}
    responses = {"input_tokens": 10, "output_tokens": 5, "input_tokens_details": {"cached_tokens": 4}}
    expected = cost(tokens(10, 5, cached_tokens=4), "gpt-4o")
    assert cost(chat, "gpt-4o") == cost(responses, "gpt-4o") == expected
    assert cost(CompletionUsage.model_validate({**chat, "total_tokens": 15}), "gpt-4o") == expected
    assert cost(None, "gpt-4o") is cost({"cost": 1}, "gpt-4o") is None


@pytest.mark.parametrize(
    ("base_url", "model", "known"),
    [
        ("https://api.openai.com/v1/", "gpt-4o", True),
        ("https://mine.openai.azure.com/openai/", "gpt-4o", True),
        ("http://localhost:4000/", "gpt-4o", True),
        ("https://api.deepseek.com/v1/", "deepseek-chat", True),
        ("https://api.openai.com/v1/", "deepseek-chat", False),
        ("https://api.deepseek.com/v1/", "gpt-4o", False),
    ],
)
def test_prices_are_those_of_the_server_where_it_is_known(base_url: str, model: str, known: bool) -> None:
    assert (cost(tokens(1), model, base_url=base_url) is not None) is known


def test_an_unknown_model_has_no_price() -> None:
    assert cost(tokens(1, 1), "my-own-deployment") is None


@pytest.mark.parametrize("model", sorted(BILLED_OTHERWISE))
def test_a_model_that_is_billed_by_the_minute_or_the_character_is_not_free(model: str) -> None:
    assert cost(tokens(1_000, 1_000), model) is None


def test_what_is_free_costs_nothing() -> None:
    assert cost(tokens(1_000), "omni-moderation-latest") == 0


@pytest.mark.parametrize(
    "usage", [tokens(1, 1, cached_tokens=2), tokens(-1, 1), tokens(1, -1), tokens(1, 1, cached_tokens=-1)]
)
def test_figures_that_cannot_be_have_no_price(usage: TokenUsage) -> None:
    assert cost(usage, "gpt-4o") is None


@given(
    model=st.sampled_from(TEXT_MODELS),
    variant=st.sampled_from([(None, False), ("default", False), ("flex", False), ("priority", False), (None, True)]),
    figures=st.tuples(*[st.integers(0, 400_000)] * 4),
)
def test_every_price_equals_that_of_genai_prices(
    model: str, variant: tuple[str | None, bool], figures: tuple[int, int, int, int]
) -> None:
    fresh, read, written, answered = figures
    tier, batch = variant
    name = f"{model}x" if model.endswith("-") else f"{model}:x::1" if model.startswith("ft:") else model
    total = fresh + read + written
    theirs = GenaiUsage(input_tokens=total, output_tokens=answered, cache_read_tokens=read, cache_write_tokens=written)
    context = {"processing": "batch"} if batch else {"service_tier": tier} if tier else None
    try:
        expected = calc_price(theirs, name, provider_id="openai", price_context=context).total_price
    except LookupError:
        expected = None
    usage = tokens(total, answered, cached_tokens=read, cache_write_tokens=written)
    ours = cost(usage, name, service_tier=tier, batch=batch)
    assert ours == expected or (ours is None and answered and "embedding" in model)  # whose output has no price


@pytest.mark.usefixtures("own_prices")
def test_a_price_of_ones_own_comes_first_and_can_be_taken_back() -> None:
    register_price("mine", Price(input="0.10", output=0.4, cached=0))
    assert cost(tokens(MILLION, MILLION, cached_tokens=MILLION // 2), "mine") == Decimal("0.45")
    register_price("gpt-4o", Price(input=1, output=0))
    assert cost(tokens(MILLION, MILLION), "gpt-4o") == 1
    register_price("gpt-4o", None)
    assert cost(tokens(MILLION), "gpt-4o") == Decimal("2.5")
    assert Price(input=1, audio_hour=2) == Price(input=Decimal(1), audio_hour=Decimal(2))


@pytest.mark.usefixtures("own_prices")
def test_what_has_no_price_is_unknown_and_not_free() -> None:
    register_price("mine", Price(input=1))
    assert cost(tokens(MILLION), "mine") == 1
    assert cost(tokens(MILLION, 1), "mine") is None
    with pytest.raises(
        ValueError, match=r"^a Price needs a figure; for what costs nothing, Price\(input=0, output=0\)$"
    ):
        Price()
    wrong: Any = 3
    with pytest.raises(TypeError, match=r"^price=3 is of type int; pass Price\(input=\.\.\., output=\.\.\.\)$"):
        register_price("mine", wrong)


def test_a_fee_for_each_call_is_in_its_cost() -> None:
    usage = tokens(1_000, 100)
    url = "https://api.perplexity.ai/"
    expected = calc_price(GenaiUsage(input_tokens=1_000, output_tokens=100), "sonar-pro", provider_id="perplexity")
    assert cost(usage, "sonar-pro", base_url=url) == expected.total_price > Decimal("0.005")


def test_a_cost_is_exact_whatever_the_precision_of_the_caller() -> None:
    usage = tokens(4_296_295, cached_tokens=0)
    with localcontext(prec=4):
        assert cost(usage, "gpt-4o") == Decimal("10.7407375")


def test_reasoning_beside_the_output_is_billed_too() -> None:
    # xAI counts it in the total only
    told = {"prompt_tokens": 1_000, "completion_tokens": 10, "total_tokens": 1_310}
    thought = {**told, "completion_tokens_details": {"reasoning_tokens": 300}}
    assert cost(thought, "o3") == cost(tokens(1_000, 310), "o3")
    assert cost(told, "o3") == cost(tokens(1_000, 10), "o3")


@pytest.mark.parametrize("given", ["free", -1, float("nan"), "Infinity"])
def test_a_price_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"^output=.* is no amount; give US dollars as a number or text, 0 or more$"):
        Price(output=given)


def test_rates_are_remembered_and_not_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "_MOST_REMEMBERED", 3)
    found = [prices.rates("gpt-4o", at=minute * 60) for minute in range(10)]
    assert found.count(found[0]) == 10
    assert len(prices._remembered) <= 3
    assert prices.rates("gpt-4o", at=540) is prices.rates("gpt-4o", at=599)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    for kept in ("_remembered", "_registered"):
        monkeypatch.setattr(prices, kept, {})
    with pytest.raises(LLMKitError, match=r"pip install 'llmkit\[prices\]'"):
        cost(tokens(1, 1), "gpt-4o")
    prices.load_if_installed()
    assert not prices.is_loaded()


@pytest.mark.usefixtures("own_prices")
def test_without_the_extra_a_price_of_ones_own_still_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    register_price("mine", Price(input=2))
    assert prices.is_loaded()
    assert cost(tokens(MILLION), "mine") == 2


def test_prices_that_are_there_are_loaded() -> None:
    prices.load_if_installed()
    assert prices.is_loaded()
