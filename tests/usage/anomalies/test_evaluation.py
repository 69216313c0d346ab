"""A part of benchmarks/anomalies.py: spikes are noticed, and hardly anything else is told."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest

from llmkit.record import CallRecord
from llmkit.runtime import SYNC
from llmkit.usage.anomalies import Unusual, UnusualUsage
from llmkit.usage.anomalies.series import Finding

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("numpy")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import anomalies

    return anomalies


def test_of_the_spikes_of_a_simulated_month_nearly_all_are_told_and_few_other_things(simulation: ModuleType) -> None:
    chosen = [kind for kind in simulation.SERIES if kind.calls in (1, 40, 150)]
    outcomes = [simulation.watch(kind, 1, seed) for kind in chosen for seed in (300, 301)]
    spikes = [spike for outcome in outcomes for spike in outcome.spikes]
    assert len(spikes) >= 20
    assert sum(spike.found is not None for spike in spikes) >= 0.95 * len(spikes)
    assert sum(len(outcome.false) for outcome in outcomes) < len(outcomes)


def test_the_sink_tells_what_the_simulation_has_planted(simulation: ModuleType) -> None:
    traffic = simulation.Traffic(simulation.SERIES[1], 1, 302)
    outcome = simulation.Outcome(1, traffic.spikes)

    def note(unusual: Unusual) -> None:
        since = unusual.end - datetime.fromtimestamp(simulation.MONDAY, UTC)
        found = Finding(unusual.measure, unusual.value, unusual.expected, unusual.usual[1], 0.0, 0.0)
        simulation.note(outcome, found, since.total_seconds() / 3600)

    sink = UnusualUsage(on_unusual=note)
    record = CallRecord(operation="chat.completions", model="gpt-4o", runtime=SYNC)
    record.attempts, record.latency = 1, 0.0
    for record.started_at, call in traffic.pieces():
        record.complete = not call.failed
        record.error = "APIError" if call.failed else None
        record.total_tokens, record.cost = round(call.tokens), Decimal(call.cost)
        sink(record)
    assert [spike.kind for spike in outcome.spikes if spike.found is None] == []
    assert outcome.false == []
