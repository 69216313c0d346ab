from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from surfaces import CHAT

import llmkit
from llmkit import CallNext, CallRecord, Request, Retry, UsageLog
from llmkit.errors import NoUsableKey
from llmkit.keys.handing import AsyncKeyProvider, SyncKeyProvider, keys_of
from llmkit.middleware.key_ring import KeyRing
from llmkit.testing import FakeOpenAI

A, B, C = "sk-first-key-of-ours-1111", "sk-second-key-of-ours-2222", "sk-third-key-of-ours-3333"


def sent(fake: FakeOpenAI) -> list[str]:
    return [request.headers["authorization"].removeprefix("Bearer ") for request in fake.requests]


def client_for(fake: FakeOpenAI, ring: KeyRing, *layers: Any) -> tuple[llmkit.AsyncOpenAI, list[CallRecord]]:
    records: list[CallRecord] = []
    stack = [UsageLog(sinks=[records.append]), Retry(), ring, *layers]
    return fake.async_client(api_key=ring, middleware=stack), records


class SlowLane:
    """A layer inside the ring, in which calls tagged slow wait until the test lets them go."""

    def __init__(self) -> None:
        self.entered, self.go = asyncio.Event(), asyncio.Event()

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        if request.tags.get("slow"):
            self.entered.set()
            await self.go.wait()
        return await call_next(request)


async def start_slow(client: Any, lane: SlowLane) -> asyncio.Task[Any]:
    with llmkit.tags(slow=True):
        call = asyncio.create_task(client.chat.completions.create(**CHAT))
    await lane.entered.wait()
    return call


async def test_a_request_that_waited_while_its_key_was_parked_leaves_with_another() -> None:
    fake, ring, lane = FakeOpenAI(), KeyRing(A, B), SlowLane()
    client, records = client_for(fake, ring, lane)
    slow = await start_slow(client, lane)  # has A
    await client.chat.completions.create(**CHAT)  # B
    fake.error(401)
    await client.chat.completions.create(**CHAT)  # A, refused: B
    lane.go.set()
    await slow
    assert sent(fake) == [B, A, B, B]
    assert records[-1].key == "...2222"


async def test_a_request_that_waited_while_the_last_key_was_parked_is_not_sent() -> None:
    fake, ring, lane = FakeOpenAI().error(401), KeyRing(A), SlowLane()
    client, records = client_for(fake, ring, lane)
    slow = await start_slow(client, lane)
    with pytest.raises(openai.AuthenticationError):
        await client.chat.completions.create(**CHAT)
    lane.go.set()
    with pytest.raises(NoUsableKey):
        await slow
    assert sent(fake) == [A]
    assert records[-1].error == "NoUsableKey"


async def test_a_call_inside_a_call_has_a_key_of_its_own() -> None:
    fake, inside = FakeOpenAI(), FakeOpenAI().error(401)
    helper, _ = client_for(inside, KeyRing(C, B))

    async def asks_another(request: Request, call_next: CallNext) -> Any:
        await helper.chat.completions.create(**CHAT)
        return await call_next(request)

    ring = KeyRing(A)
    client, _ = client_for(fake, ring, asks_another)
    await client.chat.completions.create(**CHAT)
    assert (sent(fake), sent(inside)) == ([A], [C, B])


async def test_outside_of_a_call_the_ring_gives_a_key_to_whoever_asks() -> None:
    ring = KeyRing(A, B)
    client = llmkit.AsyncOpenAI(api_key=ring)
    assert await client._refresh_api_key() == A  # what a websocket of the SDK does
    assert llmkit.OpenAI(api_key=ring)._refresh_api_key() == B
    assert await ring.async_provider()() == A


def test_a_client_knows_the_keys_of_its_ring() -> None:
    ring = KeyRing(A)
    found = keys_of(llmkit.AsyncOpenAI(api_key=ring))
    assert found is not None
    assert keys_of(llmkit.OpenAI(api_key=ring)) is found
    assert keys_of(openai.AsyncOpenAI(api_key=ring.async_provider())) is found
    assert keys_of(openai.OpenAI(api_key="sk-plain")) is None
    assert keys_of(openai.OpenAI(api_key=lambda: "sk-plain")) is None
    assert isinstance(ring.async_provider(), AsyncKeyProvider)
    assert isinstance(ring.sync_provider(), SyncKeyProvider)
