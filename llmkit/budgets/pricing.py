"""Dollars of a call, before it and after it, in nano-dollars."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from decimal import Decimal

from llmkit.budgets.limits import nano_dollars
from llmkit.errors import UnknownPrice
from llmkit.record import logger
from llmkit.usage.prices import cost, load

Price = Callable[..., Decimal | None]

_MOST_NAMES = 1_000
"""Model names remembered as warned of."""


class Pricing:
    """Asks `price`, where there is one, and then genai-prices."""

    def __init__(self, price: Price | None, *, refuse_unknown: bool) -> None:
        if price is None:
            load()
        self._prices: tuple[Price, ...] = (cost,) if price is None else (price, cost)
        self._refuse_unknown = refuse_unknown
        self._unknown: set[str] = set()

    def before(self, model: str | None, *, input_tokens: int, output_tokens: int) -> int | None:
        """What the call may cost; where nobody knows, `UnknownPrice` or None, as the budget wants it."""
        nanos = self.after([model], input_tokens=input_tokens, output_tokens=output_tokens, cached_tokens=0)
        if nanos is None and self._refuse_unknown:
            raise UnknownPrice(
                f"the price of {_called(model)} is not known, so a budget of dollars cannot count it; give "
                "Budget(price=...), a function that takes the keywords of llmkit.usage.prices.cost and returns "
                "dollars, or let its dollars go uncounted with unknown_price='allow'"
            )
        if nanos is None:
            self._warn(model)
        return nanos

    def after(
        self, models: Iterable[str | None], *, input_tokens: int, output_tokens: int, cached_tokens: int
    ) -> int | None:
        """What the call costs at the price of the first model that has one."""
        names = [model for model in models if isinstance(model, str)]
        figures = {"input_tokens": input_tokens, "output_tokens": output_tokens, "cached_tokens": cached_tokens}
        for price, model in itertools.product(self._prices, names):
            found = price(model=model, **figures)
            if found is not None:
                return nano_dollars(found)
        return None

    def _warn(self, model: str | None) -> None:
        """Say once for each model that its dollars are not counted."""
        name = _called(model)
        if name not in self._unknown and len(self._unknown) < _MOST_NAMES:
            self._unknown.add(name)
            logger.warning("the price of %s is not known: a budget counts its tokens but not its dollars", name)


def _called(model: str | None) -> str:
    return repr(model) if isinstance(model, str) else "a request without a model"
