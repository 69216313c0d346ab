"""Calls that are answered in one piece: what they cost, how many a second, how long they hold up the event loop."""

from __future__ import annotations

import array
import asyncio
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmark import MODEL, Benchmark, Row, Run, check, conversation, message, text
from server import DIMENSIONS, TEXT, vector


async def ask(client: Any, messages: Any) -> None:
    """One chat call."""
    reply = await client.chat.completions.create(model=MODEL, messages=messages)
    check(reply.choices[0].message.content, TEXT)


async def respond(client: Any, messages: Any) -> None:
    """One Responses call."""
    reply = await client.responses.create(model=MODEL, input=messages)
    check(reply.output_text, TEXT)


def next_turns(run: Run, size: int, count: int) -> list[Any]:
    """Requests of a conversation that goes on: all messages but the last have been sent before."""
    known = conversation(size - 1, "known")
    return [[*known, message(f"{run.seed} {i}")] for i in range(count)]


def unseen(run: Run, size: int, count: int) -> list[Any]:
    """Requests whose messages have never been sent."""
    return [conversation(size, f"{run.seed} {i}") for i in range(count)]


Requests = Callable[[Run, int, int], "list[Any]"]


async def cpu_per_call(
    run: Run, *, size: int, calls: int, requests: Requests = next_turns, call: Any = ask
) -> dict[str, float]:
    """CPU time of this process for each call, one after the other."""
    client, bodies = run.client(), requests(run, size, run.times(calls))
    await call(client, bodies[0])  # the connection is open
    start = time.process_time()
    for messages in bodies:
        await call(client, messages)
    return {"cpu": (time.process_time() - start) / len(bodies)}


async def calls_per_second(run: Run, *, size: int, calls: int, lanes: int = 50) -> dict[str, float]:
    """Calls a second with 50 of them on their way at any time."""
    client, waiting = run.client(), next_turns(run, size, max(lanes, run.times(calls)))
    count = len(waiting)

    async def lane() -> None:
        while waiting:
            await ask(client, waiting.pop())

    start = time.perf_counter()
    await asyncio.gather(*(lane() for _ in range(lanes)))
    return {"rate": count / (time.perf_counter() - start)}


async def embeddings(run: Run, *, texts: int = 256, calls: int = 6) -> dict[str, float]:
    """CPU time for each call that embeds 256 texts."""
    client, calls = run.client(texts), run.times(calls)
    inputs = [[text(f"{run.seed} {call} {i}", 30) for i in range(texts)] for call in range(calls)]
    wanted = array.array("f", vector(texts - 1))
    if sys.byteorder == "big":
        wanted.byteswap()
    start = time.process_time()
    replies = [await client.embeddings.create(model="text-embedding-3-small", input=given) for given in inputs]
    used = time.process_time() - start
    for reply in replies:
        check([len(item.embedding) for item in reply.data], [DIMENSIONS] * texts)
        check(list(reply.data[-1].embedding), list(wanted))
    return {"cpu": used / calls}


async def longest_gap(client: Any, messages: Any) -> float:
    """Seconds of the longest time in which nothing else could run."""
    longest, over = 0.0, False

    async def tick() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not over:
            await asyncio.sleep(0)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    await ask(client, messages)
    over = True
    await ticker
    return longest


def one_long_message(run: Run, size: int, count: int) -> list[Any]:
    """Requests of one message of about `size` bytes."""
    texts = ((text(f"{run.seed} {i}", 1000) + " ") * 200 for i in range(count))
    return [[{"role": "user", "content": content[:size]}] for content in texts]


async def event_loop(run: Run, *, size: int, requests: Requests, calls: int = 5) -> dict[str, float]:
    """The longest stall of the event loop during a call, the median of a few calls."""
    client, bodies = run.client(), requests(run, size, run.times(calls))
    await ask(client, [message(0)])
    return {"stall": statistics.median([await longest_gap(client, messages) for messages in bodies])}


async def long_conversation(run: Run, *, turns: int = 300, timed: int = 20) -> dict[str, float]:
    """CPU time for a turn, early and late, in a history that grows by a question and its answer.

    The turns between are added to the history without calls, which saves time and changes no figure.
    """
    client, timed = run.client(), run.times(timed)
    history = [message("system", "system")]

    async def turn(number: int) -> None:
        history.append(message(f"{run.seed} {number}"))
        await ask(client, history)
        history.append({"role": "assistant", "content": TEXT})

    async def cpu_per_turn(first: int) -> float:
        await turn(first - 1)
        start = time.process_time()
        for number in range(first, first + timed):
            await turn(number)
        return (time.process_time() - start) / timed

    early = await cpu_per_turn(10)
    for number in range(10 + timed, run.times(turns) - timed - 1):
        history.extend([message(f"{run.seed} {number}"), {"role": "assistant", "content": TEXT}])
    return {"early": early, "late": await cpu_per_turn(run.times(turns) - timed)}


def _cpu(name: str, label: str, **options: Any) -> Benchmark:
    aiohttp = "requests" not in options and "call" not in options
    return Benchmark(name, partial(cpu_per_call, **options), (Row("cpu", f"CPU a call, {label}"),), aiohttp=aiohttp)


BENCHMARKS = [
    _cpu("chat-1", "1 message, a new one", size=1, calls=120),
    _cpu("chat-20", "20 messages, the last one new", size=20, calls=50),
    _cpu("chat-200", "200 messages, the last one new", size=200, calls=8),
    _cpu("unseen-20", "20 messages, all new", size=20, calls=50, requests=unseen),
    _cpu("unseen-200", "200 messages, all new", size=200, calls=8, requests=unseen),
    _cpu("responses-20", "20 messages by Responses, the last one new", size=20, calls=50, call=respond),
    Benchmark(
        "throughput",
        partial(calls_per_second, size=20, calls=300),
        (Row("rate", "Calls a second, 50 at a time, 20 messages", "1/s", more_is_better=True),),
        aiohttp=True,
    ),
    Benchmark("embeddings", embeddings, (Row("cpu", "CPU a call, embeddings of 256 texts"),)),
    Benchmark(
        "stall-200",
        partial(event_loop, size=200, requests=unseen),
        (Row("stall", "Longest event-loop stall, 200 messages, all new"),),
    ),
    Benchmark(
        "stall-1mb",
        partial(event_loop, size=1_000_000, requests=one_long_message),
        (Row("stall", "Longest event-loop stall, one message of 1 MB"),),
    ),
    Benchmark(
        "conversation",
        long_conversation,
        (
            Row("early", "CPU a turn, turns 10 to 30 of a conversation"),
            Row("late", "CPU a turn, turns 280 to 300 of it"),
        ),
        most_rounds=5,
    ),
]
