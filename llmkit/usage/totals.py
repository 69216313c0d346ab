"""What the server says that calls have used, added up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from llmkit.errors import LLMKitError
from llmkit.usage.prices import cost
from llmkit.usage.tokens import TokenUsage, read_usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tokens and the price of some calls; a call that reports no usage counts as a call only."""

    calls: int = 0
    """Answers received."""
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    """The part of `input_tokens` read from the provider's prompt cache."""
    cost: Decimal | None = Decimal(0)
    """In USD; None when a call's price is not known, or without the extra `llmkit[prices]`."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            calls=self.calls + other.calls,
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            total_tokens=self.total_tokens + other.total_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cost=None if self.cost is None or other.cost is None else self.cost + other.cost,
        )

    @classmethod
    def of(cls, usage: object, *, model: str, service_tier: str | None = None) -> Usage:
        """What one call used, answered by `model`; `usage` is that of the SDK's answer."""
        counts = read_usage(usage)
        if counts is None:
            return cls(calls=1, cost=None)
        return cls(
            calls=1,
            input_tokens=counts.input_tokens or 0,
            output_tokens=counts.output_tokens or 0,
            total_tokens=counts.total_tokens or 0,
            cached_tokens=counts.cached_tokens or 0,
            cost=_cost(model, counts, service_tier),
        )

    def to_json(self) -> dict[str, Any]:
        """The usage as JSON; the cost as text, exact."""
        return {**asdict(self), "cost": None if self.cost is None else str(self.cost)}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Usage:
        """The usage that `to_json` wrote."""
        values: dict[str, Any] = dict(saved)
        if values["cost"] is not None:
            values["cost"] = Decimal(values["cost"])
        return cls(**values)


def _cost(model: str, counts: TokenUsage, service_tier: str | None) -> Decimal | None:
    try:
        return cost(counts, model, service_tier=service_tier)
    except LLMKitError:  # the extra is not there
        return None
