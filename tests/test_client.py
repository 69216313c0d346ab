from __future__ import annotations

import inspect
import typing
from typing import Any

import httpx as legacy
import httpx2
import openai
import pytest
from openai.lib.bedrock import AsyncBedrockOpenAI
from surfaces import CHAT

import llmkit
from llmkit import CallNext, CallRecord, Request, Retry, UsageLog
from llmkit.client import AzureOptions, ClientOptions
from llmkit.testing import FakeOpenAI

PAIRS: Any = [
    (llmkit.AsyncOpenAI, openai.AsyncOpenAI),
    (llmkit.OpenAI, openai.OpenAI),
    (llmkit.AsyncAzureOpenAI, openai.AsyncAzureOpenAI),
    (llmkit.AzureOpenAI, openai.AzureOpenAI),
]


class Counter:
    def __init__(self) -> None:
        self.operations: list[str] = []

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        self.operations.append(request.operation)
        return await call_next(request)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_a_client_is_the_sdks_with_two_more_arguments(ours: Any, theirs: Any) -> None:
    assert ours.__mro__[1] is theirs
    assert ours.__name__ == theirs.__name__
    for name in ("__init__", "copy", "with_options"):
        given = list(inspect.signature(getattr(theirs, name)).parameters)
        added = ["middleware", "transport"] if name == "__init__" else ["middleware"]
        assert list(inspect.signature(getattr(ours, name)).parameters) == [*given, *added]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
def test_the_typed_arguments_are_all_the_sdks(ours: Any, theirs: Any) -> None:
    typed = AzureOptions if "Azure" in theirs.__name__ else ClientOptions
    assert set(typed.__annotations__) == set(inspect.signature(theirs.__init__).parameters) - {"self"}


def test_a_wrong_argument_is_the_sdks_type_error() -> None:
    with pytest.raises(TypeError, match="api_kee"):
        llmkit.AsyncOpenAI(api_kee="sk-fake")  # type: ignore[call-arg]


def test_no_key_is_the_sdks_error_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_ADMIN_KEY", raising=False)
    with pytest.raises(openai.OpenAIError, match="OPENAI_API_KEY"):
        llmkit.AsyncOpenAI()


async def test_the_default_stack_logs_and_retries(capsys: pytest.CaptureFixture[str]) -> None:
    fake = FakeOpenAI().error(500, headers={"retry-after-ms": "1"}).reply("ok")
    await fake.async_client().chat.completions.create(**CHAT)
    assert "OpenAI tokens: prompt=" in capsys.readouterr().err
    assert len(fake.requests) == 2


async def test_every_client_has_a_default_stack_of_its_own() -> None:
    first, second = llmkit.AsyncOpenAI(api_key="sk-fake"), llmkit.AsyncOpenAI(api_key="sk-fake")
    assert first._llmkit.middleware[0] is not second._llmkit.middleware[0]  # type: ignore[attr-defined]


async def test_copies_of_copies_keep_the_stack_and_can_be_given_another() -> None:
    fake, seen, other = FakeOpenAI(), Counter(), Counter()
    client = fake.async_client(middleware=[seen])
    await client.copy().with_options(timeout=3).chat.completions.create(**CHAT)
    replaced: Any = client.with_options
    await replaced(middleware=[other]).chat.completions.create(**CHAT)
    await client.chat.completions.create(**CHAT)
    assert (len(seen.operations), len(other.operations)) == (2, 1)


async def test_subclasses_of_a_client_are_clients() -> None:
    class Mine(llmkit.AsyncOpenAI):
        pass

    fake, seen = FakeOpenAI(), Counter()
    client = Mine(api_key="sk-fake", http_client=fake.async_http_client(), middleware=[seen])
    assert isinstance(client.copy(), Mine)
    await client.copy().chat.completions.create(**CHAT)
    assert seen.operations == ["chat.completions"]


