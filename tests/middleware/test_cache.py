from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

import httpx2
import openai
import pytest
from pydantic import ValidationError
from test_cache_surfaces import FORMAT, PARSED

import llmkit
from llmkit import (
    Budget,
    Cache,
    CallNext,
    CallRecord,
    Fallback,
    MemoryStore,
    Request,
    Retry,
    SQLiteStore,
    UsageLog,
    caching,
)
from llmkit.cache.entry import Entry
from llmkit.middleware.batch_embeddings import batch_embeddings
from llmkit.testing import FakeOpenAI, virtual_time

CHAT: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Name a colour."}]}


def cached(fake: FakeOpenAI, *below: Any, **options: Any) -> tuple[Any, Cache, list[CallRecord]]:
    records: list[CallRecord] = []
    cache = Cache(**options)
    return fake.async_client(middleware=[UsageLog(sinks=[records.append]), cache, *below]), cache, records


async def ask(client: Any, text: str = "Name a colour.", **options: Any) -> str:
    answer = await client.chat.completions.create(
        **{**CHAT, "messages": [{"role": "user", "content": text}], **options}
    )
    return answer.choices[0].message.content


async def read(stream: Any) -> str:
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def settled(condition: Callable[[], bool]) -> None:
    """Let threads and tasks go on until something is so."""
    for _ in range(2_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never was so")


class Gate:
    """A layer under the cache that holds calls up until it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.calls = 0

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        self.calls += 1
        await self.open.wait()
        return await call_next(request)


class Broken:
    """A store that is down."""

    blocks = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.down = True
        self._store = MemoryStore()

    def __getattr__(self, name: str) -> Any:
        def run(*args: Any, **options: Any) -> Any:
            self.asked.append(name)
            if self.down:
                raise ConnectionError("sk-secret")
            return getattr(self._store, name)(*args, **options)

        return run


# What is asked again


async def test_the_second_of_two_equal_calls_costs_nothing() -> None:
    fake = FakeOpenAI()
    client, cache, records = cached(fake)
    assert await ask(client) == await ask(client) == "You said: Name a colour."
    assert len(fake.requests) == 1
    made, hit = records
    assert (made.cache, made.attempts, made.saved_input_tokens) == ("miss", 1, 0)
    assert (hit.cache, hit.attempts, hit.total_tokens, hit.complete) == ("hit", 0, 0, True)
    assert (hit.saved_input_tokens, hit.saved_output_tokens) == (made.input_tokens, made.output_tokens)
    assert hit.saved_cost is not None
    assert hit.saved_cost > 0
    assert hit.cache_key == made.cache_key
    stats = cache.stats()
    assert (stats.hits, stats.misses, stats.stored, stats.entries, stats.hit_rate) == (1, 1, 1, 1, 0.5)
    assert (stats.saved_input_tokens, stats.saved_output_tokens) == (made.input_tokens, made.output_tokens)
    assert stats.saved_cost == hit.saved_cost


def test_sync_clients_share_the_cache_with_async_ones() -> None:
    fake, cache = FakeOpenAI(), Cache()
    sync = fake.client(middleware=[cache])
    assert sync.chat.completions.create(**CHAT).choices[0].message.content == "You said: Name a colour."
    stream = sync.chat.completions.create(**CHAT, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "You said: Name a colour."
    assert asyncio.run(ask(fake.async_client(middleware=[cache]))) == "You said: Name a colour."
    assert len(fake.requests) == 1


def test_a_sync_stream_is_kept_when_it_has_been_read() -> None:
    fake, cache = FakeOpenAI(), Cache()
    client = fake.client(middleware=[cache])
    for chunk in client.chat.completions.create(**CHAT, stream=True):
        assert chunk.choices
    assert client.chat.completions.create(**CHAT).usage is not None
    assert len(fake.requests) == 1


async def test_embeddings_moderations_and_legacy_completions_are_cached_too() -> None:
    fake = FakeOpenAI()
    client, _, records = cached(fake)
    for _ in range(2):
        embedding = await client.embeddings.create(model="text-embedding-3-small", input="blue")
        completion = await client.completions.create(model="gpt-3.5-turbo-instruct", prompt="A colour:")
    assert [record.cache for record in records] == ["miss", "miss", "hit", "hit"]
    assert len(embedding.data[0].embedding) > 10
    assert completion.choices[0].text


async def test_embeddings_that_were_merged_into_one_request_are_kept_one_by_one() -> None:
    fake = FakeOpenAI()
    client, _, records = cached(fake, batch_embeddings(window=0.1))
    alone = FakeOpenAI().async_client(middleware=[])

    def embed(client: Any, text: str) -> Any:
        return client.embeddings.create(model="text-embedding-3-small", input=text)

    first = await asyncio.gather(embed(client, "blue"), embed(client, "red"))
    again = [await embed(client, "blue"), await embed(client, "red")]
    assert len(fake.requests) == 1
    assert [record.cache for record in records] == ["miss", "miss", "hit", "hit"]
    for text, answers in zip(("blue", "red"), zip(first, again, strict=True), strict=True):
        expected = (await embed(alone, text)).data[0].embedding
        assert all(answer.data[0].embedding == pytest.approx(expected) for answer in answers)


async def test_other_operations_pass_untouched() -> None:
    client, _, records = cached(FakeOpenAI())
    await client.models.retrieve("gpt-4o-mini")
    assert (records[0].cache, records[0].cache_key) == (None, None)


@pytest.mark.parametrize(
    "other",
    [
        {"model": "gpt-4o"},
        {"messages": [{"role": "user", "content": "Name a color."}]},
        {"max_tokens": 5},
        {"temperature": 0, "top_p": 0.5},
        {"response_format": {"type": "json_object"}},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        {"extra_body": {"top_k": 5}},
        {"extra_query": {"version": "2"}},
        {"extra_headers": {"x-variant": "b"}},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_what_shapes_an_answer_is_part_of_the_key(other: dict[str, Any]) -> None:
    fake = FakeOpenAI()
    client, _, records = cached(fake)
    await client.chat.completions.create(**CHAT)
    await client.chat.completions.create(**{**CHAT, **other})
    assert [record.cache for record in records] == ["miss", "miss"]
    await client.chat.completions.create(**{**CHAT, **other})
    assert records[2].cache == "hit"


@pytest.mark.parametrize(
    "other",
    [
        {"user": "alice"},
        {"metadata": {"a": "b"}},
        {"safety_identifier": "x"},
        {"service_tier": "flex"},
        {"timeout": 3},
        {"extra_headers": {"traceparent": "00-1", "X-Stainless-Helper": "x", "authorization": "Bearer other"}},
        {"messages": [{"content": "Name a colour.", "role": "user"}]},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_what_does_not_shape_an_answer_is_not(other: dict[str, Any]) -> None:
    client, _, records = cached(FakeOpenAI())
    await client.chat.completions.create(**CHAT)
    await client.chat.completions.create(**{**CHAT, **other})
    assert [record.cache for record in records] == ["miss", "hit"]


async def test_another_server_has_answers_of_its_own() -> None:
    cache, fakes = Cache(), [FakeOpenAI(), FakeOpenAI(base_url="https://other.test/v1")]
    for fake in fakes:
        await ask(fake.async_client(middleware=[cache]))
    assert [len(fake.requests) for fake in fakes] == [1, 1]


@pytest.mark.parametrize(
    "options",
    [
        {"default_headers": {"x-portkey-provider": "b"}},
        {"default_query": {"version": "2"}},
        {"organization": "org-b"},
        {"project": "proj-b"},
    ],
    ids=lambda options: next(iter(options)),
)
async def test_what_a_client_sends_with_every_call_counts(options: dict[str, Any]) -> None:
    fake, cache = FakeOpenAI(), Cache()
    client = fake.async_client(middleware=[cache])
    await ask(client)
    await ask(client.with_options(**options))
    await ask(client.with_options(**options))
    assert len(fake.requests) == 2


async def test_credentials_of_a_client_do_not_count() -> None:
    fake, cache = FakeOpenAI(), Cache()
    client = fake.async_client(middleware=[cache])
    await ask(client)
    await ask(client.with_options(api_key="sk-another", default_headers={"Authorization": "Bearer another"}))
    assert len(fake.requests) == 1


async def test_a_path_with_a_query_or_a_host_of_its_own_counts() -> None:
    fake, cache = FakeOpenAI(), Cache()
    client = fake.async_client(middleware=[cache])
    for path in ("/chat/completions", "/chat/completions?x=1", "https://other.test/v1/chat/completions"):
        await client.post(path, body=CHAT, cast_to=object)
    assert len(fake.requests) == 3
    await ask(client)
    assert len(fake.requests) == 3


async def test_azure_deployments_and_versions_have_answers_of_their_own() -> None:
    fake, cache = FakeOpenAI(), Cache()

    def azure(version: str) -> Any:
        return llmkit.AsyncAzureOpenAI(
            api_key="azure-fake",
            azure_endpoint="https://fake.azure.test",
            api_version=version,
            http_client=fake.async_http_client(),
            middleware=[cache],
        )

    for model, version in (("a", "2024-10-21"), ("b", "2024-10-21"), ("a", "2025-01-01")):
        await ask(azure(version), model=model, extra_body={"model": "gpt-4o"})
    assert len(fake.requests) == 3


async def test_tags_named_by_per_keep_their_answers_apart() -> None:
    fake = FakeOpenAI()
    client, _, records = cached(fake, per="tenant")
    for tenant in ("a", "b", "a"):
        with llmkit.tags(tenant=tenant, user="alice"):
            await ask(client)
    assert [record.cache for record in records] == ["miss", "miss", "hit"]


async def test_include_counts_a_parameter_in_and_ignore_leaves_one_out() -> None:
    client, _, records = cached(FakeOpenAI(), include=("user",), ignore=("trace", "x-trace"))
    await ask(client, user="a", extra_body={"trace": 1}, extra_headers={"X-Trace": "1"})
    await ask(client, user="b")
    await ask(client, user="a", extra_body={"trace": 2}, extra_headers={"X-Trace": "2"})
    assert [record.cache for record in records] == ["miss", "miss", "hit"]


async def test_namespaces_share_a_store_but_no_answers() -> None:
    fake, store = FakeOpenAI(), MemoryStore()
    caches = [Cache(store, namespace=name) for name in ("one", "two", "")]
    for cache in caches:
        await ask(fake.async_client(middleware=[cache]))
    assert len(fake.requests) == 3
    assert caches[0].invalidate(prefix="one:") == 1
    assert caches[1].stats().entries == 2


# What is not kept


@pytest.mark.parametrize(
    "plan",
    [
        lambda fake: fake.error(400).error(400),
        lambda fake: fake.reply("Blue", finish_reason="length").reply("Blue", finish_reason="length"),
        lambda fake: fake.reply("Blue", finish_reason="content_filter").reply("Blue", finish_reason="content_filter"),
        lambda fake: fake.reply(refusal="No.").reply(refusal="No."),
        lambda fake: fake.reply("").reply(""),
        lambda fake: fake.reply(tool_calls=[("f", {})]).reply(tool_calls=[("f", {})]),
    ],
    ids=["an error", "cut", "filtered", "refused", "empty", "tool calls"],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_only_whole_and_successful_answers_are_kept(plan: Callable[[Any], Any], stream: bool) -> None:
    fake = FakeOpenAI()
    plan(fake)
    client, cache, records = cached(fake)
    for _ in range(2):
        try:
            answer = await client.chat.completions.create(**CHAT, stream=stream)
            assert not stream or [chunk async for chunk in answer]
        except openai.BadRequestError:
            assert not stream or fake.requests
    assert [record.cache for record in records] == ["miss", "miss"]
    await settled(lambda: not cache._asking._flights._flights)
    assert cache.stats().entries == 0


async def test_answers_that_call_tools_are_kept_when_they_may_be() -> None:
    fake = FakeOpenAI().reply(tool_calls=[("weather", {"city": "Paris"})])
    client, _, _ = cached(fake, tool_calls=True)
    for _ in range(2):
        answer = await client.chat.completions.create(**CHAT)
        assert answer.choices[0].message.tool_calls[0].function.arguments == '{"city":"Paris"}'
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("body", "looked_up"),
    [
        ({"temperature": 0.7}, False),
        ({"temperature": 0.7, "seed": 1}, True),
        ({"temperature": 0}, True),
        ({}, True),
        ({"extra_body": {"background": True}}, False),
        ({"extra_body": {"conversation": "conv_1"}}, False),
    ],
)
async def test_requests_for_variety_and_those_that_change_the_server_are_not_looked_up(
    body: dict[str, Any], looked_up: bool
) -> None:
    client, _, records = cached(FakeOpenAI())
    await ask(client, **body)
    assert (records[0].cache == "miss") is looked_up


async def test_sampled_answers_are_cached_when_they_may_be() -> None:
    client, _, records = cached(FakeOpenAI(), sampled=True)
    await ask(client, temperature=0.7)
    await ask(client, temperature=0.7)
    assert records[1].cache == "hit"


async def test_a_stream_that_is_left_early_is_not_kept() -> None:
    fake = FakeOpenAI()
    client, cache, _ = cached(fake)
    async with await client.chat.completions.create(**CHAT, stream=True) as stream:
        async for _ in stream:
            break
    await settled(lambda: not cache._asking._flights._flights)
    assert cache.stats().entries == 0


async def test_a_stream_without_usage_is_not_kept_for_its_answer_would_lack_it() -> None:
    fake = FakeOpenAI()
    client, cache, _ = cached(fake)
    stream = await client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": False})
    assert await read(stream)
    await settled(lambda: not cache._asking._flights._flights)
    assert cache.stats().entries == 0


async def test_an_answer_that_a_layer_below_has_changed_is_not_kept() -> None:
    async def shout(request: Request, call_next: CallNext) -> Any:
        answer = await call_next(request)
        return answer.model_copy()

    client, cache, records = cached(FakeOpenAI(), shout)
    await ask(client)
    await ask(client)
    assert [record.cache for record in records] == ["miss", "miss"]
    assert cache.stats().entries == 0


async def test_a_body_that_is_no_json_is_not_looked_up() -> None:
    client, _, records = cached(FakeOpenAI())
    with pytest.raises(ValueError):
        await client.chat.completions.create(**{**CHAT, "messages": [{"role": "user", "content": float("nan")}]})
    assert records[0].cache is None


async def test_a_stream_with_a_server_that_refuses_stream_options_still_streams() -> None:
    fake = FakeOpenAI().error(400, message="Unknown parameter: stream_options", param="stream_options")
    client = fake.async_client(middleware=[Cache()])
    assert await read(await client.chat.completions.create(**CHAT, stream=True)) == "You said: Name a colour."
    assert ["stream_options" in request.body for request in fake.requests] == [True, False]


# For how long


async def test_an_answer_is_kept_for_its_ttl() -> None:
    fake = FakeOpenAI()
    client, _, records = cached(fake, ttl=60)
    with virtual_time() as clock:
        await ask(client)
        clock.advance(59)
        await ask(client)
        clock.advance(1)
        await ask(client)
    assert [record.cache for record in records] == ["miss", "hit", "miss"]


async def test_a_rule_gives_each_request_its_ttl() -> None:
    def rule(request: Request) -> float | None:
        return {"gpt-4o-mini": 60.0, "gpt-4o": 0.0}.get(request.model or "")

    client, _, records = cached(FakeOpenAI(), ttl=rule)
    with virtual_time() as clock:
        for model in ("gpt-4o-mini", "gpt-4o", "gpt-4.1"):
            await ask(client, model=model)
        clock.advance(10_000)
        for model in ("gpt-4o-mini", "gpt-4o", "gpt-4.1"):
            await ask(client, model=model)
    assert [record.cache for record in records] == ["miss", None, "miss", "miss", None, "hit"]


async def test_a_rule_that_gives_no_number_is_named() -> None:
    client, _, _ = cached(FakeOpenAI(), ttl=lambda request: "1h")
    with pytest.raises(TypeError, match="the function given as ttl returned '1h'; return seconds"):
        await ask(client)


async def test_the_answer_of_a_fallback_is_kept_for_a_minute_at_most() -> None:
    for ttl, kept in ((3600, 60), (None, 60), (10, 10)):
        fake = FakeOpenAI().error(500)
        client, _, records = cached(fake, Fallback("gpt-4o"), ttl=ttl)
        client = client.with_options(max_retries=0)
        with virtual_time() as clock:
            await ask(client)
            clock.advance(kept - 1)
            await ask(client)
            clock.advance(1)
            await ask(client)
        assert [record.cache for record in records] == ["miss", "hit", "miss"]
        assert [record.fallback for record in records] == [True, False, False]


async def test_a_call_says_its_own_ttl_and_whether_the_cache_is_read_and_written() -> None:
    fake = FakeOpenAI().reply("1").reply("2").reply("3").reply("4")
    client, _, records = cached(fake, ttl=1000)
    with virtual_time() as clock:
        with caching(ttl=10):
            assert await ask(client) == "1"
        clock.advance(11)
        with caching(write=False):
            assert await ask(client) == "2"
        assert await ask(client) == "3"
        with caching(read=False):
            assert await ask(client) == "4"
        assert await ask(client) == "4"
        with caching(read=False, write=False):
            await ask(client)
    assert [record.cache for record in records] == ["miss", "miss", "miss", "miss", "hit", None]


# Identical calls at the same time


@pytest.mark.parametrize("stream", [False, True])
async def test_500_identical_calls_at_once_are_one(stream: bool) -> None:
    fake, gate = FakeOpenAI(), Gate()
    client, cache, records = cached(fake, gate)

    async def one() -> str:
        answer = await client.chat.completions.create(**CHAT, stream=stream)
        return await read(answer) if stream else answer.choices[0].message.content

    tasks = [asyncio.create_task(one()) for _ in range(500)]
    await settled(lambda: gate.calls == 1)
    gate.open.set()
    assert set(await asyncio.gather(*tasks)) == {"You said: Name a colour."}
    assert len(fake.requests) == gate.calls == 1
    assert cache.stats().shared == 499
    assert sum(record.total_tokens or 0 for record in records) == max(record.total_tokens or 0 for record in records)


async def test_the_leader_and_half_of_those_who_wait_are_cancelled_and_the_rest_get_the_answer() -> None:
    fake, gate = FakeOpenAI(), Gate()
    client, _, _ = cached(fake, gate)
    tasks = [asyncio.create_task(ask(client)) for _ in range(100)]
    await settled(lambda: gate.calls == 1)
    for task in tasks[:50]:
        task.cancel()
    await settled(lambda: gate.calls == 2)
    gate.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers[:50]] == [asyncio.CancelledError] * 50
    assert set(answers[50:]) == {"You said: Name a colour."}
    assert len(fake.requests) == 1


async def test_the_leaders_failure_is_tried_again_by_one_of_those_who_wait() -> None:
    fake, gate = FakeOpenAI().error(500).reply("Blue."), Gate()
    client, _, _ = cached(fake, gate)
    client = client.with_options(max_retries=0)
    tasks = [asyncio.create_task(ask(client)) for _ in range(10)]
    await settled(lambda: gate.calls == 1)
    gate.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[0], openai.InternalServerError)
    assert answers[1:] == ["Blue."] * 9
    assert len(fake.requests) == 2


async def test_after_two_failures_all_get_the_error_each_its_own() -> None:
    fake, gate = FakeOpenAI().error(500).error(500), Gate()
    client, _, records = cached(fake, gate)
    client = client.with_options(max_retries=0)
    tasks = [asyncio.create_task(ask(client)) for _ in range(10)]
    await settled(lambda: gate.calls == 1)
    gate.open.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [openai.InternalServerError] * 10
    assert len({id(answer) for answer in answers}) == 10
    assert len(fake.requests) == 2
    assert [record.error for record in records] == ["InternalServerError"] * 10


async def test_what_is_wrong_with_one_callers_key_is_no_matter_of_others() -> None:
    fake, gate = FakeOpenAI(), Gate()

    async def check(request: Request, call_next: CallNext) -> Any:
        if request.headers.get("authorization") == "Bearer bad":
            fake.error(401)
        return await call_next(request)

    client, _, _ = cached(fake, gate, check)
    bad = [asyncio.create_task(ask(client, extra_headers={"authorization": "Bearer bad"})) for _ in range(3)]
    await settled(lambda: gate.calls == 1)
    good = [asyncio.create_task(ask(client, extra_headers={"authorization": "Bearer good"})) for _ in range(3)]
    await asyncio.sleep(0)
    gate.open.set()
    answers = await asyncio.gather(*bad, *good, return_exceptions=True)
    assert [type(answer) for answer in answers[:3]] == [openai.AuthenticationError] * 3
    assert answers[3:] == ["You said: Name a colour."] * 3


async def test_an_answer_that_one_caller_cannot_parse_is_no_failure_of_others() -> None:
    fake, gate = FakeOpenAI(), Gate()
    for number in range(9):
        fake.reply(f"no JSON {number}")
    client, cache, _ = cached(fake, gate)
    parsing = [asyncio.create_task(client.chat.completions.parse(**PARSED)) for _ in range(3)]
    await settled(lambda: gate.calls == 1)
    asking = [asyncio.create_task(ask(client, response_format=FORMAT)) for _ in range(3)]
    await asyncio.sleep(0)
    gate.open.set()
    failed = await asyncio.gather(*parsing, return_exceptions=True)
    answers = await asyncio.gather(*asking)
    assert [type(error) for error in failed] == [ValidationError] * 3
    assert len(set(answers)) == 1
    assert len(fake.requests) <= 6
    assert not cache._asking._flights._flights


@pytest.mark.parametrize("first", ["sync", "async"])
async def test_a_stream_that_nobody_reads_is_not_waited_for(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmkit.cache.flights._IDLE", 0.02)
    monkeypatch.setattr("llmkit.cache.flights._LOOK", 0.01)
    fake, cache = FakeOpenAI(), Cache()
    if first == "sync":
        client = fake.client(middleware=[cache])
        streams = [client.chat.completions.create(**CHAT, stream=True) for _ in range(3)]
        texts = ["".join(chunk.choices[0].delta.content or "" for chunk in stream) for stream in streams]
    else:
        later = fake.async_client(middleware=[cache])
        opened = await asyncio.gather(*[later.chat.completions.create(**CHAT, stream=True) for _ in range(3)])
        texts = [await read(stream) for stream in opened]
    assert texts == ["You said: Name a colour."] * 3
    await settled(lambda: not cache._asking._flights._flights)


async def test_a_stream_whose_server_thinks_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmkit.cache.flights._IDLE", 0.02)
    monkeypatch.setattr("llmkit.cache.flights._LOOK", 0.01)
    fake = FakeOpenAI(delay=0.05)
    client, cache, _ = cached(fake)

    async def one() -> str:
        return await read(await client.chat.completions.create(**CHAT, stream=True))

    assert set(await asyncio.gather(*[one() for _ in range(3)])) == {"You said: Name a colour."}
    assert len(fake.requests) == 1
    assert cache.stats().shared == 2


async def test_a_call_that_is_out_of_patience_leads_those_who_come_after_it() -> None:
    fake, gate = FakeOpenAI(), Gate()
    client, cache, _ = cached(fake, gate)
    stuck = asyncio.create_task(ask(client))
    await settled(lambda: gate.calls == 1)
    impatient = asyncio.create_task(ask(client, timeout=0.01))
    await settled(lambda: gate.calls == 2)
    after = [asyncio.create_task(ask(client)) for _ in range(3)]
    await asyncio.sleep(0.01)
    gate.open.set()
    await asyncio.gather(stuck, impatient, *after)
    assert len(fake.requests) == gate.calls == 2
    assert not cache._asking._flights._flights


async def test_a_forked_child_waits_for_nobody() -> None:
    fake, gate = FakeOpenAI(), Gate()
    client, cache, _ = cached(fake, gate)
    of_the_parent = asyncio.create_task(ask(client))
    await settled(lambda: gate.calls == 1)
    cache._asking._flights.begin()  # as `forks` does in a child
    task = asyncio.create_task(ask(client))
    await settled(lambda: gate.calls == 2)
    gate.open.set()
    await asyncio.gather(of_the_parent, task)


async def test_an_answer_that_cannot_be_shared_has_each_ask_for_itself() -> None:
    fake, gate = FakeOpenAI(), Gate()
    for _ in range(3):
        fake.reply("Bl", finish_reason="length")
    client, _, _ = cached(fake, gate)
    tasks = [asyncio.create_task(ask(client)) for _ in range(3)]
    await settled(lambda: gate.calls == 1)
    gate.open.set()
    assert await asyncio.gather(*tasks) == ["Bl"] * 3
    assert len(fake.requests) == 3


async def test_a_call_waits_for_another_no_longer_than_its_own_timeout() -> None:
    fake, gate = FakeOpenAI(), Gate()
    client, _, _ = cached(fake, gate)
    leader = asyncio.create_task(ask(client))
    await settled(lambda: gate.calls == 1)
    other = asyncio.create_task(ask(client, timeout=0.01))
    await settled(lambda: gate.calls == 2)
    gate.open.set()
    assert await leader == await other
    assert len(fake.requests) == 2


async def test_without_waiting_each_asks() -> None:
    fake, gate = FakeOpenAI(), Gate()
    client, _, _ = cached(fake, gate, wait=0)
    tasks = [asyncio.create_task(ask(client)) for _ in range(3)]
    await settled(lambda: gate.calls == 3)
    gate.open.set()
    await asyncio.gather(*tasks)
    assert len(fake.requests) == 3


def test_threads_of_a_sync_client_share_a_call() -> None:
    fake, began, go = FakeOpenAI(), threading.Event(), threading.Event()

    async def hold(request: Request, call_next: CallNext) -> Any:
        began.set()
        go.wait(10)
        return await call_next(request)

    cache = Cache()
    client = fake.client(middleware=[cache, hold])
    answers: list[str] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(client.chat.completions.create(**CHAT).choices[0].message.content)
        )
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    assert began.wait(10)
    go.set()
    for thread in threads:
        thread.join()
    assert answers == ["You said: Name a colour."] * 20
    assert len(fake.requests) == 1


class Shared(MemoryStore):
    """A store in which another process has claimed everything, until its answer is there."""

    blocks = True

    def __init__(self) -> None:
        super().__init__()
        self.claims = 0

    def claim(self, key: str, *, owner: str, seconds: float, now: float) -> bool:
        self.claims += 1
        return False


async def test_an_answer_that_another_process_is_asking_for_is_waited_for() -> None:
    fake, store = FakeOpenAI(), Shared()
    client, _, records = cached(fake, store=store)
    made = Cache()
    await ask(fake.async_client(middleware=[made]))
    (entry,) = made._shelf.store.entries(now=0, bodies=True)
    waiting = asyncio.create_task(ask(client))
    await settled(lambda: store.claims >= 3)
    store.put(entry, now=0)
    assert await waiting == "You said: Name a colour."
    assert len(fake.requests) == 1
    assert records[0].cache == "hit"
    assert records[0].cache_key == entry.key


async def test_a_claim_that_nobody_gives_up_is_waited_for_no_longer_than_said(tmp_path: Any) -> None:
    store = SQLiteStore(tmp_path / "cache.db")
    fake = FakeOpenAI()
    client, cache, records = cached(fake, store=store, wait=2)
    with virtual_time() as clock:
        await ask(client)
        cache.invalidate(everything=True)
        assert store.claim(str(records[0].cache_key), owner="another", seconds=1_000, now=clock.time())
        await ask(client)
        assert sum(clock.sleeps) == pytest.approx(2, abs=0.3)
    assert len(fake.requests) == 2


# Stores that fail


async def test_a_store_that_is_down_costs_no_answer_and_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    fake, store = FakeOpenAI(), Broken()
    client, _, records = cached(fake, store=store)
    with caplog.at_level(logging.WARNING, logger="llmkit"):
        assert await ask(client) == await ask(client)
    assert len(fake.requests) == 2
    assert [record.cache for record in records] == ["miss", "miss"]
    assert [record.getMessage() for record in caplog.records] == [
        "reading the store of a cache failed with ConnectionError; calls go on without it"
    ]


async def test_a_store_that_is_down_is_asked_once_a_call() -> None:
    store = Broken()
    client, _, _ = cached(FakeOpenAI(), store=store)
    await ask(client)
    assert store.asked == ["get"]


async def test_a_store_that_fails_is_left_alone_for_a_while_and_used_again_when_it_works() -> None:
    store = Broken()
    client, _, records = cached(FakeOpenAI(), store=store)
    with virtual_time() as clock:
        for pause in (1, 2, 4, 8, 8):
            for _ in range(3):
                await ask(client)
            assert store.asked == ["get"]
            store.asked.clear()
            clock.advance(pause)
        store.down = False
        for _ in range(2):
            await ask(client)
    assert records[-1].cache == "hit"


async def test_a_store_that_cannot_be_written_is_read(caplog: pytest.LogCaptureFixture) -> None:
    class Full(MemoryStore):
        full = False

        def put(self, entry: Entry, *, now: float) -> None:
            if self.full:
                raise OSError("no space left")
            super().put(entry, now=now)

    store = Full()
    client, _, records = cached(FakeOpenAI(), store=store)
    with virtual_time():
        await ask(client, "a")
        store.full = True
        for text in ("b", "a", "b", "c"):
            await ask(client, text)
    assert [record.cache for record in records] == ["miss", "miss", "hit", "miss", "miss"]
    assert caplog.text.count("writing to the store of a cache failed with OSError; calls go on without it") == 1


async def test_a_store_that_is_down_fails_the_call_when_that_is_wanted() -> None:
    fake, store = FakeOpenAI(), Broken()
    client, _, records = cached(fake, store=store, on_error="closed")
    with pytest.raises(ConnectionError) as raised:
        await ask(client)
    assert raised.value.__notes__[0].startswith("The cache could not be asked and the call was not sent")
    assert fake.requests == []
    assert records[0].error == "ConnectionError"


async def test_a_store_that_fails_while_calls_are_shared_costs_no_answer() -> None:
    class Unsteady(MemoryStore):
        blocks = True
        failing = frozenset[str]()

        def claim(self, key: str, *, owner: str, seconds: float, now: float) -> bool:
            if "claim" in self.failing:
                raise ConnectionError
            return True

        def release(self, key: str, *, owner: str) -> None:
            raise ConnectionError

        def add(self, counts: Mapping[str, int]) -> None:
            if "add" in self.failing:
                raise ConnectionError
            super().add(counts)

    fake, store = FakeOpenAI(), Unsteady()
    client, cache, records = cached(fake, store=store)
    with virtual_time() as clock:
        store.failing = frozenset({"claim"})
        await ask(client, "a")
        await ask(client, "a")
        store.failing = frozenset()
        clock.advance(10)
        await ask(client, "b")
        await ask(client, "b")
    assert [record.cache for record in records] == ["miss", "miss", "miss", "hit"]
    store.failing = frozenset({"add"})
    with pytest.raises(ConnectionError):
        cache.close()
    store.failing = frozenset()
    cache.close()
    assert (cache.stats().hits, cache.stats().misses) == (1, 3)


def test_counters_that_cannot_be_written_at_the_end_of_the_process_are_let_go(caplog: pytest.LogCaptureFixture) -> None:
    store = Broken()
    cache = Cache(store)
    FakeOpenAI().client(middleware=[cache]).chat.completions.create(**CHAT)
    with caplog.at_level(logging.DEBUG, logger="llmkit"):
        del cache
        gc.collect()
    assert "the counters of a cache could not be written: ConnectionError" in caplog.text


async def test_an_answer_that_is_too_long_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmkit.cache.shelf.MOST_BYTES", 100)
    monkeypatch.setattr("llmkit.cache.asking.MOST_BYTES", 100)
    client, cache, _ = cached(FakeOpenAI())
    await ask(client)
    await read(await client.chat.completions.create(**CHAT, stream=True))
    await settled(lambda: not cache._asking._flights._flights)
    assert cache.stats().entries == 0


async def test_without_prices_what_is_saved_is_known_in_tokens_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    monkeypatch.setattr("llmkit.usage.prices._remembered", {})
    client, cache, records = cached(FakeOpenAI())
    await ask(client)
    await ask(client)
    assert records[1].saved_cost is None
    assert records[1].saved_input_tokens > 0
    assert cache.stats().saved_cost == 0


async def test_identical_calls_are_one_also_while_the_store_is_down() -> None:
    fake, gate = FakeOpenAI(), Gate()
    client, cache, _ = cached(fake, gate, store=Broken())
    tasks = [asyncio.create_task(ask(client)) for _ in range(10)]
    flights = cache._asking._flights._flights
    await settled(lambda: [len(flight.waiting) for flight in flights.values()] == [9])
    gate.open.set()
    await asyncio.gather(*tasks)
    assert len(fake.requests) == 1


async def test_an_entry_that_cannot_be_used_is_dropped_and_asked_for_anew(caplog: pytest.LogCaptureFixture) -> None:
    fake, store = FakeOpenAI().reply("no JSON at all").reply('{"name": "Blue"}'), MemoryStore()
    client, _, records = cached(fake, store=store)
    await client.chat.completions.create(**CHAT, response_format=FORMAT)
    parsed = await client.chat.completions.parse(**PARSED)
    assert parsed.choices[0].message.parsed.name == "Blue"
    assert [record.cache for record in records] == ["miss", "miss"]
    assert records[1].saved_input_tokens == 0
    assert "could not be used (ValidationError); asking anew" in caplog.text
    assert "no JSON" not in caplog.text


# Others in the stack


async def test_a_layer_above_that_asks_twice_has_a_true_record() -> None:
    async def twice(request: Request, call_next: CallNext) -> Any:
        for changed in bodies:
            answer = await call_next(request.replace(body={**request.body, **changed}))
        return answer

    records: list[CallRecord] = []
    cache, fake = Cache(), FakeOpenAI()
    client = fake.async_client(middleware=[UsageLog(sinks=[records.append]), twice, cache])
    plain: dict[str, Any] = {}
    varied, other = {"temperature": 1}, {"max_tokens": 50}
    bodies: list[dict[str, Any]] = []
    for bodies[:] in ((plain, plain, varied), (plain, plain), (plain, varied), (plain, other), (other, varied)):
        await ask(client)
    billed = [(record.cache, bool(record.total_tokens), bool(record.saved_input_tokens)) for record in records]
    assert billed == [
        (None, True, False),
        ("hit", False, True),
        (None, True, False),
        ("miss", True, False),
        (None, True, False),
    ]


async def test_a_hit_costs_no_budget() -> None:
    fake, budget = FakeOpenAI(), Budget(daily_tokens=1_000, daily_usd=5)
    client = fake.async_client(middleware=[budget, Cache(), Retry()])
    await ask(client)
    spent = budget.spent()
    for _ in range(3):
        await ask(client)
        assert await read(await client.chat.completions.create(**CHAT, stream=True))
    assert budget.spent() == spent


async def test_the_headers_of_a_raw_hit_say_where_it_comes_from() -> None:
    fake = FakeOpenAI()
    client, _, records = cached(fake)
    with virtual_time() as clock:
        await ask(client)
        clock.advance(100)
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
    assert raw.headers["cache-status"] == "llmkit; hit; ttl=3500"
    assert raw.headers["age"] == "100"
    assert raw.headers["x-request-id"] == records[0].request_id == records[1].request_id
    assert raw.elapsed.total_seconds() == 0
    assert raw.retries_taken == 0
    assert raw.http_request.url == f"{fake.base_url}/chat/completions"
    assert "authorization" not in raw.http_request.headers


@pytest.mark.parametrize("fast", ["0", "1"])
async def test_an_answer_that_only_the_sdk_can_build_is_built_by_it(fast: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMKIT_FAST", fast)
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Blue."}}
    odd = {"id": "c", "object": "chat.completion", "created": "yesterday", "model": "m", "choices": [choice]}
    fake = FakeOpenAI().respond(httpx2.Response(200, json=odd, headers={"x-request-id": "req_7"}))
    client, _, _ = cached(fake)
    first = await client.chat.completions.create(**CHAT)
    again = await client.chat.completions.create(**CHAT)
    assert len(fake.requests) == 1
    assert again == first
    assert (again.created, again._request_id) == ("yesterday", "req_7")


async def test_entries_can_be_invalidated_by_whatever_is_known_of_them() -> None:
    client, cache, records = cached(FakeOpenAI())
    with virtual_time() as clock:
        with llmkit.tags(feature="faq"):
            await ask(client, "a")
        clock.advance(100)
        await ask(client, "b")
        await ask(client, "c", model="gpt-4o")
        assert cache.invalidate(str(records[1].cache_key)) == 1
        assert cache.invalidate(str(records[1].cache_key)) == 0
        assert cache.invalidate(model="gpt-4o", older_than=50) == 0
        assert cache.invalidate(model="gpt-4o") == 1
        assert cache.invalidate(tags={"feature": "search"}) == 0
        assert cache.invalidate(tags={"feature": "faq"}, older_than=50) == 1
        assert cache.invalidate(everything=True) == 0
    assert cache.stats().entries == 0


@pytest.mark.parametrize("empty", [{"prefix": ""}, {"key": ""}, {"model": ""}], ids=str)
def test_an_empty_text_is_not_everything(empty: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must not be empty; everything=True drops all"):
        Cache().invalidate(**empty)


async def test_an_answer_that_cannot_be_looked_at_is_given_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr("llmkit.cache.shelf.whole", fail)
    client, cache, _ = cached(FakeOpenAI())
    assert await ask(client) == "You said: Name a colour."
    assert "an answer could not be kept (RuntimeError)" in caplog.text
    assert cache.stats().entries == 0


def test_nothing_is_invalidated_by_accident() -> None:
    for options in ({}, {"model": "gpt-4o", "everything": True}):
        with pytest.raises(ValueError, match="say which answers"):
            Cache().invalidate(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ttl": 0}, "ttl=0 must be above 0 seconds"),
        ({"ttl": "60"}, "ttl='60' is of type str"),
        ({"wait": -1}, "wait=-1 must be 0 or more"),
        ({"wait": None}, "wait=None must be 0 or more"),
        ({"per": ("a", "a")}, "per="),
        ({"include": "user"}, "include='user' is a text; write include=\\('user',\\)"),
        ({"ignore": "user"}, "ignore='user' is a text"),
        ({"on_error": "maybe"}, "on_error='maybe' is unknown"),
        ({"store": "cache.db"}, "store is str; pass MemoryStore"),
        ({"store": MemoryStore}, "store is MemoryStore; pass MemoryStore"),
    ],
)
def test_what_cannot_be_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Cache(**options)
