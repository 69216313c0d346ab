"""How long a client blocks the event loop while it sends one very long message: llmkit's Context beside the raw SDK.

Usage: python benchmarks/event_loop.py [--megabytes 1]
A ticker measures the longest gap between two turns of the loop while `create` prepares and sends the request to a
transport that answers at once. The difference between the two lines is what counting adds.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

import httpx2
import openai

import llmkit
from llmkit.tokens import vocabulary

ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


async def longest_gap(client: Any, messages: Any) -> float:
    """Seconds of the longest time in which nothing else could run."""
    longest, stop = 0.0, False

    async def tick() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not stop:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    await client.chat.completions.create(model="gpt-4.1", messages=messages)
    stop = True
    await ticker
    return longest


async def main(megabytes: float) -> None:
    """Print the longest gap of each client, best of five."""
    vocabulary.load("gpt-4.1")
    words = "The quick brown fox jumps over the lazy dog, again and again. "
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=ANSWER))
    options: Any = {"api_key": "sk-fake", "http_client": httpx2.AsyncClient(transport=transport)}
    clients = {
        "raw SDK": openai.AsyncOpenAI(**options),
        "llmkit, without counting": llmkit.AsyncOpenAI(**options, middleware=[llmkit.Retry()]),
        "llmkit with Context": llmkit.AsyncOpenAI(**options, middleware=[llmkit.Context(), llmkit.Retry()]),
    }
    for name, client in clients.items():
        gaps: list[float] = []
        for attempt in range(5):  # another text each time: nothing is remembered
            text = f"{name} {attempt} " + words * int(megabytes * 1e6 / len(words))
            gaps.append(await longest_gap(client, [{"role": "user", "content": text}]))
        print(f"{name:26} longest gap {min(gaps) * 1e3:6.1f} ms (best of 5), worst {max(gaps) * 1e3:6.1f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=1)
    asyncio.run(main(parser.parse_args().megabytes))
