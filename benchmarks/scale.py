"""Long-lived and busy processes: memory over many calls and many names, thousands of streams at once."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import calls
import streams
from benchmark import Benchmark, Row, Run, check, message
from processes import allow_many_connections
from server import TEXT


async def many_calls(run: Run) -> dict[str, float]:
    """Memory after 10,000 and after 100,000 calls, each with a text of its own."""
    return {"early": await _calls(run, 0, 10_000), "late": await _calls(run, 10_000, 100_000)}


async def _calls(run: Run, first: int, last: int) -> float:
    client = run.client()
    for number in range(run.times(first), run.times(last)):
        await calls.ask(client, [message(f"{run.seed} {number}")])
    gc.collect()
    return streams.memory("VmRSS")


async def many_names(run: Run) -> dict[str, float]:
    """Memory after 1,000 and after 10,000 models, users and tags that were never seen before."""
    return {"early": await _names(run, 0, 1000), "late": await _names(run, 1000, 10_000)}


async def _names(run: Run, first: int, last: int) -> float:
    client = run.client()
    for number in range(run.times(first), run.times(last)):
        user = f"user-{run.seed}-{number}"
        with run.tags(user=user, **{f"feature_{number}": "search"}):
            reply = await client.chat.completions.create(model=f"model-{number}", messages=[_HELLO], user=user)
        check(reply.choices[0].message.content, TEXT)
    gc.collect()
    return streams.memory("VmRSS")


_HELLO: Any = {"role": "user", "content": "Hello."}


async def many_streams(run: Run, *, pieces: int = 50) -> dict[str, float]:
    """2,000 streams of 50 chunks, of which none ends before all are open."""
    import httpx2
    import openai

    allow_many_connections()
    count = run.times(2000)
    await streams.chat(run.client(pieces), [message(0)], pieces)
    limits = httpx2.Limits(max_connections=10_000)  # the SDK's has 1,000, and 5 seconds to connect
    transport = openai.DefaultAioHttpClient if run.kind == "aiohttp" else openai.DefaultAsyncHttpxClient
    http_client = transport(limits=limits, timeout=300)
    client = run.new_client(pieces, gate=count, http_client=http_client, timeout=300)
    asked = [[message(f"{run.seed} {i}")] for i in range(count)]
    before, start = streams.forget_peak(), time.perf_counter()
    await asyncio.gather(*(streams.chat(client, messages, pieces) for messages in asked))
    return {"wall": time.perf_counter() - start, "peak": streams.memory("VmHWM") - before}


BENCHMARKS = [
    Benchmark(
        "many-streams",
        many_streams,
        (
            Row("wall", "2,000 streams at once, 50 chunks each"),
            Row("peak", "Peak memory of these 2,000 streams", "B"),
        ),
        most_rounds=1,
        fresh=True,
        aiohttp=True,
        scale=True,
    ),
    Benchmark(
        "many-names",
        many_names,
        (
            Row("early", "Memory of the process after 1,000 models, users and tags", "B"),
            Row("late", "Memory of the process after 10,000 of each", "B"),
        ),
        most_rounds=1,
        fresh=True,
        scale=True,
    ),
    Benchmark(
        "many-calls",
        many_calls,
        (
            Row("early", "Memory of the process after 10,000 calls", "B"),
            Row("late", "Memory of the process after 100,000 calls", "B"),
        ),
        most_rounds=1,
        fresh=True,
        scale=True,
    ),
]
