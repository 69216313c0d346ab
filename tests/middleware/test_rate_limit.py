from __future__ import annotations

import asyncio
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import pytest
from surfaces import CHAT, MODEL
from virtual_loop import run

import llmkit
from llmkit import CallNext, CallRecord, Request, Retry, UsageLog
from llmkit.errors import LLMKitError, RateLimitTimeout
from llmkit.limits import MemoryBackend
from llmkit.middleware.rate_limit import RateLimit
from llmkit.testing import FakeOpenAI, virtual_time

PROMPT = 11
"""Tokens of CHAT."""


def client_for(fake: FakeOpenAI, *layers: Any, **options: Any) -> tuple[llmkit.AsyncOpenAI, list[CallRecord]]:
    records: list[CallRecord] = []
    return fake.async_client(middleware=[UsageLog(sinks=[records.append]), *layers], **options), records


def answer(headers: dict[str, str], *, tokens: int = 20) -> httpx2.Response:
    usage = {"prompt_tokens": PROMPT, "completion_tokens": tokens - PROMPT, "total_tokens": tokens}
    message = {"role": "assistant", "content": "Red."}
    return httpx2.Response(
        200,
        headers=headers,
        json={
            "id": "1", "object": "chat.completion", "created": 1, "model": MODEL, "usage": usage,
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        },
    )  # fmt: skip


def told(kind: str, *, limit: int, remaining: int) -> dict[str, str]:
    return {f"x-ratelimit-limit-{kind}": str(limit), f"x-ratelimit-remaining-{kind}": str(remaining)}


async def spend(client: Any, count: int, **options: Any) -> None:
    for _ in range(count):
        await client.chat.completions.create(**CHAT, **options)


async def test_calls_beyond_the_requests_per_minute_wait_their_turn() -> None:
    client, records = client_for(FakeOpenAI(), RateLimit(requests_per_minute=30, burst_seconds=4))
    with virtual_time() as clock:
        await spend(client, 4)
    assert clock.sleeps == [2, 2]
    assert [record.limit_wait for record in records] == [0, 0, 2, 2]


async def test_a_call_reserves_its_input_and_the_output_it_allows_and_gives_back_what_it_did_not_use() -> None:
    fake = FakeOpenAI()
    for _ in range(3):
        fake.reply("ok", usage={"total_tokens": 100})
    client, _ = client_for(fake, RateLimit(tokens_per_minute=600))
    with virtual_time() as clock:
        await spend(client, 2, max_completion_tokens=500 - PROMPT)  # 500 in all; 400 of them come back
        assert clock.sleeps == []
        await spend(client, 1, max_completion_tokens=500 - PROMPT)
    assert clock.sleeps == [10]


async def test_a_call_that_allows_any_output_reserves_the_usual_one() -> None:
    client, _ = client_for(FakeOpenAI(), RateLimit(tokens_per_minute=600, output_tokens=1_200 - PROMPT))
    with virtual_time() as clock:
        await spend(client, 1)
    assert clock.sleeps == [60]


async def test_a_call_that_used_more_than_it_reserved_leaves_a_debt() -> None:
    fake = FakeOpenAI().reply("long", usage={"total_tokens": 900})
    client, _ = client_for(fake, RateLimit(tokens_per_minute=600))
    with virtual_time() as clock:
        await spend(client, 2, max_completion_tokens=100 - PROMPT)
    assert clock.sleeps == [pytest.approx(40)]


async def test_embeddings_and_calls_without_text_reserve_no_output() -> None:
    client, _ = client_for(FakeOpenAI(), RateLimit(tokens_per_minute=60, burst_seconds=1, output_tokens=10_000))
    with virtual_time() as clock:
        await client.embeddings.create(model="text-embedding-3-small", input="a")
        await client.models.list()
    assert clock.sleeps == []


async def test_a_stream_is_settled_when_it_is_over() -> None:
    client, _ = client_for(FakeOpenAI(), RateLimit(tokens_per_minute=600))
    with virtual_time() as clock:
        for _ in range(3):
            async for _ in await client.chat.completions.create(**CHAT, stream=True, max_completion_tokens=500):
                pass
        assert clock.sleeps == []
        stream = await client.chat.completions.create(**CHAT, stream=True, max_completion_tokens=500)
        await spend(client, 1, max_completion_tokens=500)
        await stream.close()
    assert len(clock.sleeps) == 1


async def test_a_stream_that_is_left_early_is_settled_with_the_estimate() -> None:
    fake = FakeOpenAI().reply("word " * 100)
    client, records = client_for(fake, RateLimit(tokens_per_minute=600))
    with virtual_time() as clock:
        stream = await client.chat.completions.create(**CHAT, stream=True, max_completion_tokens=600 - PROMPT)
        async for _ in stream:
            break
        await stream.close()
        used = records[0].total_tokens
        await spend(client, 1, max_completion_tokens=600 - PROMPT)
    assert records[0].estimated
    assert used is not None
    assert clock.sleeps == [pytest.approx(used / 10)]


