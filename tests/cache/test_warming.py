from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import openai
import pytest

from llmkit.cache.entry import Entry
from llmkit.cache.memory import MemoryStore
from llmkit.cache.sqlite import SQLiteStore
from llmkit.cache.warming import Warmed, warm
from llmkit.client import AsyncOpenAI
from llmkit.errors import CacheUnavailable
from llmkit.middleware.cache import Cache
from llmkit.middleware.retry import Retry
from llmkit.request import CallNext, Request
from llmkit.testing import FakeOpenAI, virtual_time


def ask(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}


@pytest.fixture
def fake() -> FakeOpenAI:
    return FakeOpenAI()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def client(fake: FakeOpenAI, store: MemoryStore) -> AsyncOpenAI:
    return fake.async_client(middleware=[Cache(store), Retry()])


async def test_what_has_been_warmed_is_a_hit_of_every_ordinary_call(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    warmed = await warm(
        client,
        [
            ask("Hi", tools=[], temperature=0),
            {"model": "gpt-4o", "input": "Hi", "max_output_tokens": 100},
            {"model": "text-embedding-3-small", "input": ["Hi"], "dimensions": 8},
            {"model": "gpt-3.5-turbo-instruct", "prompt": "Hi"},
        ],
    )
    assert warmed == Warmed(made=4)
    sent = len(fake.requests)
    chat: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], "tools": [], "temperature": 0}
    await client.chat.completions.create(**chat)
    await client.chat.completions.with_raw_response.create(**chat)
    async with client.chat.completions.stream(**chat) as stream:
        assert await stream.get_final_completion()
    await client.responses.create(model="gpt-4o", input="Hi", max_output_tokens=100)
    await client.embeddings.create(model="text-embedding-3-small", input=["Hi"], dimensions=8)
    await client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Hi")
    assert len(fake.requests) == sent == 4


