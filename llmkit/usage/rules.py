"""What every report counts alike, of a record and in the SQL of a ledger: the model, and a missing price. Pure."""

from __future__ import annotations

from typing import Final

from llmkit.record import CallRecord

MODEL: Final = "coalesce(sent_model, model, response_model)"
UNPRICED: Final = "cost IS NULL AND (ifnull(total_tokens, 0) > 0 OR ifnull(audio_seconds, 0) > 0)"


def model_of(record: CallRecord) -> str | None:
    """The model that was asked in the end; the one that answered where none was asked for, as of a batch's result."""
    for model in (record.sent_model, record.model, record.response_model):
        if isinstance(model, str):  # callers may give anything
            return model
    return None


def is_unpriced(record: CallRecord) -> bool:
    """Whether it has used something whose price is not known."""
    return record.cost is None and ((record.total_tokens or 0) > 0 or (record.audio_seconds or 0) > 0)
