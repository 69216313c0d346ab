"""The main job in one page: a drop-in client that logs, tags, streams, retries and runs tools.

With OPENAI_API_KEY set it talks to the API; without, to FakeOpenAI, the test double that ships with llmkit.
"""

from __future__ import annotations

import asyncio
import os
import sys
from time import perf_counter
from typing import Any

import llmkit
from llmkit import AsyncOpenAI, CallNext, Middleware, Request, Retry, UsageLog, run_tools, tool
from llmkit.testing import FakeOpenAI

MODEL = "gpt-4o-mini"


async def log_latency(request: Request, call_next: CallNext) -> Any:
    """A middleware of one's own, whole."""
    start = perf_counter()
    try:
        return await call_next(request)
    finally:
        print(f"   {request.operation} on {request.model}: {perf_counter() - start:.3f} s to the answer")


@tool
async def get_weather(city: str) -> str:
    """Current weather for a city."""
    return f"18 degrees and light rain in {city}"


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
    fake.reply(tool_calls=[("get_weather", {"city": "Paris"})])
    fake.reply("Take an umbrella: it is raining in Paris.")
    return fake.async_client(middleware=middleware)


async def main() -> None:
    """Five calls of the model; each is logged on stderr by UsageLog."""
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

    print("\n4. A tool: a typed Python function that the model calls")
    question: Any = [{"role": "user", "content": "Do I need an umbrella in Paris?"}]
    async for step in run_tools(client, model=MODEL, messages=question, tools=[get_weather]):
        if step.type == "tool_result":
            print(f"   {step.call.name}({step.call.arguments}) -> {step.text}")
        elif step.type == "final":
            print("  ", step.text)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
