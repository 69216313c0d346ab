"""The stack for production: a revoked key, a model that is down, a spent budget, and what each tells you.

Runs on FakeOpenAI, the test double that ships with llmkit: no key, no network.
"""

from __future__ import annotations

import asyncio
from typing import Any

from llmkit import (
    AsyncOpenAI,
    Budget,
    BudgetExceeded,
    CallRecord,
    CircuitBreaker,
    Context,
    Fallback,
    KeyRing,
    RateLimit,
    Retry,
    Timeouts,
    UsageLog,
    explain,
    tags,
)
from llmkit.testing import FakeOpenAI, virtual_time

MESSAGES: Any = [{"role": "user", "content": "Name a colour."}]


def show(record: CallRecord) -> None:
    """One line for each call; a sink like this one may feed your metrics."""
    went_wrong = ", ".join(f"{failure.error} {failure.status_code or ''}".strip() for failure in record.failures)
    print(
        f"   {record.sent_model or record.model} with key {record.key}: {record.attempts} attempts, "
        f"waited {record.retry_wait:.1f} s; on the way: {went_wrong or 'nothing'}; "
        f"ended with {record.error or 'an answer'}"
    )


def make_client(fake: FakeOpenAI) -> AsyncOpenAI:
    """Everything that can go wrong has a layer."""
    return AsyncOpenAI(
        base_url=fake.base_url,
        http_client=fake.async_http_client(),
        api_key=KeyRing("sk-this-key-was-revoked-aaaa", "sk-this-key-is-in-order-bbbb"),
        middleware=[
            UsageLog(sinks=[show]),
            Budget(daily_tokens=150, per="user", output_tokens=100),
            Context(),
            Fallback("gpt-4o-mini"),
            Timeouts(total=60, first_token=10, between_tokens=5),
            CircuitBreaker(failures=5, cooldown=30),
            Retry(max_retries=2, deadline=45, retries_per_minute=100),
            RateLimit(requests_per_minute=500, tokens_per_minute=200_000),
        ],
    )


async def ask(client: AsyncOpenAI, user: str, model: str = "gpt-4o") -> None:
    """One question of one user."""
    with tags(user=user):
        await client.chat.completions.create(model=model, messages=MESSAGES)


async def main() -> None:
    """Four calls, each with a trouble of its own; the waits pass at once."""
    fake = FakeOpenAI()
    client = make_client(fake)
    with virtual_time():
        print("A revoked key is parked, and the call goes on with the next one:")
        fake.error(401, code="invalid_api_key").reply("Blue.")
        await ask(client, "alice")

        print("A model that is down is retried, then another one is asked:")
        fake.error(503).error(503, headers={"retry-after": "3"}).error(503).reply("Green.")
        await ask(client, "alice")

        print("A budget is spent:")
        try:
            while True:
                await ask(client, "bob")
        except BudgetExceeded as error:
            print(f"   {error}")

        print("A mistake of one's own:")
        fake.error(404, code="model_not_found")
        fake.error(404, code="model_not_found")
        try:
            await ask(client, "carol", model="gpt-4o-minny")
        except Exception as error:  # noqa: BLE001 - an example of any
            told = explain(error)
            print(f"   {told.kind}: {told.what} {told.todo}")


if __name__ == "__main__":
    asyncio.run(main())
