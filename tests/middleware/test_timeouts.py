from __future__ import annotations

import asyncio
import json
import pickle
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.util import find_spec
from typing import Any

import anyio
import httpx2
import openai
import pytest
from streaming.broken_server import CHUNKED, Behaviour, Connection, Server, chat, response, serving
from surfaces import CHAT, RESPONSES

import llmkit
from llmkit import CallNext, CallRecord, Request, Retry, UsageLog
from llmkit.errors import CallTimeout, LLMKitError
from llmkit.middleware.timeouts import Timeouts
from llmkit.testing import FakeOpenAI, virtual_time

BOTH_LOOPS = pytest.mark.parametrize(
    "anyio_backend",
    ["asyncio", pytest.param("trio", marks=pytest.mark.skipif(find_spec("trio") is None, reason="no trio"))],
)


def clients(
    fake: FakeOpenAI, *layers: Any, **options: Any
) -> tuple[llmkit.AsyncOpenAI, llmkit.OpenAI, list[CallRecord]]:
    records: list[CallRecord] = []
    stack = [UsageLog(sinks=[records.append]), *layers]
    return fake.async_client(middleware=stack, **options), fake.client(middleware=stack, **options), records


def waits(seconds: float) -> Any:
    async def wait(request: Request, call_next: CallNext) -> Any:
        await request.runtime.sleep(seconds)
        return await call_next(request)

    return wait


def check(error: CallTimeout, limit: str, seconds: float, records: list[CallRecord]) -> None:
    assert (error.limit, error.seconds) == (limit, seconds)
    (record,) = records
    assert (record.error, record.complete) == ("CallTimeout", False)


# --- the whole call, in virtual time


async def test_a_call_that_takes_too_long_is_ended_at_its_deadline() -> None:
    fake = FakeOpenAI(delay=3)
    client, _, records = clients(fake, Timeouts(total=2))
    with virtual_time() as clock, pytest.raises(openai.APITimeoutError) as caught:
        await client.chat.completions.create(**CHAT)
    check(caught.value, "total", 2, records)
    assert isinstance(caught.value, LLMKitError)
    assert str(caught.value) == "Timed out: Timeouts(total=2) allows 2 seconds."
    assert clock.monotonic() == 2
    assert fake.open_streams == 0
    assert [(failure.at, failure.error) for failure in records[0].failures] == [(2, "CallTimeout")]


def test_a_sync_call_that_waits_too_long_is_ended_at_its_deadline() -> None:
    fake = FakeOpenAI(delay=3)
    _, client, records = clients(fake, Timeouts(total=2))
    with virtual_time() as clock, pytest.raises(CallTimeout) as caught:
        client.chat.completions.create(**CHAT)
    check(caught.value, "total", 2, records)
    assert (clock.monotonic(), fake.open_streams) == (2, 0)


async def test_a_call_in_time_is_left_alone() -> None:
    client, sync_client, records = clients(FakeOpenAI(delay=1), Timeouts(total=2, first_token=0.5, between_tokens=0.5))
    with virtual_time():
        assert (await client.chat.completions.create(**CHAT)).choices
        assert sync_client.chat.completions.create(**CHAT).choices
    assert [record.error for record in records] == [None, None]


async def patient(request: Request, call_next: CallNext) -> Any:
    await request.runtime.sleep(60)
    return await call_next(request)


async def test_the_deadline_cuts_the_waits_of_the_layers_below() -> None:
    fake = FakeOpenAI()
    client, _, records = clients(fake, Timeouts(total=5), patient)
    with virtual_time() as clock, pytest.raises(CallTimeout) as caught:
        await client.chat.completions.create(**CHAT)
    check(caught.value, "total", 5, records)
    assert (clock.monotonic(), len(fake.requests)) == (5, 0)


def test_the_deadline_cuts_the_waits_of_the_layers_below_in_a_sync_client() -> None:
    fake = FakeOpenAI()
    _, client, records = clients(fake, Timeouts(total=5), patient)
    with virtual_time() as clock, pytest.raises(CallTimeout) as caught:
        client.chat.completions.create(**CHAT)
    check(caught.value, "total", 5, records)
    assert (clock.monotonic(), len(fake.requests)) == (5, 0)


