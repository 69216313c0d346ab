"""The four metrics of the GenAI conventions for clients."""

from __future__ import annotations

from typing import Final

from opentelemetry.context import Context
from opentelemetry.metrics import Meter

from llmkit.record import CallRecord
from llmkit.telemetry.answered import billed_tokens
from llmkit.telemetry.names import Value

_SECONDS: Final = [0.01 * 2**step for step in range(14)]
_TOKENS: Final = [4**step for step in range(14)]
"""Both are the boundaries that the conventions advise."""


class Instruments:
    """Histograms of a meter; one that no SDK stands behind costs next to nothing."""

    def __init__(self, meter: Meter) -> None:
        operation = "gen_ai.client.operation"
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Input and output tokens that the server has billed for a call.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._duration, self._first, self._next = (
            meter.create_histogram(
                f"{operation}.{name}", unit="s", description=told, explicit_bucket_boundaries_advisory=_SECONDS
            )
            for name, told in (
                ("duration", "From the call to its end, retries and stream included."),
                ("time_to_first_chunk", "From the call to the first event of a stream."),
                ("time_per_output_chunk", "From one event of a stream to the next."),
            )
        )

    def event(self, seconds: float, attributes: dict[str, Value], context: Context, *, first: bool) -> None:
        """An event of a stream has come, so long after the one before or after the call."""
        (self._first if first else self._next).record(seconds, attributes, context)

    def tokens(self, record: CallRecord, attributes: dict[str, Value], context: Context) -> None:
        """The call is over, and this is what it was billed."""
        for kind, count in billed_tokens(record):
            self._tokens.record(count, {**attributes, "gen_ai.token.type": kind}, context)

    def duration(self, record: CallRecord, attributes: dict[str, Value], context: Context) -> None:
        """The call is over, after so long."""
        how = attributes if record.error is None else {**attributes, "error.type": record.error}
        self._duration.record(record.latency or 0.0, how, context)