def test_a_stream_runs_until_it_is_over() -> None:
    async def work() -> None:
        client, records = client_for(FakeOpenAI(), RateLimit(max_concurrency=1))
        stream = await client.chat.completions.create(**CHAT, stream=True)
        waiting = asyncio.create_task(spend(client, 1))
        await asyncio.sleep(5)
        await stream.close()
        await waiting
        assert [record.limit_wait for record in records] == [0, 5]

    run(work())


async def test_a_raw_answer_is_over_when_it_has_been_read_or_closed() -> None:
    client, _ = client_for(FakeOpenAI(), RateLimit(max_concurrency=1, timeout=0))
    async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        with pytest.raises(RateLimitTimeout):
            await spend(client, 1)
        await response.read()
    await spend(client, 1)


async def test_a_stream_that_is_dropped_unread_gives_its_place_back_when_it_is_collected() -> None:
    client, records = client_for(FakeOpenAI(), RateLimit(max_concurrency=1, timeout=0))
    stream = await client.chat.completions.create(**CHAT, stream=True)
    with pytest.raises(RateLimitTimeout):
        await client.chat.completions.create(**CHAT)
    del stream
    gc.collect()
    await client.chat.completions.create(**CHAT)
    assert [record.complete for record in records] == [False, False, True]


@pytest.mark.parametrize("status", [400, 429, 500])
async def test_a_refused_attempt_gives_its_tokens_back_and_counts_as_a_request(status: int) -> None:
    limit = RateLimit(tokens_per_minute=600, requests_per_minute=60, burst_seconds=60)
    client, _ = client_for(FakeOpenAI().error(status), limit)
    with virtual_time() as clock:
        with pytest.raises(openai.APIStatusError):
            await spend(client.with_options(max_retries=0), 1, max_completion_tokens=600 - PROMPT)
        await spend(client, 1, max_completion_tokens=600 - PROMPT)
    assert clock.sleeps == []
    (bucket,) = limit._backend._buckets.values()  # type: ignore[attr-defined]
    assert bucket.requests.left == 58


@pytest.mark.parametrize(("error", "waits"), [(httpx2.ConnectError("refused"), []), (httpx2.ReadTimeout("slow"), [60])])
async def test_only_an_attempt_that_may_have_been_worked_on_keeps_its_tokens(
    error: Exception, waits: list[float]
) -> None:
    client, _ = client_for(FakeOpenAI().fail(error), Retry(max_retries=0), RateLimit(tokens_per_minute=600))
    with virtual_time() as clock:
        with pytest.raises(openai.APIConnectionError):
            await spend(client, 1, max_completion_tokens=600 - PROMPT)
        await spend(client, 1, max_completion_tokens=600 - PROMPT)
    assert clock.sleeps == waits


def test_each_attempt_counts_and_none_is_running_while_the_next_is_waited_for() -> None:
    async def work() -> None:
        fake = FakeOpenAI().error(503, headers={"retry-after": "7"})
        client, records = client_for(fake, Retry(), RateLimit(requests_per_minute=60, max_concurrency=1))
        await asyncio.gather(spend(client, 1), spend(client, 1))
        assert len(fake.requests) == 3
        assert sorted(record.limit_wait for record in records) == [0, 0]
        assert sorted(record.latency or 0 for record in records) == [0, 7]

    run(work())


async def test_what_others_use_of_the_servers_limit_is_taken_into_account() -> None:
    fake = FakeOpenAI().respond(answer(told("requests", limit=60, remaining=2)))
    client, _ = client_for(fake, RateLimit(requests_per_minute=60))
    with virtual_time() as clock:
        await spend(client, 4)
    assert clock.sleeps == [1]


async def test_a_limit_above_the_servers_is_lowered_to_it() -> None:
    fake = FakeOpenAI()
    for _ in range(3):
        fake.respond(answer(told("requests", limit=60, remaining=59)))
    client, _ = client_for(fake, RateLimit(requests_per_minute=6_000))
    with virtual_time() as clock:
        await spend(client, 3)
        assert clock.sleeps == []
        await spend(client, 60)
    assert len(clock.sleeps) == 3


async def test_limits_are_learnt_from_the_server() -> None:
    fake = FakeOpenAI()
    for remaining in (1, 0, 0, 0):
        fake.respond(answer(told("requests", limit=120, remaining=remaining)))
    client, _ = client_for(fake, RateLimit())
    with virtual_time() as clock:
        await spend(client, 4)
    assert clock.sleeps == [0.5, 0.5]


