"""Prices, from the genai-prices package: offline, exact decimals, tiers and cached tokens included."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, cast

from llmkit.errors import LLMKitError
from llmkit.usage.rates import Price, Rates
from llmkit.usage.tokens import TokenUsage, read_usage

_MINUTE: Final = 60
"""Seconds for which rates are remembered: some change with the time of day."""
_MOST_REMEMBERED: Final = 1_000

_registered: dict[str, Price] = {}
_remembered: dict[tuple[str, str | None, bool, str | None, int], Rates | None] = {}


def cost(
    usage: object,
    model: str,
    *,
    service_tier: str | None = None,
    batch: bool = False,
    base_url: str | None = None,
    at: float | None = None,
) -> Decimal | None:
    """The price in USD of one answer of `model`; None when it is not known, never 0 for that.

    `usage` is that of an answer of the SDK's (Chat, Responses, embeddings, images, transcriptions), its JSON, or a
    `TokenUsage`. Cached and audio tokens are parts of the input, and reasoning tokens of the output: each is billed
    once, at its own rate where it has one. `service_tier` is the one that the answer names ("flex", "priority"),
    `batch` the discount of the Batch API, `base_url` whose prices hold where that is known (else OpenAI's), `at` the
    time of the call, in seconds since the epoch (now).

    A price of your own (`register_price`) comes first. Needs the extra: pip install "llmkit[prices]".
    """
    counts = read_usage(usage) if not isinstance(usage, TokenUsage) else usage
    if counts is None:
        return None
    found = rates(model, service_tier=service_tier, batch=batch, base_url=base_url, at=at)
    return None if found is None else found.cost(counts)


def rates(
    model: str,
    *,
    service_tier: str | None = None,
    batch: bool = False,
    base_url: str | None = None,
    at: float | None = None,
) -> Rates | None:
    """What a token of each kind costs; None when that is not known. Takes about a microsecond when asked again."""
    if (own := own_rates(model)) is not None:
        return own
    now = time.time() if at is None else at
    key = (model, service_tier, batch, base_url, int(now // _MINUTE))
    try:
        return _remembered[key]
    except KeyError:
        pass
    if len(_remembered) >= _MOST_REMEMBERED:
        _remembered.clear()
    found = _remembered[key] = _look_up(model, service_tier, base_url, batch=batch, at=now)
    return found


def own_rates(model: str) -> Rates | None:
    """What `register_price` has set for a model."""
    price = _registered.get(model)
    return None if price is None else Rates.flat(price)


def register_price(model: str, price: Price | None) -> None:
    """Set the price of a model for the whole process, from any thread, or with None take it back.

    It holds for calls that ask for `model`, and for those that it answers, and comes before any other price.
    """
    if price is None:
        _registered.pop(model, None)
    elif isinstance(price, Price):  # pyright: ignore[reportUnnecessaryIsInstance]
        _registered[model] = price
    else:
        raise TypeError(f"price={price!r} is of type {type(price).__qualname__}; pass Price(input=..., output=...)")


def load() -> None:
    """Import the prices now, which takes 0.1 seconds that the first `cost` then need not take."""
    try:
        importlib.import_module("genai_prices")
    except ImportError:
        raise LLMKitError("prices need the genai-prices package: pip install 'llmkit[prices]'") from None


def load_if_installed() -> None:
    """Import the prices now if they are there: for what shows costs where they are known."""
    if importlib.util.find_spec("genai_prices") is not None:
        load()


def is_loaded() -> bool:
    """Whether a cost can be told without an import."""
    return sys.modules.get("genai_prices") is not None or bool(_registered)


def _look_up(model: str, service_tier: str | None, base_url: str | None, *, batch: bool, at: float) -> Rates | None:
    load()
    from genai_prices import Usage, calc_price

    context = {"processing": "batch"} if batch else {"service_tier": service_tier} if service_tier else None
    when = datetime.fromtimestamp(at, UTC)
    try:
        found = calc_price(
            Usage(),
            model_ref=model,
            provider_id=_provider(base_url),
            genai_request_timestamp=when,
            price_context=context,
        )
    except LookupError:
        return None
    return Rates.of(cast("Mapping[str, Any]", vars(found.model_price)))


def _provider(base_url: str | None) -> str:
    """Whose prices hold: those of the server where it is known, which may sell the models of others."""
    if base_url is None:
        return "openai"
    from genai_prices import data_snapshot

    try:
        return data_snapshot.get_snapshot().find_provider(None, None, base_url).id
    except LookupError:  # a gateway, or a test
        return "openai"
