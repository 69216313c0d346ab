"""What a Budget adds to a call, for each ledger: `python benchmarks/budget.py [redis://...]`, by hand."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

import llmkit
from llmkit.budgets import Ledger, MemoryLedger, RedisLedger, SQLiteLedger
from llmkit.middleware.budget import Budget
from llmkit.tokens import vocabulary

CALLS = 300
ROUNDS = 7
CHAT: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Name a colour."}]}
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Blue."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
}


def client_with(*middleware: Budget) -> llmkit.AsyncOpenAI:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=ANSWER))
    return llmkit.AsyncOpenAI(
        api_key="sk-fake", http_client=httpx2.AsyncClient(transport=transport), middleware=middleware
    )


async def seconds_a_call(client: llmkit.AsyncOpenAI, *, at_once: int) -> float:
    async def some() -> None:
        for _ in range(CALLS // at_once):
            await client.chat.completions.create(**CHAT)

    begun = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(at_once)))
    return (time.perf_counter() - begun) / CALLS


async def measure(ledgers: dict[str, Callable[[], Ledger]]) -> None:
    print(f"microseconds a call beyond one without a Budget, {CALLS} calls, median of {ROUNDS} rounds")
    clients = {"none": client_with()}
    for name, ledger in ledgers.items():
        clients[f"{name}, tokens"] = client_with(Budget(monthly_tokens=10**15, ledger=ledger()))
        clients[f"{name}, tokens and USD of 3 windows"] = client_with(
            Budget(
                minute_usd=9_000_000,
                daily_usd=9_000_000,
                monthly_usd=9_000_000,
                daily_tokens=10**15,
                ledger=ledger(),
            )
        )
    for at_once in (1, 20):
        found: dict[str, list[float]] = {name: [] for name in clients}
        for _ in range(ROUNDS):
            for name, client in clients.items():
                found[name].append(await seconds_a_call(client, at_once=at_once))
        base = statistics.median(found.pop("none"))
        for name, times in found.items():
            print(f"{at_once:>3} at once  {name:<45} {(statistics.median(times) - base) * 1e6:8.0f}")


def main() -> None:
    vocabulary.load("gpt-4o-mini")
    with tempfile.TemporaryDirectory() as folder:
        ledgers: dict[str, Callable[[], Ledger]] = {
            "memory": MemoryLedger,
            "SQLite": lambda: SQLiteLedger(Path(folder) / "budget.db"),
        }
        if url := next(iter(sys.argv[1:]), None):
            ledgers["Redis"] = lambda: RedisLedger(url, prefix="llmkit:benchmark")
        asyncio.run(measure(ledgers))


if __name__ == "__main__":
    main()
