"""How close to the ideal time a rate limit lets calls through: `python benchmarks/rate_limit.py [redis://...]`.

Real time, one line a case: what was measured, the ideal, and their ratio. With the URL of a Redis server, three
processes share a bucket there, too, and the commands that each call costs are counted.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import Any

from llmkit import runtime
from llmkit.limits import Amount, Backend, Limits, MemoryBackend, RedisBackend, Ticket
from llmkit.limits.gate import Gate
from llmkit.middleware.rate_limit import RateLimit
from llmkit.testing import FakeOpenAI

RATE, ROOM = 400, 400
LIMITS = Limits(tokens_per_minute=RATE * 60, burst_seconds=ROOM / RATE)
CHAT: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Name a colour."}]}
KEY = "benchmark"


class Run:
    """Calls on one bucket, and when they went."""

    def __init__(self, backend: Backend | None = None) -> None:
        self.backend = backend or MemoryBackend()
        self.gate = Gate(self.backend)
        self.went: list[tuple[float, Any]] = []
        self.began = time.perf_counter()

    async def call(self, name: Any, tokens: float) -> None:
        """One call."""
        ticket = Ticket(bucket=KEY, limits=LIMITS, need=Amount(1, tokens), runtime=runtime.ASYNC)
        await self.gate.enter(ticket)
        self.went.append((time.perf_counter() - self.began, name))
        self.backend.settle(ticket, Amount(0, 0))
        self.gate.leave(ticket)

    def start(self, names: Iterable[Any], tokens: float) -> list[asyncio.Task[None]]:
        """So many calls at once."""
        return [asyncio.create_task(self.call(name, tokens)) for name in names]

    def report(self, case: str, tokens: float) -> None:
        """The line of a case that needed so many tokens."""
        order = [name for _, name in self.went]
        report(case, self.went[-1][0], (tokens - ROOM) / RATE, "in order" if order == sorted(order) else "NOT in order")


def report(case: str, took: float, ideal: float, *notes: str) -> None:
    print(f"{case:<44} {took:7.3f} s  ideal {ideal:6.3f} s  {100 * (took / ideal - 1):+6.2f} %  {', '.join(notes)}")


async def in_memory() -> None:
    run = Run()
    await asyncio.gather(*run.start(range(200), 10))
    run.report("200 tasks", 2_000)
    run = Run()
    tasks = [*run.start(range(100), 5), *run.start([100], 300), *run.start(range(101, 201), 5)]
    await asyncio.gather(*tasks)
    run.report("one of 300 amid 200 of 5", 1_300)
    run = Run()
    await asyncio.gather(*run.start([0], 1_200), *run.start([1], 40))
    run.report("one of 1,200, then one of 40", 1_240)
    run = Run()
    tasks = run.start(range(200), 10)
    await asyncio.sleep(0)
    for task in tasks[40::2] + tasks[1:40:2]:
        task.cancel()
    await asyncio.wait(tasks)
    run.report("200 tasks, 100 of them cancelled", 10 * len(run.went))


async def through_a_client() -> None:
    fake = FakeOpenAI()
    client = fake.async_client(middleware=[RateLimit(requests_per_minute=2_400, burst_seconds=1)])
    await client.chat.completions.create(**CHAT)
    await asyncio.sleep(0.1)  # that was the first, which loads much
    began = time.perf_counter()
    await asyncio.gather(*(client.chat.completions.create(**CHAT) for _ in range(200)))
    report("200 calls through a client", time.perf_counter() - began, (200 - 40) / 40)


async def cost() -> None:
    run, count = Run(), 50_000
    limits = Limits(requests_per_minute=1e12, tokens_per_minute=1e12)
    began = time.perf_counter()
    for _ in range(count):
        ticket = Ticket(bucket=KEY, limits=limits, need=Amount(1, 10), runtime=runtime.ASYNC)
        await run.gate.enter(ticket)
        run.backend.settle(ticket, Amount(0, 5))
        run.gate.leave(ticket)
    print(f"a call that need not wait costs {(time.perf_counter() - began) / count * 1e6:.1f} us")


async def work(url: str) -> None:
    run = Run(RedisBackend(url, prefix=KEY))
    clock = redis_client(url)
    stamps: list[float] = []

    async def call() -> None:
        await run.call(0, 10)
        seconds, micro = clock.time()
        stamps.append(seconds + micro / 1e6)

    await asyncio.gather(*(call() for _ in range(70)))
    print(json.dumps(stamps))


def on_redis(url: str) -> None:
    server, key = redis_client(url), f"{KEY}:{KEY}"
    server.delete(key)
    server.config_resetstat()
    command = [sys.executable, __file__, "--work", url]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    stamps = sorted(stamp for process in processes for stamp in json.loads(process.communicate()[0]))
    born = float(server.hget(key, "born"))
    too_early = sum(10 * number > ROOM + RATE * (stamp - born) for number, stamp in enumerate(stamps, 1))
    commands = sum(server.info("commandstats").get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha",))
    report(
        "210 tasks in 3 processes on Redis", stamps[-1] - born, (2_100 - ROOM) / RATE,
        f"{too_early} too early", f"{commands / 210:.2f} commands a call", f"{server.memory_usage(key)} bytes",
        f"Redis {server.info()['redis_version']}",
    )  # fmt: skip


def redis_client(url: str) -> Any:
    import redis

    return redis.Redis.from_url(url)


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--work"]:
        asyncio.run(work(arguments[1]))
        return
    asyncio.run(in_memory())
    asyncio.run(through_a_client())
    asyncio.run(cost())
    for url in arguments:
        on_redis(url)


if __name__ == "__main__":
    main(sys.argv[1:])
