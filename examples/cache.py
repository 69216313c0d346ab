"""A cache in front of callers that ask the same: all at once, as a stream, and in the next process."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from llmkit import AsyncOpenAI, Cache, Retry, SQLiteStore
from llmkit.cache import CacheStats
from llmkit.testing import FakeOpenAI


async def ask(client: AsyncOpenAI) -> str | None:
    """The whole answer."""
    reply = await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Name a colour."}]
    )
    return reply.choices[0].message.content


async def ask_for_a_stream(client: AsyncOpenAI) -> str:
    """The same answer, piece by piece."""
    stream = await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Name a colour."}], stream=True
    )
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def run(fake: FakeOpenAI, path: Path) -> CacheStats:
    """What one process does."""
    cache = Cache(SQLiteStore(path), ttl=3600)
    client = fake.async_client(middleware=[cache, Retry()])
    answers = await asyncio.gather(*(ask(client) for _ in range(50)))
    print(set(answers), "and as a stream:", await ask_for_a_stream(client))
    stats = cache.stats()
    cache.close()
    return stats


async def main() -> None:
    """Run it twice on one file."""
    fake = FakeOpenAI().reply("Blue.")
    with tempfile.TemporaryDirectory() as folder:
        await run(fake, Path(folder) / "cache.db")
        stats = await run(fake, Path(folder) / "cache.db")
    print(f"{stats.hits + stats.misses} calls, {len(fake.requests)} HTTP request(s), {stats.hit_rate:.0%} hits")
    print(f"saved {stats.saved_input_tokens + stats.saved_output_tokens} tokens")


if __name__ == "__main__":
    asyncio.run(main())