def test_the_sdks_own_retries_in_a_sync_client_end_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_, **__: 0)
    fake = FakeOpenAI(delay=3).error(500).error(500).error(500)
    _, client, records = clients(fake, Timeouts(total=5), max_retries=9)
    with virtual_time(), pytest.raises(CallTimeout) as caught:
        client.chat.completions.create(**CHAT)
    check(caught.value, "total", 5, records)
    assert (len(fake.requests), records[0].attempts) == (2, 2)


async def test_a_retry_above_gives_each_attempt_its_own_time() -> None:
    slow = iter([9.0, 9.0, 0.0])

    async def slow_twice(request: Request, call_next: CallNext) -> Any:
        await request.runtime.sleep(next(slow))
        return await call_next(request)

    client, _, records = clients(FakeOpenAI(), Retry(), Timeouts(total=2), slow_twice)
    with virtual_time():
        assert (await client.chat.completions.create(**CHAT)).choices
    assert records[0].error is None


async def test_of_two_limits_in_a_stack_the_nearer_one_holds() -> None:
    fake = FakeOpenAI(delay=3)
    for outer, inner, limit in ((2, 9, 2), (9, 2, 2)):
        client, _, records = clients(fake, Timeouts(total=outer), Timeouts(total=inner))
        with virtual_time(), pytest.raises(CallTimeout) as caught:
            await client.chat.completions.create(**CHAT)
        check(caught.value, "total", limit, records)


def test_an_attempt_of_a_sync_client_that_would_start_too_late_is_not_sent() -> None:
    async def takes_its_time(request: Request, call_next: CallNext) -> Any:
        clock.advance(3)  # without waiting, so that nothing can stop it
        return await call_next(request)

    fake = FakeOpenAI()
    _, client, records = clients(fake, Timeouts(total=2), takes_its_time)
    with virtual_time() as clock, pytest.raises(CallTimeout) as caught:
        client.chat.completions.create(**CHAT)
    check(caught.value, "total", 2, records)
    assert fake.requests == []


# --- streams, in virtual time: each event takes 3 seconds


async def read_chat(client: Any, see: Callable[[], object]) -> None:
    async for _ in await client.chat.completions.create(**CHAT, stream=True):
        see()


async def read_chat_helper(client: Any, see: Callable[[], object]) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        async for item in stream:
            if item.type == "chunk":
                see()


async def read_responses(client: Any, see: Callable[[], object]) -> None:
    async for _ in await client.responses.create(**RESPONSES, stream=True):
        see()


async def read_responses_helper(client: Any, see: Callable[[], object]) -> None:
    async with client.responses.stream(**RESPONSES) as stream:
        async for _ in stream:
            see()


async def read_streaming_response(client: Any, see: Callable[[], object]) -> None:
    async with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as answer:
        async for _ in await answer.parse():
            see()


def read_chat_now(client: Any, see: Callable[[], object]) -> None:
    for _ in client.chat.completions.create(**CHAT, stream=True):
        see()


def read_chat_helper_now(client: Any, see: Callable[[], object]) -> None:
    with client.chat.completions.stream(**CHAT) as stream:
        for item in stream:
            if item.type == "chunk":
                see()


def read_responses_now(client: Any, see: Callable[[], object]) -> None:
    for _ in client.responses.create(**RESPONSES, stream=True):
        see()


def read_responses_helper_now(client: Any, see: Callable[[], object]) -> None:
    with client.responses.stream(**RESPONSES) as stream:
        for _ in stream:
            see()