@pytest.mark.parametrize("per", [None, lambda request: "all"])
async def test_a_bucket_of_several_models_does_not_go_by_the_limits_of_one(per: Any) -> None:
    fake = FakeOpenAI().respond(answer(told("requests", limit=6, remaining=0))).error(429)
    client, _ = client_for(fake, RateLimit(requests_per_minute=60, per=per))
    with virtual_time() as clock:
        await spend(client, 1)
        with pytest.raises(openai.RateLimitError):
            await spend(client.with_options(max_retries=0), 1)
        await spend(client, 1)
    assert clock.sleeps == []


async def test_a_429_stops_its_bucket_for_as_long_as_the_server_asks() -> None:
    fake = FakeOpenAI().error(429, headers={"retry-after-ms": "1500", **told("tokens", limit=600, remaining=600)})
    client, records = client_for(fake, RateLimit(requests_per_minute=60))
    with virtual_time() as clock:
        with pytest.raises(openai.RateLimitError):
            await spend(client.with_options(max_retries=0), 1)
        await spend(client, 2)
    assert clock.sleeps == [pytest.approx(2.5), 1]  # a server that refuses has no request left
    assert records[1].limit_wait == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("code", "wait"), [("insufficient_quota", "5"), ("rate_limit_exceeded", "3600"), ("rate_limit_exceeded", "soon")]
)
async def test_waits_that_help_nobody_are_not_waited(code: str, wait: str) -> None:
    client, _ = client_for(FakeOpenAI().error(429, code=code, headers={"retry-after": wait}), RateLimit())
    with virtual_time() as clock:
        with pytest.raises(openai.RateLimitError):
            await spend(client.with_options(max_retries=0), 1)
        await spend(client, 1)
    assert clock.sleeps == []


async def test_headers_of_an_earlier_attempt_are_not_taken_for_a_later_ones() -> None:
    headers = told("requests", limit=60, remaining=50)
    fake = FakeOpenAI().error(500, headers=headers).fail(httpx2.ConnectError("refused"))
    limit = RateLimit(requests_per_minute=60)
    client, _ = client_for(fake, Retry(), limit)
    with virtual_time():
        await spend(client, 1)
    (bucket,) = limit._backend._buckets.values()  # type: ignore[attr-defined]
    assert bucket.requests.others == 9


async def test_a_layer_below_that_answers_or_fails_by_itself_tells_nothing_of_the_server() -> None:
    async def broken(request: Request, call_next: CallNext) -> Any:
        raise LookupError

    client, _ = client_for(FakeOpenAI(), RateLimit(max_concurrency=1, timeout=0), broken)
    for _ in range(2):
        with pytest.raises(LookupError):
            await spend(client, 1)


@pytest.mark.parametrize(
    ("per", "names"),
    [
        ("model", ["fake.openai.test gpt-4o", "fake.openai.test gpt-4o-mini"]),
        ("key", ["fake.openai.test ...wxyz gpt-4o", "fake.openai.test ...wxyz gpt-4o-mini"]),
        (None, ["fake.openai.test"]),
        (lambda request: request.operation, ["chat.completions"]),
    ],
)
async def test_a_bucket_is_one_of_a_model_a_key_a_host_or_what_a_function_says(per: Any, names: list[str]) -> None:
    async def keyed(request: Request, call_next: CallNext) -> Any:
        request.record.key = "...wxyz"
        return await call_next(request)

    backend = MemoryBackend()
    client, _ = client_for(FakeOpenAI(), keyed, RateLimit(requests_per_minute=60, per=per, backend=backend))
    for model in ("gpt-4o", "gpt-4o-mini"):
        await client.chat.completions.create(**{**CHAT, "model": model})
    assert sorted(name for name, _ in backend._buckets) == names


async def test_the_name_of_a_bucket_has_no_password() -> None:
    limit = RateLimit(requests_per_minute=1, per=None, timeout=0)
    fake = FakeOpenAI(base_url="https://user:secret@gateway.test:8080/v1")
    client, _ = client_for(fake, limit)
    await spend(client, 1)
    with pytest.raises(RateLimitTimeout) as caught:
        await spend(client, 1)
    assert caught.value.bucket == "gateway.test:8080"


async def test_a_call_that_may_not_go_in_time_raises_and_is_not_sent() -> None:
    fake = FakeOpenAI()
    client, records = client_for(fake, RateLimit(requests_per_minute=6, burst_seconds=10, timeout=4))
    with virtual_time():
        await spend(client, 1)
        with pytest.raises(
            RateLimitTimeout, match=r"'fake.openai.test gpt-4o-mini' .* 511 tokens after 4.0 s"
        ) as caught:
            await spend(client, 1)
    error = caught.value
    assert (error.bucket, error.waited, error.needed) == ("fake.openai.test gpt-4o-mini", 4, PROMPT + 500)
    assert isinstance(error, LLMKitError)
    assert isinstance(error, TimeoutError)
    assert vars(pickle.loads(pickle.dumps(error))) == vars(error)
    assert len(fake.requests) == 1
    assert (records[1].limit_wait, records[1].error) == (4, "RateLimitTimeout")


