"""The ceilings of a loop, looked at before each call of the model."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from llmkit.tools.loop.errors import Limit, ToolLoopLimit, UnknownUsage
from llmkit.usage.prices import load
from llmkit.usage.totals import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a loop may do; what is None has no ceiling."""

    max_steps: int = 10
    max_tokens: int | None = None
    max_cost: Decimal | None = None

    @classmethod
    def checked(cls, *, max_steps: int, max_tokens: int | None, max_cost: Decimal | float | str | None) -> Limits:
        """The ceilings, or an error that names an impossible one."""
        _check_count("max_steps", max_steps)
        if max_tokens is not None:
            _check_count("max_tokens", max_tokens)
        if max_cost is not None:
            max_cost = _dollars(max_cost)
            load()  # raises when the extra is not there
        return cls(max_steps=max_steps, max_tokens=max_tokens, max_cost=max_cost)

    def check(
        self, *, steps: int, usage: Usage, model: str, messages: list[dict[str, Any]], metered: bool = True
    ) -> None:
        """Raise when no other call of `model` may be made after `steps` calls that used `usage` (if `metered`)."""
        self._check_known(usage, model, metered=metered)
        told = f"The model was called {steps} times and still asks for tools"
        self._hold("max_steps", steps, told, usage, messages)
        told = f"The loop has used {usage.total_tokens} tokens and has no answer yet"
        self._hold("max_tokens", usage.total_tokens, told, usage, messages)
        told = f"The loop has cost {usage.cost} USD and has no answer yet"
        self._hold("max_cost", usage.cost or 0, told, usage, messages)

    def _hold(self, limit: Limit, used: int | Decimal, told: str, usage: Usage, messages: list[dict[str, Any]]) -> None:
        value: int | Decimal | None = getattr(self, limit)
        if value is None or used < value:
            return
        advice = (
            f"Raise {limit} and go on from this error's `messages` or the saved state, or see what the tools return."
        )
        text = f"{told}: {limit}={value} is reached. {advice}"
        raise ToolLoopLimit(text, limit=limit, value=value, usage=usage, messages=messages)

    def _check_known(self, usage: Usage, model: str, *, metered: bool) -> None:
        if self.max_tokens is not None and not metered:
            raise UnknownUsage(
                f"max_tokens={self.max_tokens!r} cannot be kept: the server reports no usage for a call of {model!r}; "
                "bound the loop with max_steps alone"
            )
        if self.max_cost is not None and usage.cost is None:
            raise UnknownUsage(
                f"max_cost={str(self.max_cost)!r} cannot be kept: the price of a call of {model!r} is not known; "
                "use max_tokens, or a newer genai-prices (pip install -U 'llmkit[prices]')"
            )


def _dollars(amount: Decimal | float | str) -> Decimal:
    try:
        dollars = Decimal(str(amount))
    except InvalidOperation:
        raise ValueError(f"max_cost={amount!r} is no amount of US dollars") from None
    if dollars.is_nan() or dollars <= 0:
        raise ValueError(f"max_cost={amount!r} allows no call at all; give US dollars above 0")
    return dollars


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}={value!r} is not a whole number")
    if value < 1:
        raise ValueError(f"{name}={value!r} allows no call at all; use at least 1")
