"""Never run: mypy and pyright, both strict, check every public signature here as a user would write it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, assert_type

import httpx2
import openai
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

import llmkit
from llmkit import (
    Allow,
    Budget,
    CallNext,
    CallRecord,
    Conversation,
    Deny,
    Edit,
    Final,
    Middleware,
    Request,
    Retry,
    Sink,
    Step,
    StructlogSink,
    ToolCall,
    ToolContext,
    ToolLoop,
    ToolRegistry,
    ToolResult,
    UsageLog,
    channel,
    coalesce,
    collect,
    run_tools,
    tags,
    to_sse,
    tool,
    wrap,
)
from llmkit.testing import FakeOpenAI, FakeRequest, VirtualClock, virtual_time


async def a_function_is_a_middleware(request: Request, call_next: CallNext) -> Any:
    assert_type(request.model, str | None)
    assert_type(request.operation, str)
    assert_type(request.replace(model="gpt-4o", body={"messages": []}), Request)
    await request.runtime.sleep(1)
    return await call_next(request)


class AnObjectIsAMiddleware:
    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        return await call_next(request)


def sink(record: CallRecord) -> None:
    assert_type(record.total_tokens, int | None)
    assert_type(record.finish_reasons, tuple[str, ...])


stack: list[Middleware] = [
    UsageLog(sinks=[StructlogSink(format="json"), sink], content=True),
    a_function_is_a_middleware,
    AnObjectIsAMiddleware(),
    Retry(max_retries=4, first_wait=0.5, max_wait=8),
]
a_sink: Sink = sink


async def fetch_key() -> str:
    return "sk-fake"


async def the_async_client_is_the_sdks() -> None:
    client = llmkit.AsyncOpenAI(
        api_key=fetch_key, base_url="https://x.test", max_retries=3, http_client=httpx2.AsyncClient(), middleware=stack
    )
    base: openai.AsyncOpenAI = client
    del base
    assert_type(client.with_options(timeout=3), llmkit.AsyncOpenAI)
    reply = await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
    assert_type(reply, ChatCompletion)
    stream = await client.chat.completions.create(model="gpt-4o", messages=[], stream=True)
    assert_type(stream, openai.AsyncStream[ChatCompletionChunk])
    assert_type(await client.responses.create(model="gpt-4o", input="hi"), Response)
    assert_type(await client.embeddings.create(model="e", input="hi"), CreateEmbeddingResponse)
    assert_type(wrap(client, middleware=[]), llmkit.AsyncOpenAI)
    assert_type(wrap(openai.AsyncOpenAI()), openai.AsyncOpenAI)


def the_other_clients_are_the_sdks() -> None:
    client = llmkit.OpenAI(api_key=lambda: "sk-fake", http_client=httpx2.Client(), middleware=stack)
    assert_type(client.chat.completions.create(model="gpt-4o", messages=[]), ChatCompletion)
    llmkit.AzureOpenAI(azure_endpoint="https://x.test", api_version="1", azure_ad_token_provider=lambda: "token")
    llmkit.AsyncAzureOpenAI(azure_deployment="d", api_key=fetch_key, middleware=stack)
    llmkit.AsyncOpenAI(api_kee="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def the_transport_is_one_word() -> None:
    llmkit.AsyncOpenAI(transport="aiohttp", middleware=stack)
    llmkit.AsyncAzureOpenAI(transport="http2")
    llmkit.OpenAI(transport="http2")
    llmkit.AzureOpenAI(transport="httpx")
    llmkit.AsyncOpenAI(transport="http3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    llmkit.OpenAI(transport="aiohttp")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def tags_keep_the_type_of_what_they_decorate() -> None:
    @tags(user="alice", number=3, fast=True)
    def plain(value: int) -> str:
        return str(value)

    @tags(feature="search")
    async def coroutine(value: int) -> str:
        return str(value)

    checked: Callable[[int], str] = plain
    checked_async: Callable[[int], Awaitable[str]] = coroutine
    del checked, checked_async
    with tags(user="alice"):
        assert_type(plain(3), str)


def the_testing_helpers() -> None:
    fake = FakeOpenAI(stream_chars=2, cut=[1, 2], delay=0.1).reply("hi").error(429, code="x").drop(after=2)
    assert_type(fake, FakeOpenAI)
    assert_type(fake.async_client(middleware=stack), llmkit.AsyncOpenAI)
    assert_type(fake.client(), llmkit.OpenAI)
    assert_type(fake.requests, list[FakeRequest])
    with virtual_time() as clock, fake.serve() as base_url:
        assert_type(clock, VirtualClock)
        assert_type(base_url, str)


@tool
async def get_weather(city: str, days: int = 3) -> str:
    """Current weather for a city."""
    return f"{city} {days}"


@tool(needs_approval=True, timeout=3)
def pay(amount: float, context: ToolContext[dict[str, int]]) -> bool:
    """Pay."""
    assert_type(context.dependencies, dict[str, int])
    return amount > 0


async def tools_keep_their_types() -> None:
    assert_type(await get_weather("Paris", days=1), str)
    await get_weather(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    tools = [get_weather, pay]
    registry = ToolRegistry(tools, approve=lambda call: call.name == "pay")
    assert_type(await registry.tool(get_weather, timeout=3)("x", 1), str)
    client = llmkit.AsyncOpenAI()
    reply = await client.chat.completions.create(model="m", messages=[], tools=registry.params)
    assert_type(await registry.run(reply), list[Any])
    await client.responses.create(model="m", input="hi", tools=registry.responses_params)
    Conversation(client, model="m", tools=tools)


async def steps_are_told_apart_by_their_type(client: llmkit.AsyncOpenAI) -> None:
    async for step in run_tools(client, model="m", input="hi", tools=[get_weather, pay], stream=True):
        assert_type(step, Step)
        if step.type == "tool_result":
            assert_type(step, ToolResult)
        elif step.type == "final":
            assert_type(step, Final)
        elif step.type == "waiting":
            assert_type(step.calls, tuple[ToolCall, ...])
    async with ToolLoop(client, model="m", messages=[], tools=ToolRegistry([pay])) as loop:
        await loop.submit({"call_1": Allow(), "call_2": Deny("no"), "call_3": Edit({"amount": 1})})


async def streams_keep_the_type_of_their_events(stream: openai.AsyncStream[ChatCompletionChunk]) -> None:
    assert_type(await collect(stream), ChatCompletion)
    async for chunk in coalesce(stream, tokens=5, seconds=0.1):
        assert_type(chunk, ChatCompletionChunk)
    async with channel(stream, maxsize=2) as chunks:
        async for chunk in chunks:
            assert_type(chunk, ChatCompletionChunk)
    async for data in to_sse(stream):
        assert_type(data, bytes)


def the_stack_for_production(azure: llmkit.AsyncAzureOpenAI, ring: llmkit.KeyRing) -> None:
    layers: list[Middleware] = [
        Budget(daily_usd="5", per=("user", "feature"), ledger=llmkit.SQLiteLedger("budget.db")),
        llmkit.Route(llmkit.Rule("gpt-4o-mini", max_input_tokens=500, tags={"feature": "chat"}), lambda request: None),
        llmkit.Fallback("gpt-4o-mini", azure, (azure, "my-deployment"), on=(429, openai.APIConnectionError)),
        llmkit.Timeouts(total=60, first_token=10, between_tokens=5),
        llmkit.CircuitBreaker(on=lambda error: isinstance(error, openai.APIError)),
        Retry(max_retries=4, deadline=45, retries_per_minute=100, retry_on={429, TimeoutError}),
        ring,
        llmkit.RateLimit(per="key", backend=llmkit.RedisBackend("redis://localhost", on_error="closed")),
        llmkit.batch_embeddings(window=0.002),
    ]
    llmkit.AsyncOpenAI(api_key=ring, middleware=layers)
    llmkit.OpenAI(api_key=llmkit.KeyRing.from_env("KEYS"), middleware=layers)
    llmkit.AsyncAzureOpenAI(api_key=llmkit.KeyRing.from_file("keys.txt"), api_version="2024-10-21")


async def errors_and_jobs(client: llmkit.AsyncOpenAI, plain: openai.OpenAI, record: CallRecord) -> None:
    assert_type(llmkit.explain(ValueError()), llmkit.Explanation)
    assert_type(record.failures, list[llmkit.FailedAttempt])
    assert_type(await llmkit.run_batch(client, [{}], state="job.json"), list[ChatCompletion | llmkit.FailedRequest])
    assert_type(
        llmkit.run_batch(plain, [{}], endpoint="/v1/responses", state="job.json"), list[Response | llmkit.FailedRequest]
    )


async def caches(client: llmkit.AsyncOpenAI, record: CallRecord) -> None:
    store = llmkit.SQLiteStore("cache.db")
    cache = llmkit.Cache(store, ttl=lambda request: 60.0 if request.model else None, per=("tenant",))
    layers: list[Middleware] = [
        cache,
        llmkit.SemanticCache(llmkit.RedisStore("redis://localhost"), embed=lambda text: [1.0], ttl=None),
    ]
    llmkit.AsyncOpenAI(middleware=layers)
    assert_type(cache.stats().saved_cost, Decimal)
    assert_type(cache.invalidate(tags={"feature": "faq"}), int)
    assert_type(record.similar, llmkit.SimilarQuestion | None)
    with llmkit.caching(ttl=60, read=False):
        assert_type(await llmkit.warm(client, [{"model": "m", "messages": []}]), llmkit.Warmed)


@llmkit.caching(write=False)
async def decorated(x: int) -> str:
    return str(x)


async def a_decorated_function_keeps_its_type() -> None:
    assert_type(await decorated(1), str)


async def usage_is_kept_and_priced(client: llmkit.AsyncOpenAI, record: CallRecord, reply: ChatCompletion) -> None:
    def notice(unusual: llmkit.Unusual) -> None:
        assert_type(unusual.sentence, str)

    sinks: list[Sink] = [
        llmkit.LedgerSink("usage.db", keep_days=90),
        llmkit.PostgresSink("postgresql://localhost/usage"),
        llmkit.AccessLog("access.jsonl"),
        llmkit.PrometheusSink(tags=["feature"], breakers=[llmkit.CircuitBreaker()]),
        llmkit.UnusualUsage(per=("user",), on_unusual=notice),
    ]
    layers: list[Middleware] = [llmkit.OpenTelemetry(metric_tags=["feature"]), UsageLog(sinks=sinks, cost=True)]
    llmkit.AsyncOpenAI(middleware=layers)
    assert_type(record.cost, Decimal | None)
    assert_type(record.outcome, llmkit.Outcome)
    assert_type(llmkit.cost(reply.usage, reply.model, service_tier=reply.service_tier, batch=True), Decimal | None)
    llmkit.register_price("mine", llmkit.Price(input="0.80", output=3, cached=Decimal("0.40")))
    with llmkit.track_usage() as used:
        assert_type(used.usage, llmkit.Usage)
    for call in llmkit.Ledger("usage.db").calls(since=0):
        assert_type(call, dict[str, Any])
