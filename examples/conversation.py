"""A conversation with a tool, kept in SQLite: leave it, and go on where it was. Runs on FakeOpenAI, without a key."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from llmkit import tool
from llmkit.conversation import Conversation, SQLiteStore
from llmkit.testing import FakeOpenAI


@tool
async def get_weather(city: str) -> str:
    """Current weather for a city."""
    print(f"   get_weather({city!r})")
    return "18 degrees, light rain"


def planned_answers() -> FakeOpenAI:
    fake = FakeOpenAI()
    fake.reply(tool_calls=[("get_weather", {"city": "Paris"})])
    fake.reply("It is 18 degrees in Paris, and raining a little.")
    fake.reply("Yes: it is raining.")
    return fake


async def main(folder: Path) -> None:
    client = planned_answers().async_client(middleware=[])
    store = SQLiteStore(folder / "chats.db")

    print("1. A question that needs a tool")
    conversation = Conversation(
        client,
        model="gpt-4o-mini",
        system="You are a weather service. Be brief.",
        tools=[get_weather],
        max_tokens=4_000,  # prompts never have more; older turns stay in the store
        store=store,
        id="alice",
    )
    reply = await conversation.send("What is the weather in Paris?")
    print("  ", reply.choices[0].message.content)

    print("\n2. Another process loads it and goes on, streaming")
    again = await Conversation.load(client, store=store, id="alice", tools=[get_weather])
    print("   ", end="")
    async for text in again.stream("Do I need an umbrella?"):
        print(text, end="", flush=True)

    print(
        f"\n\n{len(await again.history())} turns, {again.usage.calls} calls, {again.usage.total_tokens} tokens so far"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(Path(temporary)))
