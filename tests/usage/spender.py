"""A process that makes mixed calls and keeps a ledger of them: python spender.py LEDGER BASE_URL WORKER CALLS."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from typing import Any

import openai

import llmkit
from llmkit import AsyncOpenAI, Cache, LedgerSink, MemoryStore, Retry, UsageLog

LANES = 20


async def one_call(client: AsyncOpenAI, worker: int, number: int) -> None:
    """A call of a kind that the number says; every seventh Chat call is made twice, the second for the cache."""
    name, kind = f"{worker}-{number}", number % 5
    ask: Any = {"model": "asked-for", "messages": [{"role": "user", "content": name}]}
    if kind == 0:
        await client.embeddings.create(model="text-embedding-3-small", input=name)
    elif kind == 1:
        await client.responses.create(model="asked-for", input=name)
    elif kind == 2:
        async for _ in await client.responses.create(model="asked-for", input=name, stream=True):
            pass
    elif kind == 3:
        async with await client.chat.completions.create(**ask, stream=True) as stream:
            async for _ in stream:
                if number % 4 == 1:  # cut short
                    break
    else:
        for _ in range(2 if number % 7 == 0 else 1):
            await client.chat.completions.create(**ask)


async def main(ledger: str, base_url: str, worker: int, calls: int) -> None:
    logging.disable()
    stack = [UsageLog(sinks=[LedgerSink(ledger)]), Cache(MemoryStore()), Retry()]
    client = AsyncOpenAI(api_key="sk-fake", base_url=base_url, middleware=stack)
    waiting = list(range(calls))[::-1]

    async def lane() -> None:
        while waiting:
            number = waiting.pop()
            with llmkit.tags(worker=worker, user=f"user-{number % 3}"), contextlib.suppress(openai.BadRequestError):
                await one_call(client, worker, number)

    await asyncio.gather(*(lane() for _ in range(LANES)))
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