READERS = [read_chat, read_chat_helper, read_responses, read_responses_helper, read_streaming_response]
READERS_NOW = [read_chat_now, read_chat_helper_now, read_responses_now, read_responses_helper_now]
LIMITS = pytest.mark.parametrize(
    ("limits", "limit", "seconds", "events", "ended_at"),
    [
        ({"first_token": 2}, "first_token", 2, 0, 2),
        ({"between_tokens": 2}, "between_tokens", 2, 1, 5),
        ({"first_token": 3.5, "between_tokens": 2}, "between_tokens", 2, 1, 5),
        ({"first_token": 2, "between_tokens": 9}, "first_token", 2, 0, 2),
        ({"total": 7}, "total", 7, 2, 7),
        ({"total": 7, "first_token": 4, "between_tokens": 4}, "total", 7, 2, 7),
    ],
)


@LIMITS
@pytest.mark.parametrize("read", READERS)
async def test_a_stream_is_ended_at_the_limit_it_reaches(
    read: Any, limits: dict[str, float], limit: str, seconds: float, events: int, ended_at: float
) -> None:
    fake = FakeOpenAI(delay=3)
    client, _, records = clients(fake, Timeouts(**limits))
    seen: list[None] = []
    with virtual_time() as clock, pytest.raises(openai.APITimeoutError) as caught:
        await read(client, lambda: seen.append(None))
    check(caught.value, limit, seconds, records)
    assert (len(seen), clock.monotonic(), fake.open_streams) == (events, ended_at, 0)


@LIMITS
@pytest.mark.parametrize("read", READERS_NOW)
def test_a_sync_stream_is_ended_at_the_limit_it_reaches(
    read: Any, limits: dict[str, float], limit: str, seconds: float, events: int, ended_at: float
) -> None:
    fake = FakeOpenAI(delay=3)
    _, client, records = clients(fake, Timeouts(**limits))
    seen: list[None] = []
    with virtual_time() as clock, pytest.raises(openai.APITimeoutError) as caught:
        read(client, lambda: seen.append(None))
    check(caught.value, limit, seconds, records)
    assert (len(seen), clock.monotonic(), fake.open_streams) == (events, ended_at, 0)


@pytest.mark.parametrize("read", READERS)
async def test_a_stream_in_time_is_whole(read: Any) -> None:
    fake = FakeOpenAI(delay=3)
    client, _, records = clients(fake, Timeouts(total=1000, first_token=4, between_tokens=4))
    with virtual_time():
        await read(client, lambda: None)
    assert [(record.error, record.complete) for record in records] == [(None, True)]
    assert fake.open_streams == 0


@pytest.mark.parametrize("read", READERS_NOW)
def test_a_sync_stream_in_time_is_whole(read: Any) -> None:
    fake = FakeOpenAI(delay=3)
    _, client, records = clients(fake, Timeouts(total=1000, first_token=4, between_tokens=4))
    with virtual_time():
        read(client, lambda: None)
    assert [(record.error, record.complete) for record in records] == [(None, True)]


async def test_the_time_a_reader_takes_counts_for_the_whole_call_only() -> None:
    client, sync_client, records = clients(FakeOpenAI(delay=1), Timeouts(first_token=2, between_tokens=2))
    with virtual_time() as clock:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        clock.advance(60)
        async for _ in stream:
            clock.advance(60)
        for _ in sync_client.chat.completions.create(**CHAT, stream=True):
            clock.advance(60)
    assert [record.complete for record in records] == [True, True]
    client, _, records = clients(FakeOpenAI(delay=1), Timeouts(total=30))
    with virtual_time() as clock:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        await anext(stream)
        clock.advance(60)
        with pytest.raises(CallTimeout) as caught:
            await anext(stream)
    check(caught.value, "total", 30, records)
    assert stream.response.is_closed


async def test_opening_a_stream_is_part_of_the_wait_for_its_first_event() -> None:
    fake = FakeOpenAI(delay=1)
    client, _, records = clients(fake, Timeouts(first_token=2), waits(1.5))
    with virtual_time() as clock, pytest.raises(CallTimeout) as caught:
        await read_chat(client, lambda: None)
    check(caught.value, "first_token", 2, records)
    assert clock.monotonic() == 2
    client, _, records = clients(fake, Timeouts(first_token=2), waits(3))
    with virtual_time(), pytest.raises(CallTimeout) as caught:
        await client.chat.completions.create(**CHAT, stream=True)
    check(caught.value, "first_token", 2, records)
    client, _, records = clients(fake, Timeouts(first_token=3), waits(1.5))
    with virtual_time():
        await read_chat(client, lambda: None)
    assert records[0].complete


