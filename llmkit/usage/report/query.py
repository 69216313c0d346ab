"""A report, from the table `calls` of a ledger."""

from __future__ import annotations

import math
import sqlite3

from llmkit.usage.report import behaviour, counted
from llmkit.usage.report.figures import Filter, Report, step_of
from llmkit.usage.report.picked import picked

_EVERYTHING = Filter()


def report(
    connection: sqlite3.Connection,
    wanted: Filter = _EVERYTHING,
    *,
    top: int = 10,
    most: int = 100,
    step: int | None = None,
) -> Report:
    """The figures of the calls that are wanted, all of one moment.

    `top` is how many of the dearest calls are listed, `most` how many groups of a breakdown, `step` the seconds of a
    slot. The connection may be one that only reads; it must not be in a transaction.
    """
    with picked(connection, wanted):
        since, until = _period(connection, wanted)
        step = step or step_of(since, until)
        counted.sum_up(connection)
        totals = counted.total(connection)
        latency, *latency_by_model = behaviour.latencies(connection)
        accuracy, *accuracy_by_model = behaviour.accuracies(connection)
        return Report(
            filter=wanted,
            since=since,
            until=until,
            step=step,
            totals=totals,
            slots=counted.slots(connection, since, until, step),
            by_model=counted.breakdown(connection, "model", most=most),
            by_operation=counted.breakdown(connection, "operation", most=most),
            by_key=counted.breakdown(connection, "key", most=most),
            by_tag=counted.by_tag(connection, totals, most=most),
            latency=latency,
            latency_by_model=tuple(latency_by_model),
            cache=behaviour.cache_use(connection),
            accuracy=accuracy,
            accuracy_by_model=tuple(accuracy_by_model),
            errors=behaviour.troubles(connection, "failed"),
            refusals=behaviour.troubles(connection, "refused"),
            effort=behaviour.effort(connection),
            top=behaviour.dearest(connection, top),
        )


def _period(connection: sqlite3.Connection, wanted: Filter) -> tuple[float, float]:
    """What was asked for, or else from the first call to the last."""
    first, last = connection.execute("SELECT min(started_at), max(started_at) FROM picked").fetchone()
    since = wanted.since if wanted.since is not None else first
    until = wanted.until if wanted.until is not None or last is None else math.nextafter(last, math.inf)
    known = [moment for moment in (since, until) if moment is not None]
    return (min(known), max(known)) if known else (0.0, 0.0)
