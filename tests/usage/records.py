"""Finished records, for what keeps them."""

from __future__ import annotations

from typing import Any

from llmkit.record import CallRecord
from llmkit.testing import VirtualClock


def finished(*, at: float = 1_700_000_000.0, **fields: Any) -> CallRecord:
    """A call that took 1.5 seconds and was answered, but for what `fields` say."""
    clock = VirtualClock(start=at)
    record = CallRecord(operation="chat.completions", model="gpt-4o", runtime=clock)
    record.complete, record.attempts = True, 1
    for name, value in fields.items():
        setattr(record, name, value)
    clock.advance(1.5)
    record.finish()
    return record
