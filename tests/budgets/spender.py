"""One of several processes that spend from one budget: prints how many of its calls passed."""

from __future__ import annotations

import asyncio
import sys

import httpx2

import llmkit
from llmkit.budgets import Ledger, RedisLedger, SQLiteLedger
from llmkit.errors import BudgetExceeded
from llmkit.middleware.budget import Budget

CALLS = 40
TOKENS = 7
"""Of each call, before and after it."""


def embed(request: httpx2.Request) -> httpx2.Response:
    usage = {"prompt_tokens": TOKENS, "total_tokens": TOKENS}
    return httpx2.Response(200, json={"object": "list", "model": "m", "data": [], "usage": usage})


async def passed(ledger: Ledger, most: int) -> int:
    client = llmkit.AsyncOpenAI(
        api_key="sk-fake",
        http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(embed)),
        middleware=[Budget(monthly_tokens=most, ledger=ledger)],
    )

    async def call() -> bool:
        try:
            await client.post("/embeddings", body={"model": "m", "input": [1] * TOKENS}, cast_to=object)
        except BudgetExceeded:
            return False
        return True

    return sum(await asyncio.gather(*(call() for _ in range(CALLS))))


def main() -> None:
    kind, where, name, most = sys.argv[1:]
    ledger = SQLiteLedger(where, timeout=30) if kind == "sqlite" else RedisLedger(where, prefix=name, timeout=10)
    print("ready", flush=True)  # noqa: T201 - how the test hears of it
    sys.stdin.readline()
    print(asyncio.run(passed(ledger, int(most))), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
