"""The main job in one page: a drop-in client that logs, tags, streams and retries.

With OPENAI_API_KEY set it talks to the API; without, to FakeOpenAI, the test double that ships with llmkit.
"""

from __future__ import annotations

import asyncio
import os
import sys
from time import perf_counter
from typing import Any

import llmkit
from llmkit import AsyncOpenAI, CallNext, Middleware, Request, Retry, UsageLog
from llmkit.testing import FakeOpenAI

MODEL = "gpt-4o-mini"


async def log_latency(request: Request, call_next: CallNext) -> Any:
    """A middleware of one's own, whole."""
    start = perf_counter()
    try:
        return await call_next(request)
    finally:
        print(f"   {request.operation} on {request.model}: {perf_counter() - start:.3f} s to the answer")


def make_client() -> AsyncOpenAI:
    """The real API when there is a key, else the fake with an answer and a rate limit to show."""
    middleware: list[Middleware] = [UsageLog(), log_latency, Retry(max_retries=4)]
    if os.environ.get("OPENAI_API_KEY"):
        print("OPENAI_API_KEY is set: calling the OpenAI API.\n")
        return AsyncOpenAI(middleware=middleware)
    print("No OPENAI_API_KEY: running on the embedded FakeOpenAI. Nothing leaves this machine.\n")
    fake = FakeOpenAI()
    fake.reply("Paris is the capital of France.")
    fake.reply("Streams are logged when they end, with the tokens the server billed.")
    fake.error(429, code="rate_limit_exceeded", headers={"retry-after-ms": "300"})
    fake.reply("Still here: the first attempt met a 429, the second got through.")
    return fake.async_client(middleware=middleware)


async def main() -> None:
    """Three calls; each is logged on stderr by UsageLog."""
    client = make_client()

    print("1. A plain call, tagged with who is asking")
    with llmkit.tags(user="alice", feature="geography"):
        reply = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "What is the capital of France?"}]
        )
    print("  ", reply.choices[0].message.content)

    print("\n2. A stream")
    stream = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "When is a stream logged?"}], stream=True
    )
    print("   ", end="")
    async for chunk in stream:
        choice = chunk.choices[0]
        print(choice.delta.content or "", end="\n" if choice.finish_reason else "", flush=True)

    print("\n3. The Responses API; on the fake, the first attempt is rate limited and tried again")
    response = await client.responses.create(model=MODEL, input="Are you still there?")
    print("  ", response.output_text)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
