"""Prices, from the genai-prices package: offline, exact decimals, tiers and cached tokens included."""

from __future__ import annotations

from decimal import Decimal

from llmkit.errors import LLMKitError


def cost(*, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> Decimal | None:
    """The price in USD of one call to an OpenAI model; None when the model's price is not known, never 0.

    `cached_tokens` are part of `input_tokens` and billed once, at their own rate; reasoning tokens are part of
    `output_tokens`. Needs the extra: pip install "llmkit[prices]".
    """
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        raise LLMKitError("prices need the genai-prices package: pip install 'llmkit[prices]'") from None
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, cache_read_tokens=cached_tokens or None)
    try:
        return calc_price(usage, model_ref=model, provider_id="openai").total_price
    except LookupError:
        return None
