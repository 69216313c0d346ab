"""What each layer adds to the CPU of a call, in microseconds: over a transport in memory, so that little else is seen.

    python benchmarks/layers.py [--rounds 20]

The least of many rounds, each layer in turn in every round, beside a stack of UsageLog, Context and Retry.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import time
from typing import Any

import httpx2

from llmkit import (
    AsyncOpenAI,
    Budget,
    CircuitBreaker,
    Context,
    Fallback,
    KeyRing,
    Middleware,
    RateLimit,
    Retry,
    Route,
    Rule,
    Timeouts,
    UsageLog,
)
from llmkit.tokens import vocabulary

MODEL = "gpt-4o"
CALLS = 100
MESSAGES: Any = [{"role": "user", "content": "Name a colour."}]
USAGE = {"prompt_tokens": 11, "completion_tokens": 2, "total_tokens": 13}
CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Blue."}}
ANSWER = json.dumps(
    {"id": "c", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [CHOICE], "usage": USAGE}
).encode()
LAYERS: dict[str, Middleware] = {
    "Budget(daily_tokens=...)": Budget(daily_tokens=10**12),
    "Budget(daily_usd=..., per='user')": Budget(daily_usd=10**6, per="user"),
    "Route(Rule(max_input_tokens=...))": Route(Rule("gpt-4o-mini", max_input_tokens=1)),
    "Fallback(...)": Fallback("gpt-4o-mini"),
    "Timeouts(total=...)": Timeouts(total=60),
    "CircuitBreaker()": CircuitBreaker(),
    "KeyRing(...)": KeyRing("sk-one-of-two-keys", "sk-two-of-two-keys"),
    "RateLimit(...)": RateLimit(requests_per_minute=10**9, tokens_per_minute=10**12),
}


def client_with(*layers: Middleware) -> AsyncOpenAI:
    """A client that is answered in memory; its records go nowhere."""
    transport = httpx2.MockTransport(
        lambda request: httpx2.Response(200, headers={"content-type": "application/json"}, content=ANSWER)
    )
    stack = [UsageLog(sinks=[]), Context(), *layers, Retry()]
    return AsyncOpenAI(
        api_key=None if any(isinstance(layer, KeyRing) for layer in layers) else "sk-fake",
        http_client=httpx2.AsyncClient(transport=transport),
        middleware=stack,
    )


async def cpu_of(client: AsyncOpenAI) -> float:
    """Seconds of CPU for one call."""
    began = time.process_time()
    for _ in range(CALLS):
        await client.chat.completions.create(model=MODEL, messages=MESSAGES)
    return (time.process_time() - began) / CALLS


async def measure(rounds: int) -> dict[str, float]:
    """The least CPU of a call with each layer, and without any of them under ""."""
    clients = {"": client_with()} | {name: client_with(layer) for name, layer in LAYERS.items()}
    least = dict.fromkeys(clients, float("inf"))
    for _ in range(rounds):
        for name, client in clients.items():
            least[name] = min(least[name], await cpu_of(client))
    return least


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    logging.disable(logging.CRITICAL)
    vocabulary.load(MODEL)
    least = asyncio.run(measure(rounds))
    base = least.pop("")
    print(f"a call without them takes {base * 1e6:.0f} us of CPU\n\n| layer | adds, us |\n|---|---|")
    for name, seconds in least.items():
        print(f"| `{name}` | {(seconds - base) * 1e6:.0f} |")


if __name__ == "__main__":
    main()
