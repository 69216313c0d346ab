"""What the answer of a call is billed, from its record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from operator import attrgetter
from typing import Final

from llmkit.errors import LLMKitError
from llmkit.record import CallRecord
from llmkit.usage.prices import own_rates, rates
from llmkit.usage.rates import Rates
from llmkit.usage.tokens import FIGURES, TokenUsage

_NOTHING: Final = Decimal(0)
_figures: Final = attrgetter(*FIGURES)


def cost_of(record: CallRecord) -> Decimal | None:
    """Dollars for the figures of the record; None when there are none or the price is not known.

    Nothing for an answer from a cache. The price is that of the model which has answered, or else of the one asked, at
    the server that was asked and in the tier that it names. Needs the extra: pip install "llmkit[prices]".
    """
    if record.from_cache and not record.total_tokens:  # else an earlier pass through the stack was billed
        return _NOTHING
    if record.input_tokens is None and record.audio_seconds is None:
        return None
    usage = TokenUsage(**dict(zip(FIGURES, _figures(record), strict=True)))
    names = [name for name in (record.response_model, record.sent_model or record.model) if isinstance(name, str)]
    found = next(filter(None, map(own_rates, names)), None) or next(filter(None, _rates(record, names)), None)
    return None if found is None else found.cost(usage)


def _rates(record: CallRecord, models: Iterable[str]) -> Iterator[Rates | None]:
    for model in models:
        yield rates(
            model,
            service_tier=record.service_tier,
            batch=record.operation == "batches.get",
            base_url=record.sent_to or record.base_url or None,
            at=record.started_at,
        )


def known_cost(record: CallRecord) -> Decimal | None:
    """The same, and None where genai-prices is not there."""
    try:
        return cost_of(record)
    except LLMKitError:
        return None