def test_a_call_cancelled_while_it_waits_takes_nothing() -> None:
    async def work() -> None:
        client, records = client_for(FakeOpenAI(), RateLimit(tokens_per_minute=600))
        await spend(client, 1, max_completion_tokens=600 - PROMPT)  # 568 come back
        waiting = asyncio.create_task(spend(client, 1, max_completion_tokens=20_000))
        await asyncio.sleep(5)
        waiting.cancel()
        await asyncio.wait([waiting])
        await spend(client, 1, max_completion_tokens=600 - PROMPT)
        assert records[1].limit_wait == 5
        assert records[2].limit_wait == 0

    run(work())


def test_a_call_cancelled_while_it_runs_keeps_what_it_reserved_and_makes_way() -> None:
    async def work() -> None:
        async def slow(request: Request, call_next: CallNext) -> Any:
            await asyncio.sleep(10)
            return await call_next(request)

        client, records = client_for(FakeOpenAI(), RateLimit(tokens_per_minute=600, max_concurrency=1), slow)
        running = asyncio.create_task(spend(client, 1, max_completion_tokens=600 - PROMPT))
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait([running])
        await spend(client, 1, max_completion_tokens=600 - PROMPT)
        assert records[1].limit_wait == pytest.approx(59)

    run(work())


def test_interleaved_calls_go_in_the_order_in_which_they_came() -> None:
    async def work() -> None:
        fake = FakeOpenAI()
        client, records = client_for(fake, RateLimit(requests_per_minute=600, burst_seconds=1))
        contents = [str(number) for number in range(100)]
        await asyncio.gather(
            *(client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": c}]) for c in contents)
        )
        assert [request.body["messages"][0]["content"] for request in fake.requests] == contents
        assert [record.limit_wait for record in records] == [pytest.approx(max(0, n - 9) / 10) for n in range(100)]

    run(work())


def test_a_sync_client_waits_too_in_many_threads() -> None:
    fake, records = FakeOpenAI(), list[CallRecord]()
    client = fake.client(
        middleware=[UsageLog(sinks=[records.append]), RateLimit(requests_per_minute=600, burst_seconds=1)]
    )
    with virtual_time() as clock:
        for _ in range(12):
            client.chat.completions.create(**CHAT)
    assert clock.sleeps == [pytest.approx(0.1)] * 2

    client = fake.client(middleware=[RateLimit(max_concurrency=2)])
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: client.chat.completions.create(**CHAT), range(64)))
    assert len(answers) == 64


def test_clients_on_several_event_loops_share_one_limit() -> None:
    fake, limit = FakeOpenAI(), RateLimit(requests_per_minute=600, burst_seconds=1, max_concurrency=2)

    async def some(count: int) -> None:
        async with fake.async_client(middleware=[limit]) as client:
            await asyncio.gather(*(spend(client, 1) for _ in range(count)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: asyncio.run(some(4)), range(4)))
    assert len(fake.requests) == 16
    (bucket,) = limit._backend._buckets.values()  # type: ignore[attr-defined]
    assert bucket.requests.left == pytest.approx(0, abs=1)
    assert limit._gate._queues == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"requests_per_minute": 0}, "requests_per_minute=0 must be above 0"),
        ({"tokens_per_minute": -5}, "tokens_per_minute=-5 must be above 0"),
        ({"burst_seconds": 0}, "burst_seconds=0 must be above 0"),
        ({"burst_seconds": float("inf")}, "burst_seconds=inf would let all calls go"),
        ({"max_concurrency": 0}, "max_concurrency=0 lets no call go"),
        ({"timeout": -1}, "timeout=-1 is negative"),
        ({"output_tokens": -1}, "output_tokens=-1 is negative"),
        ({"per": "user"}, "per='user' is unknown"),
        ({"per": 3}, "per=3 is unknown"),
    ],
)
def test_impossible_limits_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RateLimit(**options)


@pytest.mark.parametrize(
    ("backend", "kind"), [("redis://:s3cret@host", "str"), (MemoryBackend, "type")], ids=["URL", "class"]
)
def test_what_keeps_no_buckets_is_refused(backend: Any, kind: str) -> None:
    with pytest.raises(TypeError, match=rf"^backend is a {kind}; pass RedisBackend\(url\), MemoryBackend\(\) or"):
        RateLimit(backend=backend)
