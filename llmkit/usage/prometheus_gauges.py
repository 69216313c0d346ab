"""What Prometheus is told of this very moment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from llmkit.breaker import CircuitState
from llmkit.usage.prometheus_series import text

if TYPE_CHECKING:
    from prometheus_client import Gauge
    from prometheus_client.metrics_core import GaugeMetricFamily

STATES: Final = ("closed", "half-open", "open")
"""Of a circuit, from good to bad."""

_IN_FLIGHT: Final = "calls_in_flight"
_MULTIPROCESS: Final = "PROMETHEUS_MULTIPROC_DIR"


class HasStates(Protocol):
    """What knows of circuits, such as a `CircuitBreaker`."""

    def states(self) -> Sequence[CircuitState]:
        """How it stands with each."""
        ...


def checked_breakers(breakers: Iterable[HasStates]) -> tuple[HasStates, ...]:
    """The breakers; the TypeError that names the first thing that is none."""
    for breaker in (given := tuple(breakers)):
        if not callable(getattr(breaker, "states", None)):
            raise TypeError(f"breakers has a {type(breaker).__qualname__}; give the CircuitBreakers of your stacks")
    return given


def gauges(namespace: str, tags: tuple[str, ...]) -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    """Calls in flight, calls queued, and states of circuits, without values."""
    from prometheus_client.metrics_core import GaugeMetricFamily

    labels = ("operation", "model", *tags)
    return (
        GaugeMetricFamily(f"{namespace}_{_IN_FLIGHT}", "Calls under way, streams included.", labels=labels),
        GaugeMetricFamily(f"{namespace}_calls_queued", "Calls that wait for a rate limit of llmkit's.", labels=labels),
        GaugeMetricFamily(
            f"{namespace}_circuit_breaker_state",
            "1 for the state that the circuit of a model at an address is in, else 0.",
            labels=("base_url", "model", "state"),
        ),
    )


def shared_gauge(namespace: str) -> Gauge | None:
    """Calls in flight where several processes are scraped as one, through files; None where each is scraped."""
    if _MULTIPROCESS not in os.environ:
        return None
    from prometheus_client import Gauge

    about = "Calls under way in all processes, streams included."
    return Gauge(f"{namespace}_{_IN_FLIGHT}", about, registry=None, multiprocess_mode="livesum")


def worst_states(breakers: Iterable[HasStates]) -> dict[tuple[str, str], str]:
    """The state of each circuit, by address and model; the worst where several breakers know of it."""
    states: dict[tuple[str, str], str] = {}
    for circuit in (state for breaker in breakers for state in breaker.states()):
        place = text(circuit.base_url), text(circuit.model or "")
        states[place] = max(states.get(place, STATES[0]), circuit.state, key=STATES.index)
    return states
