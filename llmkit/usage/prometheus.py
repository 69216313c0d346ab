"""Metrics for Prometheus: counted when a call ends; what is so right now is looked up when it is asked for."""

from __future__ import annotations

import importlib
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final
from weakref import ref

from llmkit.errors import LLMKitError
from llmkit.forks import begin_anew_in_children
from llmkit.record import CallRecord, logger
from llmkit.usage import prices
from llmkit.usage.prometheus_gauges import STATES, HasStates, checked_breakers, gauges, shared_gauge, worst_states
from llmkit.usage.prometheus_series import OTHER, Labels, Metrics, Series, text
from llmkit.usage.rules import model_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

_NAME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_TAKEN: Final = frozenset(
    {"operation", "model", "outcome", "kind", "result", "error", "status", "code", "base_url", "state", "le", "pid"}
)


class PrometheusSink:
    """Counts calls for Prometheus: `UsageLog(sinks=[PrometheusSink()])`, one sink for all clients of a registry.

    The metrics go to `registry`, or else to the default one of prometheus_client, and have the labels operation, model
    and those tags of a call that are named in `tags`: name features and teams, not users, for each combination of
    values is a set of time series. Beyond `most_label_sets` further models and tags are counted as "other". The model
    is the one that the call was sent to, by the name it was asked under: known for failures, too, and the same when a
    provider moves it to a new snapshot. `breakers` are those whose states are shown.

    Under several workers with PROMETHEUS_MULTIPROC_DIR, counters and histograms are those of all, and calls in flight
    have no labels; calls queued and states of breakers are not told. Needs the extra `llmkit[prometheus]`, and
    `llmkit[prices]` for costs.
    """

    def __init__(
        self,
        *,
        registry: CollectorRegistry | None = None,
        tags: Iterable[str] = (),
        breakers: Iterable[HasStates] = (),
        namespace: str = "llmkit",
        most_label_sets: int = 200,
    ) -> None:
        _load()
        if not _NAME.fullmatch(namespace):
            raise ValueError(f"namespace={namespace!r} must be letters, digits and _, and begin with a letter")
        if most_label_sets < 1:
            raise ValueError(f"most_label_sets={most_label_sets!r} must be at least 1")
        self._tags = _checked(tags)
        self._breakers = checked_breakers(breakers)
        self._namespace = namespace
        self._most = most_label_sets
        self._metrics = Metrics(namespace, self._tags)
        self._series: dict[Labels, Series] = {}
        self._warned = False
        self._of_all_workers = shared_gauge(namespace)
        prices.load_if_installed()
        begin_anew_in_children(self)
        self._register(registry)

    def started(self, record: CallRecord) -> None:
        """Take note of a call that has begun."""
        key = id(record)
        self._under_way[key] = ref(record, partial(self._under_way.pop, key))
        if self._of_all_workers is not None:
            self._ended.append(None)
            self._count()

    def __call__(self, record: CallRecord) -> None:
        """Count the finished call."""
        self._under_way.pop(id(record), None)
        self._ended.append(record)
        self._count()

    def begin(self) -> None:
        """Know of no call under way; what a forked child does, too."""
        self._turn = Lock()
        self._ended: deque[CallRecord | None] = deque()
        self._under_way: dict[int, ref[CallRecord]] = {}

    def describe(self) -> Iterator[Metric]:
        """The metrics without their values, for the registry."""
        for metric in (*self._metrics.counters.values(), *self._metrics.histograms.values()):
            yield from metric.describe()
        yield from gauges(self._namespace, self._tags)

    def collect(self) -> Iterator[Metric]:
        """The metrics, for a scrape."""
        for metric in (*self._metrics.counters.values(), *self._metrics.histograms.values()):
            yield from metric.collect()
        in_flight, queued, states = gauges(self._namespace, self._tags)
        for labels, (running, waiting) in self._now().items():
            in_flight.add_metric(labels, running)
            queued.add_metric(labels, waiting)
        for (base_url, model), worst in worst_states(self._breakers).items():
            for state in STATES:
                states.add_metric((base_url, model, state), state == worst)
        yield from (in_flight, queued, states)

    def _count(self) -> None:
        """Count what has ended; whoever has the turn counts for those who come meanwhile."""
        # One of them may be a finalizer that runs in the midst of this, where a lock would never be free.
        while self._ended and self._turn.acquire(blocking=False):
            try:
                while self._ended:
                    if (record := self._ended.popleft()) is not None:
                        self._add(record)
                if self._of_all_workers is not None:
                    self._of_all_workers.set(len(self._under_way))
            finally:
                self._turn.release()

    def _add(self, record: CallRecord) -> None:
        self._series_of(self._labels(record, model_of(record))).count(record)
        for failure in record.failures:
            self._series_of(self._labels(record, failure.model)).count_failure(failure.error, failure.status_code)

    def _labels(self, record: CallRecord, model: object) -> Labels:
        tags = record.tags
        named = model if isinstance(model, str) else ""
        return (record.operation, named, *[str(tags.get(name, "")) for name in self._tags])

    def _series_of(self, labels: Labels) -> Series:
        found = self._series.get(labels)
        if found is not None:
            return found
        known = _bounded(labels, self._series, self._most)
        if known not in self._series:
            self._series[known] = Series(self._metrics, known)
        if OTHER in known and len(self._series) >= self._most and not self._warned:
            self._warned = True
            logger.warning("PrometheusSink has %d sets of labels; more models and tags are 'other'", self._most)
        return self._series[known]

    def _now(self) -> dict[Labels, tuple[int, int]]:
        """How many calls run, and how many of them wait for a rate limit."""
        counts: dict[Labels, tuple[int, int]] = dict.fromkeys(list(self._series), (0, 0))
        for record in [record for known in list(self._under_way.values()) if (record := known()) is not None]:
            labels = _bounded(self._labels(record, model_of(record)), counts, self._most)
            running, waiting = counts.get(labels, (0, 0))
            counts[labels] = (running + 1, waiting + record.queued)
        return counts

    def _register(self, registry: CollectorRegistry | None) -> None:
        from prometheus_client import REGISTRY

        try:
            (REGISTRY if registry is None else registry).register(self)
        except ValueError:
            raise ValueError(
                f"the registry has metrics of the names {self._namespace}_* already; use one PrometheusSink for all "
                "clients, or give this one another registry or namespace"
            ) from None


def _load() -> None:
    try:
        importlib.import_module("prometheus_client")
    except ImportError:
        raise LLMKitError("metrics need the prometheus-client package: pip install 'llmkit[prometheus]'") from None


def _checked(tags: Iterable[str]) -> tuple[str, ...]:
    if isinstance(tags, str):
        raise TypeError(f"tags={tags!r} is a text; write tags=({tags!r},)")
    names = tuple(tags)
    for name in names:
        if not _NAME.fullmatch(name) or name in _TAKEN or names.count(name) > 1:
            raise ValueError(
                f"tag {name!r} cannot be a label: use letters, digits and _, each name once, and none of "
                f"{', '.join(sorted(_TAKEN))}"
            )
    return names


def _bounded(labels: Labels, known: Collection[Labels], most: int) -> Labels:
    """The labels to count under: those given while there is room, else the operation's "other"."""
    labels = tuple(text(value) for value in labels)
    if labels in known or len(known) < most:
        return labels
    operation = labels[0] if any(labels[0] == one[0] for one in known) else OTHER
    return (operation, *[OTHER] * (len(labels) - 1))
