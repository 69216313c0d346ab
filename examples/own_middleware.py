"""Middleware that answers, changes and counts: what a few lines around `call_next` can do."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from llmkit import AsyncOpenAI, CallNext, CallRecord, Request, UsageLog, tags
from llmkit.testing import FakeOpenAI


async def cheaper_when_short(request: Request, call_next: CallNext) -> Any:
    """Send short chats to a smaller model; the caller's own request is never changed."""
    if request.operation == "chat.completions" and len(str(request.body["messages"])) < 500:
        request = request.replace(model="gpt-4o-mini")
    return await call_next(request)


class TokensPerUser:
    """A sink: any function of a finished CallRecord."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()

    def __call__(self, record: CallRecord) -> None:
        """Add up the call's tokens."""
        self.totals[str(record.tags.get("user", "nobody"))] += record.total_tokens or 0


async def main() -> None:
    """Two users, one client."""
    totals = TokensPerUser()
    fake = FakeOpenAI()
    client: AsyncOpenAI = fake.async_client(middleware=[UsageLog(sinks=[totals]), cheaper_when_short])
    for user, question in [("alice", "Why is the sky blue?"), ("bob", "Hi!"), ("alice", "And at sunset?")]:
        with tags(user=user):
            await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": question}])
    print("models asked:", sorted({request.body["model"] for request in fake.requests}))
    print("tokens:", dict(totals.totals))


if __name__ == "__main__":
    asyncio.run(main())