async def test_moderations_are_warmed_too(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    result = {"flagged": False, "categories": {}, "category_scores": {}}
    fake.respond(httpx2.Response(200, json={"id": "modr-1", "model": "omni", "results": [result]}))
    assert await warm(client, [{"operation": "moderations", "body": {"input": "Hi"}}]) == Warmed(made=1)
    assert (await client.moderations.create(input="Hi")).id == "modr-1"
    assert len(fake.requests) == 1


async def test_a_request_that_asks_for_a_stream_is_asked_for_whole(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    assert await warm(client, [ask("Hi", stream=True, stream_options={"include_usage": True})]) == Warmed(made=1)
    assert not {"stream", "stream_options"} & set(fake.requests[0].body)
    assert [chunk async for chunk in await client.chat.completions.create(**ask("Hi"), stream=True)]
    assert len(fake.requests) == 1


async def test_what_is_there_is_not_asked_for_again(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    requests = [ask("one"), ask("two")]
    assert await warm(client, requests) == Warmed(made=2)
    assert await warm(client, [*requests, ask("three")]) == Warmed(made=1, present=2)
    assert len(fake.requests) == 3


async def test_the_same_request_twice_is_made_once(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    assert await warm(client, [ask("Hi")] * 5) == Warmed(made=1, present=4)
    assert len(fake.requests) == 1


async def test_an_answer_has_the_tags_of_its_request(client: AsyncOpenAI, store: MemoryStore) -> None:
    await warm(client, [ask("one", tags={"user": "alice"}), ask("two", tags={"user": "bob"}), ask("three")])
    assert sorted(str(dict(entry.tags)) for entry in store.entries(now=0.0)) == [
        "{'user': 'alice'}",
        "{'user': 'bob'}",
        "{}",
    ]


async def test_what_a_cache_does_not_keep_is_counted_apart(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.reply("cut", finish_reason="length")
    assert await warm(client, [ask("long"), ask("varies", temperature=1)], concurrency=1) == Warmed(not_kept=2)
    assert len(fake.requests) == 2


async def test_a_store_that_keeps_nothing_is_noticed(fake: FakeOpenAI) -> None:
    full = MemoryStore(max_bytes=1)
    assert await warm(fake.async_client(middleware=[Cache(full)]), [ask("Hi")]) == Warmed(not_kept=1)


async def test_one_that_fails_does_not_stop_the_others(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.error(401).error(404).error(401)
    warmed = await warm(client, [ask("one"), ask("two"), ask("three"), ask("four"), {"model": "gpt-4o"}], concurrency=1)
    assert (warmed.made, warmed.failed, warmed.done) == (1, 4, 5)
    assert warmed.errors == {"AuthenticationError": 2, "NotFoundError": 1, "InvalidRequest": 1}
    assert list(warmed.hints) == list(warmed.errors)
    assert warmed.hints["AuthenticationError"] == "Pass its key as api_key=, or correct base_url if OpenAI was meant."
    assert warmed.hints["InvalidRequest"].startswith("it is no request: write a body with 'messages'")


async def test_what_failed_is_made_the_next_time(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.error(401)
    assert (await warm(client, [ask("Hi")])).failed == 1
    assert await warm(client, [ask("Hi")]) == Warmed(made=1)


async def test_no_text_of_a_request_is_in_the_outcome(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.error(400, message="CANARY is too long")
    warmed = await warm(client, [ask("CANARY"), {"messages": "CANARY"}, "CANARY"])  # type: ignore[list-item]
    assert warmed.failed == 3
    assert "CANARY" not in repr(warmed)


async def test_what_nobody_knows_is_to_be_called_alone(client: AsyncOpenAI) -> None:
    assert (await warm(client, [ask("\ud800")])).hints == {
        "UnicodeEncodeError": "Make one such call by itself to see the message, which may quote the request."
    }


async def test_progress_is_told_after_each_request(client: AsyncOpenAI) -> None:
    told: list[Warmed] = []
    last = await warm(client, [ask("one"), ask("one"), {}], concurrency=1, on_progress=told.append)
    assert [(now.made, now.present, now.failed, now.done) for now in told] == [(1, 0, 0, 1), (1, 1, 0, 2), (1, 1, 1, 3)]
    assert told[-1] is last


async def test_requests_may_come_from_an_async_source_and_are_read_as_they_are_needed(fake: FakeOpenAI) -> None:
    running, most, read = 0, 0, 0

    async def gauge(request: Request, call_next: CallNext) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        assert read - 1 <= len(fake.requests) + running
        await anyio.lowlevel.checkpoint()
        answer = await call_next(request)
        running -= 1
        return answer

    async def rows() -> AsyncIterator[dict[str, Any]]:
        nonlocal read
        for number in range(12):
            read += 1
            yield {"operation": "chat.completions", "body": ask(str(number)), "tags": {}}

    client = fake.async_client(middleware=[Cache(MemoryStore()), gauge])
    assert await warm(client, rows(), concurrency=3) == Warmed(made=12)
    assert most == 3


async def test_a_broken_source_raises_its_own_error_when_the_calls_under_way_are_kept(
    fake: FakeOpenAI, client: AsyncOpenAI, store: MemoryStore
) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from map(ask, "abcde")
        raise KeyError("no column")

    async def rows_as_they_come() -> AsyncIterator[dict[str, Any]]:
        for text in "fghij":
            yield ask(text)
        raise KeyError("no column")

    for number, source in enumerate([rows(), rows_as_they_come()], 1):
        told: list[Warmed] = []
        with pytest.raises(KeyError, match="no column"):
            await warm(client, source, on_progress=told.append)
        assert len(fake.requests) == len(list(store.entries(now=0.0))) == 5 * number


async def test_a_broken_progress_raises_its_own_error_when_the_calls_under_way_are_kept(
    fake: FakeOpenAI, client: AsyncOpenAI, store: MemoryStore
) -> None:
    told: list[int] = []

    def broken(warmed: Warmed) -> None:
        told.append(warmed.done)
        raise RuntimeError("no terminal")

    with pytest.raises(RuntimeError, match="no terminal"):
        await warm(client, map(ask, "abcdefghijklmnopqrst"), concurrency=4, on_progress=broken)
    assert told == [1]
    assert 1 <= len(fake.requests) == len(list(store.entries(now=0.0))) <= 4


async def test_a_source_may_end_the_program(client: AsyncOpenAI) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield ask("Hi")
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        await warm(client, rows())


async def test_a_failing_store_says_what_is_wrong_with_it(fake: FakeOpenAI) -> None:
    class Locked(MemoryStore):
        def get(self, key: str, *, now: float) -> Entry | None:
            raise CacheUnavailable("the cache x.db cannot be used: database is locked")

    client = fake.async_client(middleware=[Cache(Locked(), on_error="closed")])
    assert (await warm(client, [ask("Hi")])).hints == {
        "CacheUnavailable": "the cache x.db cannot be used: database is locked"
    }


async def test_what_was_made_stays_when_it_is_cancelled(fake: FakeOpenAI, store: MemoryStore) -> None:
    hangs = anyio.Event()

    async def hang(request: Request, call_next: CallNext) -> Any:
        if request.body["messages"][0]["content"] == "hang":
            hangs.set()
            await anyio.sleep_forever()
        return await call_next(request)

    told: list[Warmed] = []
    client = fake.async_client(middleware=[Cache(store), hang])

    async def run() -> None:
        await warm(client, [ask("one"), ask("hang"), ask("two")], concurrency=2, on_progress=told.append)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await hangs.wait()
        while len(told) < 2:
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert told[-1] == Warmed(made=2)
    assert len(list(store.entries(now=0.0))) == 2


async def test_only_what_is_sent_is_held_to_the_pace(client: AsyncOpenAI) -> None:
    requests = [ask(str(number)) for number in range(3)]
    with virtual_time() as clock:
        began = clock.monotonic()
        await warm(client, requests, requests_per_minute=60)
        assert clock.monotonic() - began == pytest.approx(2.0, abs=0.01)  # the first goes at once
        await warm(client, requests, requests_per_minute=1)
        assert clock.monotonic() - began == pytest.approx(2.0, abs=0.01)


async def test_a_retry_counts_for_the_pace(fake: FakeOpenAI, client: AsyncOpenAI) -> None:
    fake.error(500, headers={"retry-after-ms": "1"})
    with virtual_time() as clock:
        began = clock.monotonic()
        assert await warm(client, [ask("Hi")], requests_per_minute=6) == Warmed(made=1)
        assert clock.monotonic() - began == pytest.approx(10.0, abs=0.01)


async def test_a_store_on_a_disk_is_asked_in_a_thread(fake: FakeOpenAI, tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "cache.db")
    client = fake.async_client(middleware=[Cache(store)])
    assert await warm(client, [ask("one"), ask("two")]) == Warmed(made=2)
    assert await warm(client, [ask("one"), ask("two")]) == Warmed(present=2)
    store.close()


async def test_a_layer_above_the_cache_is_run_too(fake: FakeOpenAI, store: MemoryStore) -> None:
    async def shorter(request: Request, call_next: CallNext) -> Any:
        return await call_next(request.replace(body={**request.body, "max_completion_tokens": 5}))

    client = fake.async_client(middleware=[shorter, Cache(store)])
    assert await warm(client, [ask("Hi")]) == Warmed(made=1)
    await client.chat.completions.create(**ask("Hi"))
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"concurrency": 0}, ValueError, "concurrency=0 makes no call; use at least 1"),
        ({"concurrency": "8"}, TypeError, "concurrency='8' is of type str; give a number"),
        ({"requests_per_minute": 0}, ValueError, "requests_per_minute=0 must be above 0"),
        ({"requests_per_minute": "60"}, TypeError, "requests_per_minute='60' is of type str; give a number"),
    ],
)
async def test_impossible_figures_are_named(
    client: AsyncOpenAI, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        await warm(client, [ask("Hi")], **options)


async def test_a_client_without_a_cache_is_told_so(fake: FakeOpenAI) -> None:
    with pytest.raises(TypeError, match="warm\\(\\) takes a client whose middleware has a Cache"):
        await warm(fake.async_client(), [ask("Hi")])
    for other in (fake.client(middleware=[Cache()]), openai.AsyncOpenAI(api_key="sk-fake")):
        with pytest.raises(TypeError, match=r"takes an llmkit\.AsyncOpenAI with a Cache, not a "):
            await warm(other, [ask("Hi")])  # type: ignore[arg-type]
    assert not fake.requests
