"""A hundred callers that know nothing of each other, one request."""

from __future__ import annotations

import asyncio
from typing import Any

from llmkit import CallRecord, Retry, UsageLog
from llmkit.middleware.batch_embeddings import batch_embeddings
from llmkit.testing import FakeOpenAI

MODEL = "text-embedding-3-small"


async def handle(client: Any, document: str) -> list[float]:
    """What a web handler would do: one text, one call."""
    answer = await client.embeddings.create(model=MODEL, input=document)
    vector: list[float] = answer.data[0].embedding
    return vector


async def main() -> None:
    """Embed a hundred documents at once; one of them is no text at all."""
    records: list[CallRecord] = []
    fake = FakeOpenAI()
    client = fake.async_client(middleware=[UsageLog(sinks=[records.append]), batch_embeddings(), Retry()])
    documents = [f"Document number {number} says nothing new." for number in range(100)]
    vectors = await asyncio.gather(*(handle(client, document) for document in documents))
    print(f"{len(vectors)} vectors of {len(vectors[0])} dimensions, {len(fake.requests)} HTTP request(s)")
    print(f"{sum(record.total_tokens or 0 for record in records)} tokens in {len(records)} records")


if __name__ == "__main__":
    asyncio.run(main())
