"""A process that makes the same call many times at once: python caller.py STORE BASE_URL CALLS [stream]."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from llmkit import AsyncOpenAI, Cache, CallRecord, UsageLog
from llmkit.cache import open_store


async def main(store: str, base_url: str, calls: int, *, stream: bool) -> None:
    records: list[CallRecord] = []
    client = AsyncOpenAI(
        api_key="sk-fake",
        base_url=base_url,
        max_retries=0,
        middleware=[UsageLog(sinks=[records.append]), Cache(open_store(store))],
    )

    async def call() -> str:
        chat: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Name a colour."}]}
        answer = await client.chat.completions.create(**chat, stream=stream)
        if stream:
            return "".join([chunk.choices[0].delta.content or "" async for chunk in answer])
        return answer.choices[0].message.content

    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    answers = await asyncio.gather(*[call() for _ in range(calls)])
    await client.close()
    sys.stdout.write(json.dumps({"answers": sorted(set(answers)), "caches": [record.cache for record in records]}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), stream=sys.argv[4:] == ["stream"]))
