from __future__ import annotations

import asyncio
import sys
from decimal import Decimal
from typing import Any

import httpx2
import openai
import pytest
from surfaces import CHAT

from llmkit import Cache, CallNext, MemoryStore, Request, Retry, run_tools
from llmkit.conversation import Conversation
from llmkit.testing import FakeOpenAI
from llmkit.usage.totals import Usage
from llmkit.usage.tracking import track_usage

USAGE = {
    "prompt_tokens": 1_000_000,
    "completion_tokens": 100_000,
    "total_tokens": 1_100_000,
    "prompt_tokens_details": {"cached_tokens": 400_000},
}
ONE = Usage(
    calls=1,
    input_tokens=1_000_000,
    output_tokens=100_000,
    total_tokens=1_100_000,
    cached_tokens=400_000,
    cost=Decimal("3.0"),
)


def fake_of(answers: int) -> FakeOpenAI:
    fake = FakeOpenAI(model="gpt-4o")
    for _ in range(answers):
        fake.reply("Blue.", usage=USAGE)
    return fake


async def test_what_calls_use_is_added_up_whatever_the_stack_of_the_client() -> None:
    client = fake_of(2).async_client(middleware=[Retry()])
    with track_usage() as used:
        await client.chat.completions.create(**CHAT)
        stream = await client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True})
    assert used.usage == ONE
    async for _ in stream:  # it counts when it has ended
        pass
    assert used.usage == ONE + ONE


def test_a_decorated_function_of_the_sync_client_is_counted() -> None:
    client, used = fake_of(3).client(middleware=[Retry()]), track_usage()

    @used
    def ask() -> None:
        client.chat.completions.create(**CHAT)

    ask()
    ask()
    client.chat.completions.create(**CHAT)
    assert used.usage == ONE + ONE


async def test_tasks_keep_their_own_sums_and_outer_ones_have_all() -> None:
    client = fake_of(30).async_client(middleware=[Retry()])

    async def ask(times: int) -> int:
        with track_usage() as used:
            for _ in range(times):
                await client.chat.completions.create(**CHAT)
        return used.usage.calls

    with track_usage() as total:
        assert await asyncio.gather(*map(ask, range(8))) == list(range(8))
    assert total.usage.calls == 28
    assert total.usage.total_tokens == 28 * 1_100_000


async def test_failures_are_not_counted_and_an_unknown_price_makes_the_sum_unknown() -> None:
    fake = FakeOpenAI(model="mine").error(400).reply("x", usage=USAGE)
    client = fake.async_client(middleware=[Retry()])
    with track_usage() as used:
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(**CHAT)
        assert used.usage == Usage()
        await client.chat.completions.create(model="mine", messages=CHAT["messages"])
    assert (used.usage.calls, used.usage.total_tokens, used.usage.cost) == (1, 1_100_000, None)


async def test_without_the_extra_tokens_are_counted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    monkeypatch.setattr("llmkit.usage.prices._remembered", {})
    with track_usage() as used:
        await fake_of(1).async_client(middleware=[Retry()]).chat.completions.create(**CHAT)
    assert (used.usage.total_tokens, used.usage.cost) == (1_100_000, None)


async def test_what_is_free_leaves_the_cost_known() -> None:
    free = httpx2.Response(200, json={"id": "m", "model": "omni-moderation-latest", "results": []})
    client = FakeOpenAI(model="gpt-4o").respond(free).reply("Blue.", usage=USAGE).async_client(middleware=[Retry()])
    with track_usage() as used:
        await client.moderations.create(model="omni-moderation-latest", input="x")
        await client.chat.completions.create(**CHAT)
    assert (used.usage.calls, used.usage.cost) == (2, ONE.cost)


async def test_an_answer_from_a_cache_is_a_call_that_costs_nothing() -> None:
    client = fake_of(1).async_client(middleware=[Cache(MemoryStore())])
    with track_usage() as used:
        for _ in range(3):
            await client.chat.completions.create(**CHAT)
    assert used.usage == ONE + Usage(calls=2)
    assert used.from_cache == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_is_not_billed_for_answers_from_a_cache(stream: bool) -> None:
    client = fake_of(1).async_client(middleware=[Cache(MemoryStore())])
    spent: list[Usage] = []
    for _ in range(2):
        conversation = Conversation(client, model="gpt-4o")
        if stream:
            assert [text async for text in conversation.stream("Name a colour.")]
        else:
            await conversation.send("Name a colour.")
        spent.append(conversation.usage)
    assert spent == [ONE, Usage(calls=1)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "given", [{"messages": CHAT["messages"]}, {"input": "Name a colour."}], ids=["chat", "responses"]
)
async def test_a_loop_is_not_billed_for_answers_from_a_cache(given: Any, stream: bool) -> None:
    client = fake_of(1).async_client(middleware=[Cache(MemoryStore())])
    spent: list[Usage] = []
    for _ in range(2):
        options: Any = {
            "model": "gpt-4o",
            "tools": [],
            "stream": stream,
            "max_tokens": 2_000_000,
            "max_cost": 5,
            **given,
        }
        async for step in run_tools(client, **options):
            if step.type == "final":
                spent.append(step.usage)
    assert [usage.total_tokens for usage in spent] == [1_100_000, 0]
    assert spent[1] == Usage(calls=1)


async def flex_answer(given: Any, stack: list[Any]) -> Usage:
    """What a loop says that it used, of an answer in the flex tier, at half the price."""
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "total_tokens": 1_000_000}
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Blue."}}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-5", "service_tier": "flex"}
    fake = FakeOpenAI().respond(httpx2.Response(200, json={**answer, "choices": [choice], "usage": usage}))
    async for step in run_tools(fake.async_client(middleware=stack), model="gpt-5", tools=[], **given):
        if step.type == "final":
            return step.usage
    raise AssertionError


@pytest.mark.parametrize("stack", [[Retry()], []], ids=["with a record", "without"])
async def test_a_loop_is_billed_in_the_tier_of_the_answer(stack: list[Any]) -> None:
    assert (await flex_answer({"messages": CHAT["messages"]}, stack)).cost == Decimal("0.625")


async def test_a_call_on_the_way_to_another_is_not_taken_for_it() -> None:
    inner = fake_of(1).async_client(middleware=[Cache(MemoryStore())])
    await inner.chat.completions.create(**CHAT)

    async def asks_first(request: Request, call_next: CallNext) -> Any:
        await inner.chat.completions.create(**CHAT)  # from the cache
        return await call_next(request)

    conversation = Conversation(fake_of(1).async_client(middleware=[asks_first]), model="gpt-4o")
    await conversation.send("Name a colour.")
    assert conversation.usage == ONE
