from __future__ import annotations

from opentelemetry.context import Context
from telemetry_sdk import Telemetry

from llmkit.record import CallRecord
from llmkit.runtime import current
from llmkit.telemetry.instruments import Instruments


def test_a_call_is_measured_with_the_buckets_that_the_conventions_advise() -> None:
    telemetry = Telemetry()
    instruments = Instruments(telemetry.meters.get_meter("test"))
    record = CallRecord(operation="chat.completions", model="m", runtime=current(is_async=False))
    record.input_tokens, record.output_tokens, record.latency, record.error = 5, 70_000, 1.5, "APIError"
    instruments.tokens(record, {"gen_ai.request.model": "m"}, Context())
    instruments.duration(record, {"gen_ai.request.model": "m"}, Context())
    instruments.event(0.3, {}, Context(), first=True)
    instruments.event(0.02, {}, Context(), first=False)
    spent, made = telemetry.points("gen_ai.client.token.usage")
    assert spent.explicit_bounds == tuple(4**power for power in range(14))
    assert (spent.bucket_counts[2], made.bucket_counts[9]) == (1, 1)
    assert "error.type" not in spent.attributes
    (duration,) = telemetry.points("gen_ai.client.operation.duration")
    seconds = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
    assert duration.explicit_bounds == seconds
    assert duration.attributes == {"gen_ai.request.model": "m", "error.type": "APIError"}
    (first,) = telemetry.points("gen_ai.client.operation.time_to_first_chunk")
    (later,) = telemetry.points("gen_ai.client.operation.time_per_output_chunk")
    assert (first.sum, later.sum, first.explicit_bounds, later.explicit_bounds) == (0.3, 0.02, seconds, seconds)