async def test_wrap_leaves_the_original_as_it_was_and_shares_its_pool() -> None:
    fake, seen = FakeOpenAI(), Counter()
    raw = openai.AsyncOpenAI(api_key="sk-fake", base_url=fake.base_url, http_client=fake.async_http_client())
    client = llmkit.wrap(raw, middleware=[seen])
    await raw.chat.completions.create(**CHAT)
    await client.with_options(timeout=1).chat.completions.create(**CHAT)
    assert seen.operations == ["chat.completions"]
    assert type(raw) is openai.AsyncOpenAI
    assert type(client) is llmkit.AsyncOpenAI
    assert client._client is raw._client


async def test_wrap_takes_subclasses_the_users_and_the_sdks() -> None:
    class Mine(openai.AsyncOpenAI):
        def hello(self) -> str:
            return "hello"

    fake, seen = FakeOpenAI(), Counter()
    mine = Mine(api_key="sk-fake", base_url=fake.base_url, http_client=fake.async_http_client())
    wrapped = llmkit.wrap(mine, middleware=[seen])
    assert wrapped.hello() == "hello"
    assert isinstance(wrapped.with_options(timeout=1), Mine)
    await wrapped.with_options(timeout=1).chat.completions.create(**CHAT)
    bedrock = AsyncBedrockOpenAI(
        api_key="bedrock-fake", base_url="https://fake.bedrock.test/v1", http_client=fake.async_http_client()
    )
    wrapped_bedrock = llmkit.wrap(bedrock, middleware=[seen])
    assert isinstance(wrapped_bedrock, AsyncBedrockOpenAI)
    await wrapped_bedrock.copy().chat.completions.create(**CHAT)
    assert seen.operations == ["chat.completions"] * 2
    assert type(llmkit.wrap(mine)) is type(wrapped)


async def test_wrap_takes_subclasses_with_a_constructor_of_their_own() -> None:
    class Tenant(openai.OpenAI):
        def __init__(self, tenant: str = "none", **options: Any) -> None:
            super().__init__(**options)
            self.tenant = tenant

        def copy(self, **options: Any) -> Any:
            copied = super().copy(**options)
            copied.tenant = self.tenant
            return copied

        with_options = copy

    fake, seen = FakeOpenAI(), Counter()
    raw = Tenant("acme", api_key="sk-fake", base_url=fake.base_url, http_client=fake.http_client())
    wrapped = llmkit.wrap(raw, middleware=[seen]).with_options(timeout=3)
    wrapped.chat.completions.create(**CHAT)
    assert wrapped.tenant == "acme"
    accepted = list(inspect.signature(type(wrapped).__init__).parameters)
    assert accepted == ["self", "tenant", "middleware", "transport", "options"]
    assert seen.operations == ["chat.completions"]


async def test_a_class_may_inherit_from_llmkit_and_from_its_own_sdk_subclass() -> None:
    class Corp(openai.OpenAI):
        def __init__(self, *, tenant: str, **options: Any) -> None:
            super().__init__(**options)
            self.tenant = tenant

    class CorpKit(llmkit.OpenAI, Corp):
        pass

    fake, seen = FakeOpenAI(), Counter()
    client: Any = CorpKit(tenant="acme", api_key="sk-fake", http_client=fake.http_client(), middleware=[seen])  # type: ignore[call-arg]
    client.chat.completions.create(**CHAT)
    assert client.tenant == "acme"
    assert seen.operations == ["chat.completions"]


async def test_wrap_gives_a_wrapped_client_another_stack() -> None:
    fake, first, second = FakeOpenAI(), Counter(), Counter()
    client = llmkit.wrap(fake.async_client(middleware=[first]), middleware=[second])
    await client.chat.completions.create(**CHAT)
    assert (first.operations, second.operations) == ([], ["chat.completions"])


@pytest.mark.parametrize("given", [None, "client", openai.AsyncOpenAI])
def test_wrap_refuses_what_is_no_client(given: Any) -> None:
    with pytest.raises(TypeError, match=r"wrap\(\) takes a client"):
        llmkit.wrap(given)


def test_wrap_refuses_bad_middleware() -> None:
    with pytest.raises(llmkit.InvalidMiddleware):
        llmkit.wrap(openai.AsyncOpenAI(api_key="sk-fake"), middleware=[Retry])  # type: ignore[list-item]


