"""What the answer of a call is billed, from its record."""

from __future__ import annotations

from decimal import Decimal
from operator import attrgetter
from typing import Final

from llmkit.record import CallRecord
from llmkit.usage.prices import rates
from llmkit.usage.tokens import FIGURES, TokenUsage

_NOTHING: Final = Decimal(0)
_figures: Final = attrgetter(*FIGURES)


def cost_of(record: CallRecord) -> Decimal | None:
    """Dollars for the figures of the record; None when there are none or the price is not known.

    Nothing for an answer from a cache. The price is that of the model which has answered, or else of the one asked, at
    the server that was asked and in the tier that it names. Needs the extra: pip install "llmkit[prices]".
    """
    if record.from_cache:
        return _NOTHING
    if record.input_tokens is None and record.audio_seconds is None:
        return None
    usage = TokenUsage(**dict(zip(FIGURES, _figures(record), strict=True)))
    for model in (record.response_model, record.sent_model or record.model):
        if isinstance(model, str):
            found = rates(
                model,
                service_tier=record.service_tier,
                batch=record.operation == "batches.get",
                base_url=record.sent_to or record.base_url or None,
                at=record.started_at,
            )
            if found is not None:
                return found.cost(usage)
    return None
