"""What a call that failed may have cost. Pure: reads the record."""

from __future__ import annotations

import httpx2
import openai

from llmkit.record import CallRecord

_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


def never_served(error: BaseException, record: CallRecord) -> bool:
    """Whether a call that sent something cannot be billed: refused by the server, or not under way when it ended."""
    if isinstance(error, openai.APIStatusError) or isinstance(error.__cause__, _NEVER_SENT):
        return True
    in_flight = record.attempts > len(record.failures)  # cancelled, or answered and then given up
    return not in_flight and record.failures[-1].error != type(error).__name__
