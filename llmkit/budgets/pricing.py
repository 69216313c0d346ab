"""Dollars of a call, before it and after it, in nano-dollars."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from llmkit.budgets.limits import nano_dollars
from llmkit.errors import UnknownPrice
from llmkit.record import CallRecord, logger
from llmkit.usage.billing import cost_of
from llmkit.usage.prices import load, rates
from llmkit.usage.tokens import TokenUsage

Price = Callable[..., Decimal | None]

_MOST_NAMES = 1_000
"""Model names remembered as warned of."""


class Pricing:
    """Asks `price`, where there is one, and then genai-prices."""

    def __init__(self, price: Price | None, *, refuse_unknown: bool) -> None:
        if price is None:
            load()
        self._price = price
        self._refuse_unknown = refuse_unknown
        self._unknown: set[str] = set()

    def before(
        self, model: str | None, *, input_tokens: int, output_tokens: int, base_url: str | None = None
    ) -> int | None:
        """What the call may cost; where nobody knows, `UnknownPrice` or None, as the budget wants it."""
        counts = TokenUsage(input_tokens=input_tokens, output_tokens=output_tokens)
        found = None
        if isinstance(model, str):
            found = self._own(model, counts)
            found = _expected(counts, model, base_url) if found is None else found
        if found is None and self._refuse_unknown:
            raise UnknownPrice(
                f"the price of {_called(model)} is not known, so a budget of dollars cannot count it; give "
                "Budget(price=...), a function of model, input_tokens, output_tokens and cached_tokens that returns "
                "dollars, or let its dollars go uncounted with unknown_price='allow'"
            )
        if found is None:
            self._warn(model)
            return None
        return nano_dollars(found)

    def after(self, record: CallRecord, *, asked: str | None) -> int | None:
        """What the call costs, at the price of the model that has answered or else of the one asked."""
        counts = TokenUsage(
            input_tokens=record.input_tokens, output_tokens=record.output_tokens, cached_tokens=record.cached_tokens
        )
        for model in (record.response_model, record.sent_model or asked):
            if isinstance(model, str) and (found := self._own(model, counts)) is not None:
                return nano_dollars(found)
        found = cost_of(record)
        return None if found is None else nano_dollars(found)

    def _own(self, model: str, counts: TokenUsage) -> Decimal | None:
        """By the budget's own function."""
        if self._price is None:
            return None
        return self._price(
            model=model,
            input_tokens=counts.input_tokens or 0,
            output_tokens=counts.output_tokens or 0,
            cached_tokens=counts.cached_tokens or 0,
        )

    def _warn(self, model: str | None) -> None:
        """Say once for each model that its dollars are not counted."""
        name = _called(model)
        if name not in self._unknown and len(self._unknown) < _MOST_NAMES:
            self._unknown.add(name)
            logger.warning("the price of %s is not known: a budget counts its tokens but not its dollars", name)


def _called(model: str | None) -> str:
    return repr(model) if isinstance(model, str) else "a request without a model"


def _expected(counts: TokenUsage, model: str, base_url: str | None) -> Decimal | None:
    found = rates(model, base_url=base_url)
    if found is None:
        return None
    return Decimal(0) if found.by_length else found.cost(counts)  # how long a recording is, the answer will say
