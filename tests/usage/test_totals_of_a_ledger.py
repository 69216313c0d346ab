"""10,000 mixed calls of four processes, one of them killed: the ledger's totals are what the server has billed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from genai_prices import Usage, calc_price
from usage.billing_server import BillingServer
from web_server import served

import llmkit

SPENDER = Path(__file__).with_name("spender.py")
CALLS = 2_500
CENT = Decimal("0.01")
FIGURES = ("input_tokens", "output_tokens", "total_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals")


def started(ledger: Path, base_url: str, worker: int) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([str(Path(llmkit.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(SPENDER), str(ledger), base_url, str(worker), str(CALLS)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path})


def until(condition: Callable[[], bool]) -> None:
    for _ in range(12_000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never was so")


def rows_of(ledger: Path, where: str = "1") -> list[dict[str, Any]]:
    connection = sqlite3.connect(ledger)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(f"SELECT * FROM calls WHERE {where}")]
    finally:
        connection.close()


def written(ledger: Path, worker: int) -> set[str]:
    if not ledger.exists():
        return set()
    try:
        return {row["call"] for row in rows_of(ledger, f"json_extract(tags, '$.worker') = {worker}")}
    except sqlite3.OperationalError:  # its table is being made
        return set()


def price(billed: dict[str, Any]) -> Decimal | None:
    """By genai-prices itself."""
    usage = Usage(
        input_tokens=billed["input"],
        output_tokens=billed["output"],
        cache_read_tokens=billed["cached"] or None,
        cache_write_tokens=billed["written"] or None,
    )
    context = {"service_tier": billed["tier"]} if billed["tier"] else None
    try:
        return calc_price(usage, billed["model"], provider_id="openai", price_context=context).total_price
    except LookupError:
        return None


def worker_of(answer: str) -> str:
    return answer.split("-")[1]


def arrived(server: BillingServer) -> set[str]:
    """Answers whose usage a process that was not killed has read: not those of streams that it left before."""
    return {
        answer
        for answer in server.billed
        if worker_of(answer) != "3" and not (int(answer.split("-")[2]) % 20 == 13 and answer.startswith("chat"))
    }


def as_named(billed: dict[str, Any]) -> dict[str, int]:
    given, made = billed["input"], billed["output"]
    names = (given, made, given + made, billed["cached"], billed["written"], billed.get("reasoning", 0))
    return dict(zip(FIGURES, names, strict=True))


@pytest.fixture(scope="module")
def spent(tmp_path_factory: pytest.TempPathFactory) -> tuple[BillingServer, Path]:
    """What the server has billed, and the ledger that four processes have kept; the fourth was killed at work."""
    server, ledger = BillingServer(), tmp_path_factory.mktemp("spent") / "usage.db"
    with served(server.app) as address:
        workers = [started(ledger, f"http://{address}/v1", number) for number in range(4)]
        until(lambda: len(written(ledger, 3)) > 300)
        before = written(ledger, 3)
        workers[3].send_signal(signal.SIGKILL)
        assert [worker.wait(timeout=300) for worker in workers] == [0, 0, 0, -signal.SIGKILL]
    assert before <= written(ledger, 3), "a committed row is lost"
    return server, ledger


def test_every_call_of_the_processes_that_live_has_one_row(spent: tuple[BillingServer, Path]) -> None:
    _, ledger = spent
    rows = rows_of(ledger)
    assert len({row["call"] for row in rows}) == len(rows)
    made_twice = sum(number % 5 == 4 and number % 7 == 0 and number % 37 != 5 for number in range(CALLS))
    for worker in range(3):
        count = sum(f'"worker":{worker}' in row["tags"] for row in rows)
        assert count == CALLS + made_twice
    outcomes = Counter(row["outcome"] for row in rows if '"worker":3' not in row["tags"])
    assert outcomes["cached"] == 3 * made_twice
    assert outcomes["cut"] == 3 * sum(
        number % 5 == 3 and number % 4 == 1 and number % 37 != 5 for number in range(CALLS)
    )
    assert outcomes["failed"] == 3 * sum(number % 5 in (3, 4) and number % 37 == 5 for number in range(CALLS))
    assert outcomes.keys() == {"ok", "cached", "cut", "failed"}


def test_each_answer_has_one_row_with_what_the_server_has_billed(spent: tuple[BillingServer, Path]) -> None:
    server, ledger = spent
    rows = rows_of(ledger, "response_id IS NOT NULL AND outcome = 'ok'")
    by_answer = {row["response_id"]: row for row in rows}
    assert len(by_answer) == len(rows)
    expected = {answer for answer in arrived(server) if not answer.startswith("embedding")}
    assert {answer for answer in by_answer if worker_of(answer) != "3"} == expected
    assert by_answer.keys() <= server.billed.keys()
    for answer, row in by_answer.items():
        billed = server.billed[answer]
        assert {name: row[name] for name in FIGURES} == as_named(billed), answer
        dollars = price(billed)
        assert row["cost"] == (None if dollars is None else round(dollars * 10**9)), answer
        assert not row["estimated"]


def test_the_totals_are_the_servers_to_the_token_and_to_the_cent(spent: tuple[BillingServer, Path]) -> None:
    server, ledger = spent
    lived = [server.billed[answer] for answer in arrived(server)]
    rows = rows_of(ledger, "json_extract(tags, '$.worker') != 3 AND NOT estimated")
    for name in FIGURES:
        assert sum(row[name] or 0 for row in rows) == sum(as_named(billed)[name] for billed in lived), name
    dollars = sum((found for billed in lived if (found := price(billed)) is not None), Decimal(0))
    assert dollars > 100
    ledgers = Decimal(sum(row["cost"] or 0 for row in rows)).scaleb(-9)
    assert ledgers.quantize(CENT) == dollars.quantize(CENT)
    unpriced = sum(row["cost"] is None and (row["total_tokens"] or 0) > 0 for row in rows)
    assert unpriced == sum(price(billed) is None for billed in lived) > 100


def test_streams_cut_short_are_marked_as_estimates(spent: tuple[BillingServer, Path]) -> None:
    _, ledger = spent
    cut = rows_of(ledger, "outcome = 'cut'")
    assert cut
    assert all(row["estimated"] == 1 and row["complete"] == 0 and row["output_tokens"] > 0 for row in cut)
    assert not rows_of(ledger, "estimated AND outcome != 'cut'")


def test_answers_from_the_cache_cost_nothing_and_say_what_they_saved(spent: tuple[BillingServer, Path]) -> None:
    server, ledger = spent
    for row in rows_of(ledger, "outcome = 'cached'"):
        billed = server.billed[row["response_id"]]
        assert (row["total_tokens"], row["cost"], row["attempts"]) == (0, 0, 0)
        assert (row["saved_input_tokens"], row["saved_output_tokens"]) == (billed["input"], billed["output"])
