"""Who used how much: a ledger of a few calls, and the report that is made of it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import llmkit
from llmkit import AsyncOpenAI, Cache, LedgerSink, MemoryStore, Retry, UsageLog, track_usage
from llmkit.testing import FakeOpenAI


async def ask(client: AsyncOpenAI, model: str, text: str) -> None:
    """A call like any other."""
    await client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])


async def run(ledger: LedgerSink) -> None:
    """Calls of two users for two features; one of them is asked twice."""
    usage = {"prompt_tokens": 12_000, "completion_tokens": 900, "prompt_tokens_details": {"cached_tokens": 8_192}}
    fake = FakeOpenAI().reply("Blue.", usage=usage).error(429).reply("Seine.", usage=usage)
    client = fake.async_client(middleware=[UsageLog(sinks=[ledger]), Cache(MemoryStore()), Retry(first_wait=0.01)])
    with llmkit.tags(user="alice", feature="search"), track_usage() as used:
        await ask(client, "gpt-4o", "Name a colour.")
        await ask(client, "gpt-4o", "Name a colour.")  # from the cache
    print(f"alice: {used.usage.calls} calls, {used.usage.total_tokens:,} tokens, {used.usage.cost} USD", flush=True)
    with llmkit.tags(user="bob", feature="chat"):
        await ask(client, "gpt-4o-mini", "Name a river.")  # the second attempt
        await ask(client, "nobodys-own", "Name a tree.")  # no price is known


def main() -> None:
    """Make the calls, then look at them as `llmkit usage` does."""
    with tempfile.TemporaryDirectory() as folder:
        ledger_path = Path(folder) / "usage.db"
        ledger = LedgerSink(ledger_path)
        asyncio.run(run(ledger))
        ledger.close()
        subprocess.run([sys.executable, "-m", "llmkit", "usage", ledger_path, "--by", "user"], check=True)  # noqa: S603


if __name__ == "__main__":
    main()