async def test_a_limit_further_out_holds_for_a_stream_that_one_further_in_lets_pass() -> None:
    for limits, limit, seconds in (({"total": 5}, "total", 5), ({"between_tokens": 2}, "between_tokens", 2)):
        client, sync_client, records = clients(FakeOpenAI(delay=3), Timeouts(**limits), Timeouts(between_tokens=9))
        with virtual_time(), pytest.raises(CallTimeout) as caught:
            await read_chat(client, lambda: None)
        check(caught.value, limit, seconds, records)
        records.clear()
        with virtual_time(), pytest.raises(CallTimeout) as caught:
            read_chat_now(sync_client, lambda: None)
        check(caught.value, limit, seconds, records)


async def test_a_stream_left_early_is_no_timeout() -> None:
    fake = FakeOpenAI(delay=1)
    client, sync_client, records = clients(fake, Timeouts(total=9))
    with virtual_time():
        async with await client.chat.completions.create(**CHAT, stream=True) as stream:
            await anext(stream)
        with sync_client.chat.completions.create(**CHAT, stream=True) as sync_stream:
            next(sync_stream)
    assert [(record.error, record.complete) for record in records] == [(None, False)] * 2
    assert fake.open_streams == 0


async def test_an_error_of_a_stream_comes_out_as_it_is() -> None:
    client, sync_client, records = clients(
        FakeOpenAI().drop("Hello", after=2).drop("Hello", after=2), Timeouts(total=9)
    )
    with pytest.raises(openai.APIConnectionError) as caught:
        await read_chat(client, lambda: None)
    assert not isinstance(caught.value, CallTimeout)
    with pytest.raises(openai.APIConnectionError) as caught:
        read_chat_now(sync_client, lambda: None)
    assert not isinstance(caught.value, CallTimeout)
    assert [record.error for record in records] == ["APIConnectionError"] * 2


# --- what a sync client asks of its connection


ANSWER = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
    }
).encode()


def sent_timeouts(*layers: Any, timeout: Any, stream: bool = False) -> tuple[Any, Any]:
    """The timeouts of a request when it was sent and when its body was read."""
    body: list[Any] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        sent.append(dict(request.extensions["timeout"]))

        def pieces() -> Iterator[bytes]:
            body.append(request.extensions["timeout"])
            yield chat("Hello", finish="stop") if stream else ANSWER

        kind = "text/event-stream" if stream else "application/json"
        return httpx2.Response(200, headers={"content-type": kind}, content=pieces())

    sent: list[Any] = []
    http_client = httpx2.Client(transport=httpx2.MockTransport(handle))
    client = llmkit.OpenAI(api_key="sk-fake", http_client=http_client, timeout=timeout, middleware=layers)
    with virtual_time():
        if stream:
            list(client.chat.completions.create(**CHAT, stream=True))
        else:
            client.chat.completions.create(**CHAT)
    return sent[0], body[0]


def parts(connect: float | None, read: float | None, write: float | None, pool: float | None) -> Any:
    return {"connect": connect, "read": read, "write": write, "pool": pool}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (600.0, parts(8, 8, 8, 8)),
        (None, parts(8, 8, 8, 8)),
        (5.0, parts(5, 5, 5, 5)),
        (httpx2.Timeout(600.0, connect=3.0), parts(3, 8, 8, 8)),
    ],
)
def test_a_sync_request_has_no_longer_than_what_is_left(given: Any, sent: Any) -> None:
    assert sent_timeouts(Timeouts(total=10), waits(2), timeout=given)[0] == sent


