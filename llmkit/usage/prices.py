"""Prices, from the genai-prices package: offline, exact decimals, tiers and cached tokens included."""

from __future__ import annotations

import importlib
from decimal import Decimal
from typing import Any, cast

from llmkit.errors import LLMKitError


def cost(*, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> Decimal | None:
    """The price in USD of one call to an OpenAI model; None when the model's price is not known, never 0.

    `cached_tokens` are part of `input_tokens` and billed once, at their own rate; reasoning tokens are part of
    `output_tokens`. A model that is billed by the minute or the character has no price here. Needs the extra:
    pip install "llmkit[prices]".
    """
    load()
    from genai_prices import Usage, calc_price

    try:
        usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens, cache_read_tokens=cached_tokens or None)
        found = calc_price(usage, model_ref=model, provider_id="openai")
    except (LookupError, ValueError):  # unknown, or figures that cannot be: more tokens cached than sent
        return None
    return found.total_price if _is_by_token(found.model_price) else None


def load() -> None:
    """Import the prices now, which takes 0.2 seconds that the first `cost` then need not take."""
    try:
        importlib.import_module("genai_prices")
    except ImportError:
        raise LLMKitError("prices need the genai-prices package: pip install 'llmkit[prices]'") from None


def _is_by_token(price: Any) -> bool:
    """Whether tokens are what is paid for; so they are where nothing is, as for moderations."""
    units = [unit for unit, value in cast("dict[str, object]", vars(price)).items() if value is not None]
    return not units or any(unit.endswith("_mtok") for unit in units)
