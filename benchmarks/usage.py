"""What keeping account of calls costs: CPU of all threads, 50 calls at a time, beside the raw SDK in the same run.

    python benchmarks/usage.py [--rounds 31] [--calls 250]

The least of many rounds, for machines are busy. Rows of the ledger are written to a real file, by its thread, within
the time that is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
from processes import Server, cpus

import llmkit
from llmkit import Context, LedgerSink, PrometheusSink, Retry, UsageLog
from llmkit.tokens import vocabulary
from llmkit.usage import prices

LANES = 50
CHAT: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Name a colour."}]}
Settle = Callable[[], object]


def nothing() -> None:
    """There is nothing to wait for."""


async def cpu_of(client: Any, calls: int, settle: Settle) -> float:
    """Microseconds of CPU for one call, all threads and what they still have to write included."""
    waiting = [None] * calls

    async def lane() -> None:
        while waiting:
            waiting.pop()
            with llmkit.tags(user="alice", feature="search"):
                await client.chat.completions.create(**CHAT)

    began = time.process_time()
    await asyncio.gather(*(lane() for _ in range(LANES)))
    settle()
    return (time.process_time() - began) / calls * 1e6


def clients(url: str, folder: Path) -> dict[str, tuple[Any, Settle]]:
    """Each with what is to be waited for when its calls are over."""
    ledger, both = (LedgerSink(folder / name) for name in ("one.db", "both.db"))
    below = [Context(), Retry()]
    address: Any = {"api_key": "sk-fake", "base_url": url}

    def ours(*sinks: Any, **options: Any) -> llmkit.AsyncOpenAI:
        return llmkit.AsyncOpenAI(**address, middleware=[UsageLog(sinks=sinks, **options), *below])

    return {
        "raw SDK": (openai.AsyncOpenAI(**address), nothing),
        "llmkit, Context and Retry": (llmkit.AsyncOpenAI(**address, middleware=below), nothing),
        "+ UsageLog, with costs": (ours(), nothing),
        "+ UsageLog and ledger": (ours(ledger), ledger.flush),
        "+ UsageLog, ledger and Prometheus": (ours(both, PrometheusSink()), both.flush),
    }


async def measure(url: str, rounds: int, calls: int) -> dict[str, list[float]]:
    """Microseconds of each client in each round, one after the other in every round."""
    with tempfile.TemporaryDirectory() as folder:
        made = clients(url, Path(folder))
        for client, settle in made.values():
            await cpu_of(client, LANES * 2, settle)
        found: dict[str, list[float]] = {name: [] for name in made}
        for number in range(rounds):
            names = list(made)[:: 1 if number % 2 else -1]
            for name in names:
                found[name].append(await cpu_of(made[name][0], calls, made[name][1]))
        return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--calls", type=int, default=250)
    options = parser.parse_args()
    prices.load()
    vocabulary.load(CHAT["model"])
    with Server() as server:
        if pair := cpus():
            os.sched_setaffinity(0, {pair[0]})
        found = asyncio.run(measure(f"{server.url}/0/0/v1", options.rounds, options.calls))
    least = {name: min(times) for name, times in found.items()}
    raw, before = least["raw SDK"], least["llmkit, Context and Retry"]
    print(f"CPU of a call, {LANES} at a time, the least of {options.rounds} rounds of {options.calls} calls\n")
    print("| | microseconds | of the raw SDK's | more than without UsageLog, of the raw SDK's |")
    print("|---|---|---|---|")
    for name, time_of_a_call in least.items():
        added = f"{(time_of_a_call - before) / raw:+.1%}" if name.startswith("+") else "-"
        print(f"| {name} | {time_of_a_call:.0f} | {time_of_a_call / raw:.3f} | {added} |")


if __name__ == "__main__":
    main()