@pytest.mark.parametrize(
    ("limits", "sent", "reads"),
    [
        ({"total": 10}, 8, 8),
        ({"first_token": 3}, 1, 600),
        ({"first_token": 3, "between_tokens": 5}, 1, 5),
        ({"first_token": 9, "between_tokens": 5}, 7, 7),
        ({"between_tokens": 5}, 600, 600),
        ({"total": 4, "first_token": 3, "between_tokens": 5}, 1, 2),
    ],
)
def test_a_sync_stream_may_read_as_long_as_any_of_its_events_may_take(
    limits: dict[str, float], sent: float, reads: float
) -> None:
    when_sent, when_read = sent_timeouts(Timeouts(**limits), waits(2), timeout=600.0, stream=True)
    assert (when_sent["read"], when_read["read"]) == (sent, reads)


def test_a_sync_stream_without_any_timeout_is_given_none_for_events_without_a_limit() -> None:
    assert sent_timeouts(Timeouts(first_token=3), timeout=None, stream=True)[1]["read"] is None


def test_limits_further_out_lower_the_reads_of_a_sync_stream_too() -> None:
    layers = (Timeouts(total=4), Timeouts(between_tokens=5))
    when_sent, when_read = sent_timeouts(*layers, timeout=600.0, stream=True)
    assert (when_sent["read"], when_read["read"]) == (4, 4)


# --- over real sockets


def stall(*first: bytes) -> Behaviour:
    """Answer with these events, or not at all, and fall silent."""

    def behave(connection: Connection) -> None:
        if first:
            connection.send(CHUNKED)
        for part in first:
            connection.chunk(part)
        connection.wait_for_the_client_to_leave()
        connection.socket.close()

    return behave


def left(server: Server) -> bool:
    """Whether the client closes every connection it opened."""
    return all(connection.hung_up.wait(20) for connection in server.connections)


def options_for(server: Server, records: list[CallRecord], *layers: Any) -> Any:
    stack = [UsageLog(sinks=[records.append]), *layers]
    return {"api_key": "sk-fake", "base_url": server.base_url, "middleware": stack, "timeout": 60}


def busy(client: Any) -> list[Any]:
    connections = client._client._transport._pool.connections
    return [found for found in connections if not found.is_idle() and not found.is_closed()]


@BOTH_LOOPS
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("limits", [{"total": 0.1}, {"total": 60, "first_token": 0.1}], ids=["total", "first_token"])
async def test_a_silent_server_is_left_and_its_connection_closed(limits: dict[str, float], stream: bool) -> None:
    records: list[CallRecord] = []
    limits = limits if stream else {"total": 0.1}
    with serving(stall()) as server:
        async with llmkit.AsyncOpenAI(**options_for(server, records, Timeouts(**limits))) as client:
            with pytest.raises(CallTimeout) as caught:
                await client.chat.completions.create(**CHAT, stream=stream)
            check(caught.value, next(name for name, value in limits.items() if value == 0.1), 0.1, records)
            assert busy(client) == []
            assert await anyio.to_thread.run_sync(left, server)


STARTED = {"chat": chat("Hello"), "responses": next(response(["Hello"], finished=False))}


@BOTH_LOOPS
@pytest.mark.parametrize("api", STARTED)
@pytest.mark.parametrize("limit", ["total", "between_tokens"])
async def test_a_stream_that_falls_silent_is_left_and_its_connection_closed(limit: Any, api: str) -> None:
    records: list[CallRecord] = []
    with serving(stall(STARTED[api])) as server:
        async with llmkit.AsyncOpenAI(**options_for(server, records, Timeouts(**{limit: 0.2}))) as client:
            seen: list[None] = []
            with pytest.raises(CallTimeout) as caught:
                await {"chat": read_chat, "responses": read_responses}[api](client, lambda: seen.append(None))
            check(caught.value, limit, 0.2, records)
            assert len(seen) == 1 or limit == "total"
            assert busy(client) == []
            assert await anyio.to_thread.run_sync(left, server)


