"""What the server says that calls have used, added up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from openai.types import CompletionUsage
from openai.types.responses import ResponseUsage

from llmkit.errors import LLMKitError
from llmkit.usage.prices import cost


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
    def of(cls, usage: CompletionUsage | ResponseUsage | None, *, model: str) -> Usage:
        """What one call used, answered by `model`."""
        if usage is None:
            return cls(calls=1, cost=None)
        if isinstance(usage, CompletionUsage):
            given, made = usage.prompt_tokens, usage.completion_tokens
            details: Any = usage.prompt_tokens_details
        else:
            given, made = usage.input_tokens, usage.output_tokens
            details = getattr(usage, "input_tokens_details", None)  # required by its type, not by every server
        cached = (details and details.cached_tokens) or 0
        return cls(
            calls=1,
            input_tokens=given,
            output_tokens=made,
            total_tokens=usage.total_tokens,
            cached_tokens=cached,
            cost=_cost(model, given, made, cached),
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


def _cost(model: str, given: int, made: int, cached: int) -> Decimal | None:
    try:
        return cost(model=model, input_tokens=given, output_tokens=made, cached_tokens=cached)
    except LLMKitError:  # the extra is not there
        return None
