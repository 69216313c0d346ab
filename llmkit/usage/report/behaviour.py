"""What the calls that were picked out were like: how fast, how well predicted, what failed, and the dearest."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from llmkit.usage.report.counted import dollars, halves, whole
from llmkit.usage.report.details import Accuracy, CacheUse, Call, Effort, Latency, Spread, Trouble
from llmkit.usage.report.picked import read_tags
from llmkit.usage.rows import usd

_Answer = tuple[str | None, float, float | None, int, float]
"""The model, its latency, the time to the first token, the output tokens, and the seconds without waits."""

_LATENCIES: Final = """
    SELECT model, latency, time_to_first_token, ifnull(output_tokens, 0), latency - retry_wait - limit_wait
    FROM picked WHERE outcome = 'ok' AND latency IS NOT NULL
"""
_ACCURACIES: Final = """
    WITH compared AS (
        SELECT model, predicted_tokens - input_tokens AS off, input_tokens,
            100.0 * (predicted_tokens - input_tokens) / input_tokens AS error
        FROM picked
        WHERE predicted_tokens IS NOT NULL AND input_tokens > 0 AND NOT estimated AND outcome <> 'cached'
    )
    SELECT model, count(*), sum(off = 0), sum(100 * abs(off) <= input_tokens), sum(abs(error)), sum(error), min(error),
        max(error)
    FROM compared GROUP BY 1 ORDER BY 2 DESC, 1
"""
_CACHE: Final = f"""
    SELECT count(*) FILTER (WHERE cache <> 'miss'), count(*) FILTER (WHERE cache = 'semantic'),
        count(*) FILTER (WHERE cache = 'miss'), ifnull(sum(saved_input_tokens), 0), ifnull(sum(saved_output_tokens), 0),
        count(*) FILTER (WHERE saved_cost IS NULL AND saved_input_tokens + saved_output_tokens > 0),
        {", ".join(halves("saved_cost"))}
    FROM picked WHERE cache IS NOT NULL
"""  # noqa: S608 - all of it is llmkit's own
_TROUBLES: Final = """
    SELECT error, error_code, status_code, count(*), max(started_at),
        json_group_array(DISTINCT model) FILTER (WHERE model IS NOT NULL)
    FROM picked WHERE outcome = ? GROUP BY 1, 2, 3 ORDER BY 4 DESC, 5 DESC, 1, 2, 3
"""
_EFFORT: Final = """
    SELECT ifnull(sum(attempts), 0), ifnull(sum(max(attempts - 1, 0)), 0), count(*) FILTER (WHERE attempts > 1),
        total(retry_wait), count(*) FILTER (WHERE limit_wait > 0), total(limit_wait), count(*) FILTER (WHERE fallback),
        count(*) FILTER (WHERE trimmed_messages > 0), ifnull(sum(trimmed_messages), 0)
    FROM picked
"""
_DEAREST: Final = """
    SELECT started_at, operation, model, tags, outcome, input_tokens, output_tokens, total_tokens, estimated, cost,
        latency, request_id
    FROM picked WHERE total_tokens > 0 OR cost > 0
    ORDER BY cost DESC NULLS LAST, total_tokens DESC NULLS LAST, started_at DESC LIMIT ?
"""


def latencies(connection: sqlite3.Connection) -> tuple[Latency, ...]:
    """Of all models together, then of each, the one with the most answers first."""
    answers: list[_Answer] = connection.execute(_LATENCIES).fetchall()
    of: dict[str | None, list[_Answer]] = {}
    for answer in answers:
        of.setdefault(answer[0], []).append(answer)
    models = sorted(of, key=lambda model: (-len(of[model]), model or ""))
    return _latency(None, answers), *(_latency(model, of[model]) for model in models)


def cache_use(connection: sqlite3.Connection) -> CacheUse:
    """Hits, misses, and what the hits saved."""
    *counts, high, low = connection.execute(_CACHE).fetchone()
    hits, semantic, misses, given, made, unpriced = counts
    return CacheUse(
        hits=hits,
        semantic=semantic,
        misses=misses,
        saved_input_tokens=given,
        saved_output_tokens=made,
        saved_cost=dollars(whole(high, low)),
        unpriced=unpriced,
    )


def accuracies(connection: sqlite3.Connection) -> tuple[Accuracy, ...]:
    """Of all models together, then of each, the one with the most calls first."""
    rows = connection.execute(_ACCURACIES).fetchall()
    return _accuracy(None, rows), *(_accuracy(row[0], [row]) for row in rows)


def troubles(connection: sqlite3.Connection, outcome: str) -> tuple[Trouble, ...]:
    """How the calls of this outcome have ended, the most frequent way first."""
    return tuple(
        Trouble(
            error=error,
            error_code=code,
            status_code=status,
            calls=calls,
            last_at=last,
            models=tuple(sorted(json.loads(models))),
        )
        for error, code, status, calls, last, models in connection.execute(_TROUBLES, (outcome,))
    )


def effort(connection: sqlite3.Connection) -> Effort:
    """Attempts, waits, fallbacks and trimming."""
    found = connection.execute(_EFFORT).fetchone()
    return Effort(**dict(zip((each.name for each in fields(Effort)), found, strict=True)))


def dearest(connection: sqlite3.Connection, top: int) -> tuple[Call, ...]:
    """The calls that cost the most; none that has used nothing."""
    rows = connection.execute(_DEAREST, (top,))
    names = tuple(column[0] for column in rows.description)
    return tuple(_call(**dict(zip(names, row, strict=True))) for row in rows)


def _latency(model: str | None, answers: Sequence[_Answer]) -> Latency:
    first = [first for _, _, first, _, _ in answers if first is not None]
    busy = sum(busy for _, _, _, made, busy in answers if made)
    return Latency(
        model=model,
        calls=len(answers),
        latency=_spread([latency for _, latency, _, _, _ in answers]),
        streams=len(first),
        first_token=_spread(first),
        tokens_per_second=sum(made for _, _, _, made, _ in answers) / busy if busy > 0 else None,
    )


def _spread(values: Sequence[float]) -> Spread | None:
    if not values:
        return None
    ordered = sorted(values)
    p50, p90, p99 = (ordered[-(-len(ordered) * percent // 100) - 1] for percent in (50, 90, 99))
    return Spread(p50=p50, p90=p90, p99=p99)


def _accuracy(model: str | None, rows: Sequence[tuple[Any, ...]]) -> Accuracy:
    if not rows:
        return Accuracy(model=model, calls=0, exact=0, within_1_percent=0, mean_error=None, bias=None, worst=None)
    _, calls, exact, near, errors, signed, least, most = zip(*rows, strict=True)
    return Accuracy(
        model=model,
        calls=sum(calls),
        exact=sum(exact),
        within_1_percent=sum(near),
        mean_error=sum(errors) / sum(calls),
        bias=sum(signed) / sum(calls),
        worst=max((*least, *most), key=abs),
    )


def _call(*, tags: str | None, estimated: int, cost: int | None, **same: Any) -> Call:
    return Call(tags=read_tags(tags), estimated=bool(estimated), cost=usd(cost), **same)