@pytest.mark.parametrize("stream", [False, True])
def test_a_sync_client_leaves_a_silent_server(stream: bool) -> None:
    records: list[CallRecord] = []
    limits = {"first_token": 0.1} if stream else {"total": 0.1}
    with serving(stall()) as server:
        with llmkit.OpenAI(**options_for(server, records, Timeouts(**limits), Retry())) as client:
            with pytest.raises(CallTimeout) as caught:
                client.chat.completions.create(**CHAT, stream=stream)
            check(caught.value, *limits.popitem(), records)
            assert busy(client) == []
        assert left(server)


@pytest.mark.parametrize(
    ("limits", "limit"),
    [({"total": 0.2}, "total"), ({"first_token": 0.5, "between_tokens": 0.1}, "between_tokens")],
)
def test_a_sync_stream_that_falls_silent_is_left(limits: dict[str, float], limit: str) -> None:
    records: list[CallRecord] = []
    with serving(stall(chat("Hello"))) as server:
        with llmkit.OpenAI(**options_for(server, records, Timeouts(**limits))) as client:
            with pytest.raises(CallTimeout) as caught:
                read_chat_now(client, lambda: None)
            check(caught.value, limit, limits[limit], records)
            assert busy(client) == []
        assert left(server)


def test_an_event_that_comes_too_late_ends_a_sync_stream() -> None:
    class Late(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield chat("Hello")
            clock.advance(3)  # a read that nothing interrupts
            yield chat("there")

    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Late())

    http_client = httpx2.Client(transport=httpx2.MockTransport(handle))
    client = llmkit.OpenAI(api_key="sk-fake", http_client=http_client, middleware=[Timeouts(between_tokens=2)])
    seen: list[None] = []
    with virtual_time() as clock, pytest.raises(CallTimeout) as caught:
        read_chat_now(client, lambda: seen.append(None))
    assert (caught.value.limit, len(seen)) == ("between_tokens", 1)


async def test_the_clients_own_shorter_timeout_stays_the_sdks_own_error() -> None:
    for fail in (httpx2.ReadTimeout("slow"), httpx2.ConnectTimeout("slow")):
        client, sync_client, records = clients(FakeOpenAI().fail(fail).fail(fail), Timeouts(total=60), max_retries=0)
        with pytest.raises(openai.APITimeoutError) as caught:
            await client.chat.completions.create(**CHAT)
        assert type(caught.value) is openai.APITimeoutError
        with pytest.raises(openai.APITimeoutError) as caught:
            sync_client.chat.completions.create(**CHAT)
        assert type(caught.value) is openai.APITimeoutError
        assert [record.error for record in records] == ["APITimeoutError"] * 2


# --- cancellation


@BOTH_LOOPS
@pytest.mark.parametrize("started", [False, True])
async def test_a_users_own_deadline_stays_the_users(started: bool) -> None:
    records: list[CallRecord] = []
    with serving(stall(*([chat("Hello")] if started else []))) as server:
        layer = Timeouts(total=60, first_token=60, between_tokens=60)
        async with llmkit.AsyncOpenAI(**options_for(server, records, layer)) as client:
            with pytest.raises(TimeoutError), anyio.fail_after(0.1):
                await read_chat(client, lambda: None)
            assert busy(client) == []
            assert await anyio.to_thread.run_sync(left, server)
    assert [record.error for record in records] in (["CancelledError"], ["Cancelled"])
    assert records[0].failures == []


async def test_asyncio_timeout_and_cancel_work_around_and_inside_a_limit() -> None:
    records: list[CallRecord] = []
    with serving(stall(chat("Hello"))) as server:
        async with llmkit.AsyncOpenAI(**options_for(server, records, Timeouts(between_tokens=60))) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await read_chat(client, lambda: None)
            arrived = asyncio.Event()
            task = asyncio.create_task(read_chat(client, arrived.set))
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert task.cancelled()
        async with llmkit.AsyncOpenAI(**options_for(server, records, Timeouts(between_tokens=0.1))) as client:
            with pytest.raises(CallTimeout):
                async with asyncio.timeout(60):
                    await read_chat(client, lambda: None)
        current = asyncio.current_task()
        assert current is not None
        assert current.cancelling() == 0
    assert [record.error for record in records] == ["CancelledError", "CancelledError", "CallTimeout"]


