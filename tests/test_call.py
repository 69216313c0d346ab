"""What middleware can change of a call, and what it sees of the server's answers."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from surfaces import CHAT

import llmkit
from llmkit import CallNext, CallRecord, MiddlewareError, Request, UsageLog, wrap
from llmkit.testing import FakeOpenAI


def changing(**changes: Any) -> Any:
    async def change(request: Request, call_next: CallNext) -> Any:
        return await call_next(request.replace(**changes))

    return change


async def test_a_layer_sees_the_calls_own_headers_and_may_change_them() -> None:
    seen: list[Any] = []

    async def sign(request: Request, call_next: CallNext) -> Any:
        seen.append(dict(request.headers))
        return await call_next(request.replace(headers={**request.headers, "x-signature": "s"}))

    fake = FakeOpenAI()
    client = fake.async_client(middleware=[sign])
    await client.chat.completions.create(**CHAT, extra_headers={"x-trace": "t", "user-agent": openai.omit})
    await client.chat.completions.create(**CHAT)
    await client.chat.completions.with_raw_response.create(**CHAT)
    assert seen == [{"x-trace": "t"}, {}, {"X-Stainless-Raw-Response": "true"}]
    assert (fake.requests[0].headers["x-trace"], fake.requests[0].headers["x-signature"]) == ("t", "s")
    assert "openai" not in fake.requests[0].headers.get("user-agent", "").lower()
    assert "OpenAI" in fake.requests[1].headers["user-agent"]


async def test_a_layer_sees_the_timeout_and_may_change_it() -> None:
    seen: list[Any] = []
    sent: list[Any] = []

    async def hurry(request: Request, call_next: CallNext) -> Any:
        seen.append(request.timeout)
        return await call_next(request.replace(timeout=3.0))

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.extensions["timeout"])
        return httpx2.Response(200, json={"object": "list", "data": []})

    transport = httpx2.MockTransport(answer)
    client = llmkit.AsyncOpenAI(
        api_key="sk-fake", timeout=9, http_client=httpx2.AsyncClient(transport=transport), middleware=[hurry]
    )
    await client.models.list()
    await client.models.list(timeout=5)
    await client.models.list(timeout=None)
    assert seen == [9, 5, None]
    assert sent == [dict.fromkeys(("connect", "read", "write", "pool"), 3.0)] * 3


@pytest.mark.parametrize("stream", [False, True])
async def test_a_layer_may_send_the_call_by_another_client(stream: bool) -> None:
    records: list[CallRecord] = []
    theirs: list[CallRecord] = []
    first, second = FakeOpenAI(), FakeOpenAI().reply("from afar")
    other = wrap(
        openai.AsyncOpenAI(
            api_key="sk-other", base_url="http://elsewhere.test/v1", http_client=second.async_http_client()
        ),
        middleware=[UsageLog(sinks=[theirs.append])],
    )
    client = first.async_client(middleware=[UsageLog(sinks=[records.append]), changing(client=other, model="m-2")])
    answer: Any = await client.chat.completions.create(**CHAT, stream=stream)
    if stream:
        assert "".join([chunk.choices[0].delta.content or "" async for chunk in answer]) == "from afar"
    else:
        assert answer.choices[0].message.content == "from afar"
    (request,) = second.requests
    assert first.requests == []
    assert (request.headers["authorization"], request.body["model"]) == ("Bearer sk-other", "m-2")
    assert (records[0].attempts, records[0].complete, records[0].model) == (1, True, CHAT["model"])
    assert theirs == []


def test_a_sync_call_may_be_sent_by_another_sync_client() -> None:
    second = FakeOpenAI().reply("from afar")
    client = FakeOpenAI().client(middleware=[changing(client=second.client(middleware=[]))])
    assert client.chat.completions.create(**CHAT).choices[0].message.content == "from afar"


@pytest.mark.parametrize("other", [FakeOpenAI().client(), openai.AsyncOpenAI(api_key="sk-fake"), "a client"])
async def test_another_client_must_be_of_the_same_kind_and_have_a_stack(other: Any) -> None:
    client = FakeOpenAI().async_client(middleware=[changing(client=other)])
    with pytest.raises(MiddlewareError, match=r"wrap|async"):
        await client.chat.completions.create(**CHAT)


async def test_the_headers_of_the_last_answer_are_there_for_the_layers() -> None:
    seen: list[Any] = []

    async def look(request: Request, call_next: CallNext) -> Any:
        try:
            return await call_next(request)
        finally:
            seen.append(request.record.headers.get("x-request-id"))

    answers = iter(
        [
            httpx2.Response(500, headers={"x-request-id": "req_1"}),
            httpx2.Response(200, headers={"x-request-id": "req_2"}, json={"object": "list", "data": []}),
            httpx2.ConnectError("refused"),
        ]
    )

    def answer(request: httpx2.Request) -> httpx2.Response:
        given = next(answers)
        if isinstance(given, Exception):
            raise given
        return given

    http = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    client = llmkit.AsyncOpenAI(api_key="sk-fake", http_client=http, middleware=[look], max_retries=0)
    for _ in range(3):
        try:
            await client.models.list()
        except openai.APIError:
            continue
    assert seen == ["req_1", "req_2", None]


async def test_a_call_inside_a_call_counts_its_own_attempts_only() -> None:
    records: list[CallRecord] = []
    inner = FakeOpenAI().async_client(middleware=[UsageLog(sinks=[records.append])])

    async def asks_first(request: Request, call_next: CallNext) -> Any:
        await inner.chat.completions.create(**CHAT)
        return await call_next(request)

    outer = FakeOpenAI().async_client(middleware=[UsageLog(sinks=[records.append]), asks_first])
    await outer.chat.completions.create(**CHAT)
    assert [record.attempts for record in records] == [1, 1]


async def test_a_plain_client_as_key_provider_inside_an_attempt_is_not_counted() -> None:
    records: list[CallRecord] = []
    keys = FakeOpenAI().async_client(middleware=[])

    async def key() -> str:
        await keys.models.list()
        return "sk-fetched"

    fake = FakeOpenAI()
    client = llmkit.AsyncOpenAI(
        api_key=key,
        base_url=fake.base_url,
        http_client=fake.async_http_client(),
        middleware=[UsageLog(sinks=[records.append])],
    )
    await client.chat.completions.create(**CHAT)
    assert fake.requests[0].headers["authorization"] == "Bearer sk-fetched"
    assert records[0].attempts == 1


async def test_a_password_in_the_base_url_is_not_in_the_record() -> None:
    records: list[CallRecord] = []
    fake = FakeOpenAI(base_url="https://me:secret@fake.test/v1").error(500)
    client = fake.async_client(middleware=[UsageLog(sinks=[records.append])], max_retries=0)
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(**CHAT)
    assert records[0].failures[0].base_url == "https://fake.test/v1/"
    assert records[0].operation == "chat.completions"
