"""What a page must say of a ledger, by queries that share nothing with those of the report."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

Value = Decimal | float | int | None
Keyed = Iterator[tuple[tuple[str, str, str], Value]]

COUNTS = """count(*) AS calls, ifnull(sum(outcome = 'failed'), 0) AS failed, sum(outcome = 'refused') AS refused,
    sum(outcome = 'cached') AS cached, sum(outcome = 'cut') AS cut, sum(outcome = 'cancelled') AS cancelled,
    sum(estimated) AS estimated, ifnull(sum(total_tokens > 0 AND cost IS NULL), 0) AS unpriced,
    ifnull(sum(input_tokens), 0) AS input_tokens, ifnull(sum(output_tokens), 0) AS output_tokens,
    ifnull(sum(total_tokens), 0) AS total_tokens, ifnull(sum(cached_tokens), 0) AS cached_tokens,
    ifnull(sum(cost), 0) AS cost, ifnull(sum(saved_cost), 0) AS saved_cost,
    ifnull(sum(saved_input_tokens + saved_output_tokens), 0) AS saved_tokens"""
SOMETIMES = ("unpriced", "failed", "estimated")
DAY = 86_400


def figures_by_sql(path: Path, *, until: float) -> dict[tuple[str, str, str], Value]:
    """Each figure of a page by the part of the report, the row and the name; the ledger has two tags and two keys."""
    with closing(sqlite3.connect(path)) as ledger:
        ledger.row_factory = sqlite3.Row
        parts = [totals(ledger), slots(ledger, until), groups(ledger), caches(ledger), effort(ledger)]
        parts += [times(ledger), predictions(ledger), troubles(ledger), dearest(ledger)]
        return {key: value for part in parts for key, value in part}


def usd(nanos: int | None) -> Decimal | None:
    return None if nanos is None else Decimal(nanos).scaleb(-9)


def of_row(row: sqlite3.Row, *names: str) -> Iterator[tuple[str, Value]]:
    for name in names:
        if name == "cost" and not row["cost"] and "unpriced" in row.keys() and row["unpriced"]:  # noqa: SIM118
            yield name, None
            continue
        yield name, usd(row[name]) if "cost" in name else row[name]


def totals(ledger: sqlite3.Connection) -> Keyed:
    row = ledger.execute(f"SELECT {COUNTS} FROM calls").fetchone()
    names = ("cost", "calls", "total_tokens", "input_tokens", "output_tokens", "saved_cost", "cached", "saved_tokens")
    for name, value in of_row(row, *names, "failed", "refused", "unpriced", "estimated", "cut", "cancelled"):
        yield ("totals", "", name), value
    yield ("totals", "", "failed_share"), row["failed"] / row["calls"]
    for part in (50, 90):
        yield ("totals", "", f"latency.p{part}"), percentile(ledger, "latency", "outcome = 'ok'", part)


def slots(ledger: sqlite3.Connection, until: float) -> Keyed:
    first = ledger.execute("SELECT min(started_at) FROM calls").fetchone()[0]
    for number in range(int(first) // DAY, int(until) // DAY + 1):
        day = datetime.fromtimestamp(number * DAY, UTC)
        query = f"SELECT {COUNTS} FROM calls WHERE date(started_at, 'unixepoch') = '{day:%Y-%m-%d}'"
        names = ("cost", "calls", "failed", "input_tokens", "output_tokens")
        for name, value in of_row(ledger.execute(query).fetchone(), *names):
            yield ("slots", f"{day:%Y-%m-%dT00:00:00Z}", name), value


def groups(ledger: sqlite3.Connection) -> Keyed:
    parts = {"by_model": "model", "by_operation": "operation", "by_key": "key"}
    parts |= {f"by_tag.{tag}": f"ifnull(json_extract(tags, '$.{tag}'), 'no {tag}')" for tag in ("user", "feature")}
    for of, column in parts.items():
        for row in ledger.execute(f"SELECT {column} AS name, {COUNTS} FROM calls GROUP BY 1"):
            for name, value in of_row(row, "cost", "calls", "total_tokens", *SOMETIMES):
                if value or name not in SOMETIMES:
                    yield (of, row["name"], name), value


def models(ledger: sqlite3.Connection) -> list[tuple[str, str]]:
    """The name of the row and the condition: of all models together, and of each."""
    names = [name for (name,) in ledger.execute("SELECT DISTINCT model FROM calls")]
    return [("all models", "TRUE"), *((name, f"model = '{name}'") for name in names)]


def percentile(ledger: sqlite3.Connection, column: str, condition: str, part: int) -> float:
    values = [value for (value,) in ledger.execute(f"SELECT {column} FROM calls WHERE {condition} ORDER BY 1")]
    return values[math.ceil(len(values) * part / 100) - 1]


def times(ledger: sqlite3.Connection) -> Keyed:
    for model, condition in models(ledger):
        for of, column in (("latency", "latency"), ("first_token", "time_to_first_token")):
            known = f"outcome = 'ok' AND {condition} AND {column} IS NOT NULL"
            number = ledger.execute(f"SELECT count(*) FROM calls WHERE {known}").fetchone()[0]
            if number:
                yield (of, model, "calls"), number
                for part in (50, 90, 99):
                    yield (of, model, f"p{part}"), percentile(ledger, column, known, part)
        speed = ledger.execute(
            f"""SELECT sum(output_tokens) / sum(latency - retry_wait - limit_wait) FROM calls
            WHERE outcome = 'ok' AND output_tokens > 0 AND {condition}"""
        ).fetchone()[0]
        if speed:
            yield ("latency", model, "tokens_per_second"), speed


def predictions(ledger: sqlite3.Connection) -> Keyed:
    off = "abs(predicted_tokens - input_tokens)"
    for model, condition in models(ledger):
        known = f"predicted_tokens IS NOT NULL AND input_tokens > 0 AND NOT estimated AND attempts > 0 AND {condition}"
        calls, exact, near, mean = ledger.execute(
            f"""SELECT count(*), sum({off} = 0), sum({off} <= input_tokens / 100.0),
            100 * avg({off} * 1.0 / input_tokens) FROM calls WHERE {known}"""
        ).fetchone()
        worst = ledger.execute(
            f"""SELECT 100.0 * (predicted_tokens - input_tokens) / input_tokens FROM calls WHERE {known}
            ORDER BY abs(predicted_tokens - input_tokens) * 1.0 / input_tokens DESC LIMIT 1"""
        ).fetchone()[0]
        yield ("accuracy", model, "calls"), calls
        yield ("accuracy", model, "mean_error"), mean
        yield ("accuracy", model, "worst"), worst
        yield ("accuracy", model, "exact_share"), exact / calls
        yield ("accuracy", model, "within_1_percent_share"), near / calls


def caches(ledger: sqlite3.Connection) -> Keyed:
    row = ledger.execute(
        """SELECT sum(cache IN ('hit', 'semantic')) AS hits, sum(cache = 'semantic') AS semantic,
        sum(saved_input_tokens) AS saved_input_tokens, sum(saved_output_tokens) AS saved_output_tokens,
        sum(saved_cost) AS saved_cost, sum(cached_tokens) AS cached_tokens, count(cache) AS asked,
        sum(input_tokens) AS given FROM calls"""
    ).fetchone()
    names = ("hits", "semantic", "saved_input_tokens", "saved_output_tokens", "saved_cost", "cached_tokens")
    for name, value in of_row(row, *names):
        yield ("cache", "", name), value
    yield ("cache", "", "hit_rate"), row["hits"] / row["asked"]
    yield ("cache", "", "cached_share"), row["cached_tokens"] / row["given"]


def effort(ledger: sqlite3.Connection) -> Keyed:
    row = ledger.execute(
        """SELECT sum(attempts) AS attempts, sum(attempts) - sum(attempts > 0) AS retries,
        sum(attempts > 1) AS retried_calls, sum(retry_wait) AS retry_wait, sum(limit_wait > 0) AS limited_calls,
        sum(limit_wait) AS limit_wait, sum(fallback) AS fallbacks, sum(trimmed_messages > 0) AS trimmed_calls,
        sum(trimmed_messages) AS trimmed_messages FROM calls"""
    ).fetchone()
    for name, value in of_row(row, *row.keys()):
        if value:
            yield ("effort", "", name), value


def troubles(ledger: sqlite3.Connection) -> Keyed:
    for of, outcome in (("errors", "failed"), ("refusals", "refused")):
        query = "SELECT error, error_code, status_code, count(*) FROM calls WHERE outcome = ? GROUP BY 1, 2, 3"
        for error, code, status, calls in ledger.execute(query, [outcome]):
            yield (of, f"{error}/{code}/{status}", "calls"), calls


def dearest(ledger: sqlite3.Connection) -> Keyed:
    for row in ledger.execute("SELECT * FROM calls ORDER BY cost IS NULL, cost DESC LIMIT 10"):
        at = datetime.fromtimestamp(int(row["started_at"]), UTC)
        for name, value in of_row(row, "latency", "total_tokens", "cost"):
            yield ("top", f"{at:%Y-%m-%dT%H:%M:%SZ}", name), value