async def test_a_users_timeout_below_is_no_limit_of_ours() -> None:
    async def impatient(request: Request, call_next: CallNext) -> Any:
        with anyio.fail_after(0.05):
            return await call_next(request)

    records: list[CallRecord] = []
    with serving(stall()) as server:
        async with llmkit.AsyncOpenAI(**options_for(server, records, Timeouts(total=60), impatient)) as client:
            with pytest.raises(TimeoutError):
                await client.chat.completions.create(**CHAT)
    assert [record.error for record in records] == ["TimeoutError"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # trio's, of the SDK's own generators
@BOTH_LOOPS
async def test_calls_at_the_same_time_have_their_own_limits() -> None:
    def behave(connection: Connection) -> None:
        connection.send(CHUNKED)
        if len(server.connections) == 1:
            connection.chunk(chat("Hello"))
            connection.wait_for_the_client_to_leave()
        else:  # all at once, so that no machine is too slow for it
            connection.chunk(chat("Hello") + chat(finish="stop") + b"data: [DONE]\n\n")
        connection.socket.close()

    records: list[CallRecord] = []
    with serving(behave) as server:
        layer = Timeouts(between_tokens=0.2, total=60)
        async with llmkit.AsyncOpenAI(**options_for(server, records, layer)) as client:
            arrived = anyio.Event()

            async def stalls() -> None:
                with pytest.raises(CallTimeout):
                    await read_chat(client, arrived.set)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(stalls)
                await arrived.wait()
                for _ in range(3):
                    tasks.start_soon(read_chat, client, lambda: None)
    assert sorted(record.error or "" for record in records) == ["", "", "", "CallTimeout"]


# --- the error and the constructor


def test_the_error_is_what_it_says_and_can_be_pickled() -> None:
    error = CallTimeout("first_token", 2.5, httpx2.Request("POST", "https://api.openai.com/v1/"))
    error.add_note("a note")
    assert repr(error) == "CallTimeout('Timed out: Timeouts(first_token=2.5) allows 2.5 seconds.')"
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), copied.limit, copied.seconds, str(copied)) == (CallTimeout, "first_token", 2.5, str(error))
    assert (str(copied.request.url), copied.code, copied.__notes__) == ("https://api.openai.com/v1/", None, ["a note"])


async def test_the_error_names_the_client_that_was_asked_and_has_nothing_of_the_request() -> None:
    client, _, _ = clients(FakeOpenAI(delay=3), Timeouts(total=2))
    with virtual_time(), pytest.raises(CallTimeout) as caught:
        await client.chat.completions.create(**CHAT)
    assert str(caught.value.request.url) == "https://fake.openai.test/v1/"
    assert caught.value.request.content == b""
    assert "authorization" not in caught.value.request.headers


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({}, "limits nothing"),
        ({"total": 0}, "total=0 must be a number of seconds above 0"),
        ({"first_token": -1.0}, "first_token=-1.0 must be"),
        ({"between_tokens": float("nan")}, "between_tokens=nan must be"),
        ({"total": float("inf")}, "total=inf must be"),
    ],
)
def test_impossible_limits_are_refused(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Timeouts(**limits)


async def test_a_stream_in_memory_is_limited_too() -> None:
    """A response that a hook has read: its events come at once, and only the reader's time can be too long."""

    async def read(given: Any) -> None:
        await given.aread()

    async def pieces() -> AsyncIterator[bytes]:
        yield chat("Hello") + chat("there", finish="stop")

    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=pieces())

    http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(handle), event_hooks={"response": [read]})
    client = llmkit.AsyncOpenAI(api_key="sk-fake", http_client=http_client, middleware=[Timeouts(total=2)])
    with virtual_time() as clock, pytest.raises(CallTimeout):
        await read_chat(client, lambda: clock.advance(3))