async def test_wrapping_keeps_the_retries_of_the_client() -> None:
    fake = FakeOpenAI()
    for _ in range(9):
        fake.error(500, headers={"retry-after-ms": "1"})
    raw = openai.AsyncOpenAI(
        api_key="sk-fake", base_url=fake.base_url, http_client=fake.async_http_client(), max_retries=0
    )
    with pytest.raises(openai.InternalServerError):
        await llmkit.wrap(raw, middleware=[Retry(max_retries=5)]).chat.completions.create(**CHAT)
    assert len(fake.requests) == 1


def test_the_user_agent_and_headers_are_the_sdks() -> None:
    def headers(client: openai.AsyncOpenAI) -> dict[str, str]:
        return {name: value for name, value in client.default_headers.items() if isinstance(value, str)}

    ours, theirs = llmkit.AsyncOpenAI(api_key="sk-fake"), openai.AsyncOpenAI(api_key="sk-fake")
    assert headers(ours) == headers(llmkit.wrap(theirs)) == headers(theirs)


async def test_operations_are_named_after_their_endpoints() -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"data": [], "object": "list"})

    seen = Counter()
    client = llmkit.AsyncOpenAI(
        api_key="sk-fake", http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(handle)), middleware=[seen]
    )
    await client.models.retrieve("gpt-4o")
    await client.files.list()
    await client.files.delete("file-abc123")
    await client.chat.completions.retrieve("chatcmpl-1")
    await client.responses.input_tokens.count(model="gpt-5", input="hi")
    await client.fine_tuning.jobs.list_events("ftjob-1")
    await client.moderations.create(input="hi")
    await client.post("https://api.openai.com/v1/embeddings?x=1", cast_to=object, body={"input": "hi"})
    await client.get("https://other.test/v1/assistants/asst_abcXYZ", cast_to=object)
    await client.models.retrieve("davinci")
    await client.post("/own/thing", cast_to=object, body=["not", "an", "object"])
    assert seen.operations == [
        "models.get",
        "files.get",
        "files.delete",
        "chat.completions.get",
        "responses.input_tokens",
        "fine_tuning.jobs.events.get",
        "moderations",
        "embeddings",
        "assistants.get",
        "models.get",
        "own.thing",
    ]


async def test_a_page_is_a_call_and_the_next_page_another() -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        more = "after" not in request.url.params
        batch = {"id": "batch_1" if more else "batch_2", "object": "batch"}
        return httpx2.Response(200, json={"object": "list", "data": [batch], "has_more": more})

    records: list[CallRecord] = []
    client = llmkit.AsyncOpenAI(
        api_key="sk-fake",
        http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(handle)),
        middleware=[UsageLog(sinks=[records.append])],
    )
    assert [batch.id async for batch in client.batches.list()] == ["batch_1", "batch_2"]
    assert [record.operation for record in records] == ["batches.get", "batches.get"]


async def test_legacy_httpx_clients_stream_through_the_stack() -> None:
    body = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}\n\ndata: [DONE]\n\n'

    class Pieces(legacy.AsyncByteStream):
        async def __aiter__(self) -> Any:
            yield body

    def handle(request: Any) -> Any:
        return legacy.Response(200, headers={"content-type": "text/event-stream"}, stream=Pieces())

    records: list[CallRecord] = []
    http_client: Any = legacy.AsyncClient(transport=legacy.MockTransport(handle))
    client = llmkit.AsyncOpenAI(
        api_key="sk-fake", http_client=http_client, middleware=[UsageLog(sinks=[records.append])]
    )
    assert len([chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)]) == 1
    response = await client.post("/chat/completions", body=CHAT, cast_to=legacy.Response)
    assert response.status_code == 200
    assert [record.complete for record in records] == [True, True]
    await client.close()


def test_the_types_of_the_sdks_methods_are_the_users() -> None:
    hints = typing.get_type_hints(openai.AsyncOpenAI.copy, include_extras=True)
    assert typing.get_type_hints(llmkit.AsyncOpenAI.copy, include_extras=True) == hints
