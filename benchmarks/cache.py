"""What a cached answer costs, beside what the SDK takes to parse it and to ask for it, in CPU.

    python benchmarks/cache.py [--rounds 15] [--redis redis://localhost:6379/0]

The answers come from memory, from a file and from Redis, through `create()` and in the client's `request`, where
llmkit begins; the raw SDK is answered by a transport in memory, so a real call costs more. The least of many rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import openai
from openai.types.chat import ChatCompletion

from llmkit import AsyncOpenAI, Cache, Context, MemoryStore, RedisStore, Retry, SQLiteStore, UsageLog
from llmkit.cache import CacheStore

MODEL = "gpt-4.1"
CALLS = 100
TEXT = "The quick brown fox jumps over the lazy dog. " * 20
USAGE = {"prompt_tokens": 11, "completion_tokens": 200, "total_tokens": 211}
DETAILS = {"reasoning_tokens": 0, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}
MESSAGE = {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}
ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "message": MESSAGE, "logprobs": None, "finish_reason": "stop"}],
        "usage": {**USAGE, "completion_tokens_details": DETAILS},
        "service_tier": "default",
    }
).encode()


caches: list[Cache] = []


def transport() -> httpx2.AsyncClient:
    """An HTTP client that is answered in memory."""
    headers = {"content-type": "application/json"}
    answer = httpx2.MockTransport(lambda request: httpx2.Response(200, headers=headers, content=ANSWER))
    return httpx2.AsyncClient(transport=answer)


def cached(store: CacheStore) -> AsyncOpenAI:
    """A client with the whole default stack around a cache."""
    caches.append(Cache(store))
    stack = [UsageLog(sinks=[]), caches[-1], Context(), Retry()]
    return AsyncOpenAI(api_key="sk-fake", http_client=transport(), middleware=stack)


def messages(count: int) -> Any:
    """So many messages of 130 characters."""
    return [{"role": "user", "content": f"message {number}: " + "lorem ipsum " * 10} for number in range(count)]


async def least(work: Callable[[], Awaitable[Any]], rounds: int) -> float:
    """Microseconds of CPU, the least of many rounds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(CALLS):
            await work()
        best = min(best, (time.process_time() - began) / CALLS)
    return best * 1e6


async def parsing(rounds: int) -> float:
    """What the SDK itself takes for an answer whose bytes are there."""
    client: Any = openai.AsyncOpenAI(api_key="sk-fake", http_client=transport())
    request = httpx2.Request("POST", "https://api.openai.com/v1/chat/completions")
    headers = {"content-type": "application/json"}
    options = openai._models.FinalRequestOptions(method="post", url="/chat/completions", json_data={})

    async def parse() -> ChatCompletion:
        response = httpx2.Response(200, headers=headers, content=ANSWER, request=request)
        return await client._process_response(
            cast_to=ChatCompletion, options=options, response=response, stream=False, stream_cls=None
        )

    return await least(parse, rounds)


async def inside(store: CacheStore, given: Any, rounds: int) -> float:
    """What a hit takes from the client's `request` on: the SDK's own arguments and types come before."""
    client: Any = cached(store)
    asked: list[Any] = []
    request = client.request

    async def note(*args: Any, **options: Any) -> Any:
        asked.append((args, options))
        return await request(*args, **options)

    client.request = note
    await client.chat.completions.create(model=MODEL, messages=given)
    (cast_to, options), keywords = asked[-1]
    return await least(lambda: request(cast_to, options, **keywords), rounds)


async def measure(stores: dict[str, CacheStore], rounds: int) -> None:
    """Print a table for each number of messages."""
    parse = await parsing(rounds)
    print(f"the SDK parses the answer in {parse:.0f} us\n")
    print("| messages | answered by | CPU, us | of the SDK's call | of the SDK's parsing |\n|---|---|---|---|---|")
    for count in (1, 20, 200):
        given = messages(count)
        raw = openai.AsyncOpenAI(api_key="sk-fake", http_client=transport())
        call = await least(partial(raw.chat.completions.create, model=MODEL, messages=given), rounds)
        rows = {"the SDK": call}
        for name, store in stores.items():
            create = partial(cached(store).chat.completions.create, model=MODEL, messages=given)
            await create()
            rows[name] = await least(create, rounds)
        rows["memory, from `request` on"] = await inside(stores["memory"], given, rounds)
        for name, spent in rows.items():
            print(f"| {count} | {name} | {spent:.0f} | {spent / call:.3f} | {spent / parse:.2f} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--redis", help="a server to measure, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        stores: dict[str, CacheStore] = {"memory": MemoryStore(), "SQLite": SQLiteStore(Path(folder) / "cache.db")}
        if given.redis:
            stores["Redis"] = RedisStore(given.redis, prefix="llmkit:benchmark")
        asyncio.run(measure(stores, given.rounds))
        for cache in caches:
            cache.close()


if __name__ == "__main__":
    main()
