from __future__ import annotations

import asyncio
import contextvars
import gc
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from collector import collecting, values
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode
from surfaces import CHAT, MESSAGES, RESPONSES, Colour
from telemetry_sdk import Telemetry

import llmkit
from llmkit import Budget, Cache, Fallback, Retry, UsageLog
from llmkit.cache.memory import MemoryStore
from llmkit.errors import LLMKitError
from llmkit.middleware.open_telemetry import OpenTelemetry
from llmkit.testing import FakeOpenAI, virtual_time

CONVENTIONS = {
    "error.type",
    "gen_ai.conversation.id",
    "gen_ai.embeddings.dimension.count",
    "gen_ai.input.messages",
    "gen_ai.operation.name",
    "gen_ai.output.messages",
    "gen_ai.output.type",
    "gen_ai.provider.name",
    "gen_ai.request.choice.count",
    "gen_ai.request.encoding_formats",
    "gen_ai.request.frequency_penalty",
    "gen_ai.request.max_tokens",
    "gen_ai.request.model",
    "gen_ai.request.presence_penalty",
    "gen_ai.request.previous_response.id",
    "gen_ai.request.reasoning.level",
    "gen_ai.request.seed",
    "gen_ai.request.stop_sequences",
    "gen_ai.request.stream",
    "gen_ai.request.temperature",
    "gen_ai.request.top_k",
    "gen_ai.request.top_p",
    "gen_ai.response.finish_reasons",
    "gen_ai.response.id",
    "gen_ai.response.model",
    "gen_ai.response.time_to_first_chunk",
    "gen_ai.system_instructions",
    "gen_ai.token.type",
    "gen_ai.usage.audio.input_tokens",
    "gen_ai.usage.audio.output_tokens",
    "gen_ai.usage.cache_read.input_tokens",
    "gen_ai.usage.cache_write.input_tokens",
    "gen_ai.usage.image.input_tokens",
    "gen_ai.usage.image.output_tokens",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.reasoning.output_tokens",
    "http.response.status_code",
    "openai.api.type",
    "openai.request.service_tier",
    "openai.response.service_tier",
    "server.address",
    "server.port",
}
"""Attributes that the conventions know (open-telemetry/semantic-conventions-genai, and the general ones)."""
SECRET = "the-secret-prompt"
PRIVATE: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": SECRET}]}


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture(autouse=True)
def nothing_is_left_current(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert not trace.get_current_span().get_span_context().is_valid
    assert "detach" not in caplog.text


def client_of(fake: FakeOpenAI, telemetry: Telemetry, *layers: Any, **options: Any) -> llmkit.AsyncOpenAI:
    return fake.async_client(middleware=[telemetry.middleware(**options), *layers])


async def read(stream: Any) -> list[Any]:
    return [chunk async for chunk in stream]


# What a span says


async def test_a_call_is_one_span_by_the_conventions(telemetry: Telemetry) -> None:
    fake = FakeOpenAI(model="gpt-4o-2024-08-06").reply(
        "blue",
        usage={
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "total_tokens": 120,
            "prompt_tokens_details": {"cached_tokens": 64},
            "completion_tokens_details": {"reasoning_tokens": 8},
        },
    )
    client = client_of(fake, telemetry)
    with llmkit.tags(user="alice", beta=True):
        await client.chat.completions.create(model="gpt-4o", messages=MESSAGES, temperature=0.5)
    span = telemetry.span()
    assert (span.name, span.kind, span.status.status_code) == ("chat gpt-4o", SpanKind.CLIENT, StatusCode.UNSET)
    attributes = telemetry.attributes()
    assert attributes.pop("llmkit.cost") == pytest.approx(0.00037)
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": "chatcmpl-fake-1",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 64,
        "gen_ai.usage.reasoning.output_tokens": 8,
        "openai.api.type": "chat_completions",
        "openai.response.service_tier": "default",
        "server.address": "fake.openai.test",
        "server.port": 443,
        "llmkit.operation": "chat.completions",
        "llmkit.outcome": "ok",
        "llmkit.attempts": 1,
        "llmkit.request_id": "req_fake_1",
        "llmkit.tag.user": "alice",
        "llmkit.tag.beta": True,
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_no_text_and_no_key_is_told_unless_asked_for(telemetry: Telemetry, stream: bool) -> None:
    fake = FakeOpenAI().error(500, message=f"failed on {SECRET}").reply("the-secret-answer")
    client = fake.async_client(api_key="sk-secret-key", middleware=[telemetry.middleware(), Retry()])
    with virtual_time():
        answer: Any = await client.chat.completions.create(**PRIVATE, stream=stream)
        if stream:
            await read(answer)
    assert telemetry.calls() == 1
    for secret in (SECRET, "secret", "sk-"):
        assert secret not in telemetry.text()


async def test_failures_tell_nothing_of_what_the_server_quotes(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI().error(400, message=f"bad: {SECRET}", code="invalid_value"), telemetry)
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(**PRIVATE)
    span = telemetry.span()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "BadRequestError: invalid_value")
    assert telemetry.attributes()["error.type"] == "BadRequestError"
    assert telemetry.attributes()["llmkit.outcome"] == "failed"
    (point,) = telemetry.points("gen_ai.client.operation.duration")
    assert point.attributes["error.type"] == "BadRequestError"
    assert telemetry.tokens() == {}
    assert SECRET not in telemetry.text()


async def test_attempts_that_failed_are_events_of_the_one_span(telemetry: Telemetry) -> None:
    fake = FakeOpenAI().error(429).fail(httpx2.ConnectError("no route")).reply("blue")
    client = client_of(fake, telemetry, Retry())
    with virtual_time() as clock:
        await client.chat.completions.create(**CHAT)
    span = telemetry.span()
    assert [event.name for event in span.events] == ["llmkit.attempt_failed"] * 2
    first, second = (dict(event.attributes or {}) for event in span.events)
    assert first == {
        "llmkit.attempt": 1,
        "llmkit.base_url": "https://fake.openai.test/v1/",
        "error.type": "RateLimitError",
        "http.response.status_code": 429,
        "llmkit.error_code": first["llmkit.error_code"],
        "gen_ai.request.model": CHAT["model"],
        "server.address": "fake.openai.test",
        "server.port": 443,
    }
    assert second["error.type"] == "APIConnectionError"
    assert "http.response.status_code" not in second
    assert span.status.status_code is StatusCode.UNSET
    assert telemetry.attributes()["llmkit.attempts"] == 3
    waited = sum(clock.sleeps)
    assert telemetry.attributes()["llmkit.retry_wait"] == pytest.approx(waited)
    assert (span.end_time or 0) - (span.start_time or 0) >= (waited - 0.001) * 1e9
    assert (span.start_time or 0) <= span.events[0].timestamp <= span.events[1].timestamp <= (span.end_time or 0)


async def test_a_fallback_is_told_by_the_server_that_was_asked_in_the_end(telemetry: Telemetry) -> None:
    fake = FakeOpenAI().error(500).reply("blue")
    other = fake.async_client(base_url="https://other.test:8443/v1")
    layers = [telemetry.middleware(), Fallback((other, "gpt-4o-mini"))]
    client = fake.async_client(middleware=layers, max_retries=0)
    await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    attributes = telemetry.attributes()
    assert attributes["gen_ai.request.model"] == attributes["llmkit.sent_model"] == "gpt-4o-mini"
    assert attributes["llmkit.fallback"] is True
    assert (attributes["server.address"], attributes["server.port"]) == ("other.test", 8443)
    assert attributes["llmkit.sent_to"] == "https://other.test:8443/v1/"
    assert telemetry.span().name == "chat gpt-4o"
    (point, _) = telemetry.points("gen_ai.client.token.usage")
    assert point.attributes["gen_ai.request.model"] == "gpt-4o-mini"


async def test_other_operations_have_a_span_and_no_measurements(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI(), telemetry)
    await client.models.list()
    assert telemetry.span().name == "models.get"
    assert telemetry.calls() == 0


async def test_embeddings_have_input_tokens_only(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI(), telemetry, content=True)
    await client.embeddings.create(model="text-embedding-3-small", input="Hi")
    assert telemetry.span().name == "embeddings text-embedding-3-small"
    assert set(telemetry.tokens()) == {"input"}
    assert "gen_ai.input.messages" not in telemetry.attributes()


async def test_a_response_fetched_again_is_not_billed_again(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI(), telemetry)
    made = await client.responses.create(**RESPONSES)
    told = telemetry.tokens()
    await client.responses.retrieve(made.id)
    assert telemetry.spans[-1].name == "fetch_response"
    assert "gen_ai.usage.input_tokens" not in dict(telemetry.spans[-1].attributes or {})
    assert telemetry.tokens() == told
    assert telemetry.calls() == 1


async def test_what_was_made_in_the_background_is_measured_once_by_the_look_that_finds_it(telemetry: Telemetry) -> None:
    used = {"input_tokens": 40, "output_tokens": 2, "total_tokens": 42}
    made = {"id": "resp_background_otel", "object": "response", "model": "gpt-4o", "background": True, "output": []}
    batch = {"id": "batch_otel", "object": "batch", "model": "gpt-4o", "status": "completed", "usage": used}
    fake, ended = FakeOpenAI(), {**made, "status": "completed", "usage": used}
    for answer in ({**made, "status": "queued"}, ended, ended, batch, batch):
        fake.respond(httpx2.Response(200, json=answer))
    client = client_of(fake, telemetry)
    await client.responses.create(model="gpt-4o", input="x", background=True)
    for _ in range(2):
        await client.responses.retrieve(made["id"])
    assert telemetry.tokens() == {"input": 40, "output": 2}
    for _ in range(2):
        await client.batches.retrieve("batch_otel")
    assert telemetry.tokens() == {"input": 80, "output": 4}
    assert [dict(span.attributes or {}).get("gen_ai.usage.input_tokens") for span in telemetry.spans] == [
        *(None, 40, None),
        *(40, None),
    ]
    assert telemetry.calls() == 1  # looks say nothing about how long a model takes


# Streams


@pytest.mark.parametrize("params", [CHAT, RESPONSES], ids=["chat", "responses"])
async def test_a_stream_is_one_span_that_ends_with_it(telemetry: Telemetry, params: Any) -> None:
    client = client_of(FakeOpenAI(), telemetry)
    create: Any = client.chat.completions.create if params is CHAT else client.responses.create
    stream = await create(**params, stream=True)
    assert telemetry.spans == ()
    await read(stream)
    attributes = telemetry.attributes()
    assert attributes["gen_ai.request.stream"] is True
    assert attributes["llmkit.outcome"] == "ok"
    assert telemetry.tokens() == {
        "input": attributes["gen_ai.usage.input_tokens"],
        "output": attributes["gen_ai.usage.output_tokens"],
    }
    assert "llmkit.estimated" not in attributes


async def test_each_event_of_a_stream_is_measured(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI(delay=1.0, stream_chars=2), telemetry, include_usage=False)
    with virtual_time():
        chunks = await read(await client.chat.completions.create(**CHAT, stream=True))
    (first,) = telemetry.points("gen_ai.client.operation.time_to_first_chunk")
    (later,) = telemetry.points("gen_ai.client.operation.time_per_output_chunk")
    (whole,) = telemetry.points("gen_ai.client.operation.duration")
    assert (first.count, later.count) == (1, len(chunks) - 1)
    assert first.sum == telemetry.attributes()["gen_ai.response.time_to_first_chunk"] >= 1.0
    assert first.sum + later.sum <= whole.sum
    assert first.attributes["gen_ai.response.model"] == CHAT["model"]


async def test_an_abandoned_stream_ends_its_span_and_guesses_are_not_measured(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI(stream_chars=1), telemetry)
    stream = await client.chat.completions.create(**CHAT, stream=True)
    async for _ in stream:
        break
    await stream.close()
    attributes = telemetry.attributes()
    assert attributes["llmkit.outcome"] == "cut"
    assert attributes["llmkit.estimated"] is True
    assert telemetry.tokens() == {}
    assert telemetry.calls() == 1


async def test_a_stream_that_nobody_reads_ends_its_span_when_it_is_dropped(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI(), telemetry)
    stream: Any = await client.chat.completions.create(**CHAT, stream=True)
    await stream.response.aclose()
    del stream
    gc.collect()
    assert telemetry.attributes()["llmkit.outcome"] == "cut"


def test_a_stream_that_is_collected_inside_the_sdk_waits_for_no_lock_of_it(telemetry: Telemetry) -> None:
    client = FakeOpenAI().client(middleware=[telemetry.middleware()])

    def collected(_: object) -> list[Any]:
        gc.collect()
        return []

    telemetry.meters.get_meter("app").create_observable_gauge("app.gauge", [collected])
    for chunk in client.chat.completions.create(**CHAT, stream=True):
        assert chunk
        break
    assert telemetry.spans == ()
    telemetry.calls()  # measurements are taken, and the garbage is collected meanwhile
    assert telemetry.spans == ()
    client.chat.completions.create(**CHAT)
    assert [dict(span.attributes or {})["llmkit.outcome"] for span in telemetry.spans] == ["cut", "ok"]
    assert telemetry.calls() == 2


async def test_a_stream_that_breaks_off_is_an_error(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI().drop(after=2), telemetry)
    with pytest.raises(openai.APIConnectionError):
        await read(await client.chat.completions.create(**CHAT, stream=True))
    assert telemetry.span().status.status_code is StatusCode.ERROR
    assert telemetry.attributes()["error.type"] == "APIConnectionError"


def test_a_sync_stream_is_one_span(telemetry: Telemetry) -> None:
    client = FakeOpenAI().client(middleware=[telemetry.middleware()])
    stream = client.chat.completions.create(**CHAT, stream=True)
    assert not trace.get_current_span().get_span_context().is_valid
    assert list(stream)
    assert telemetry.attributes()["llmkit.outcome"] == "ok"
    assert telemetry.calls() == 1


async def test_helpers_and_raw_responses_are_one_span_each(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI(), telemetry, content=True)
    await client.chat.completions.parse(**CHAT, response_format=Colour)
    async with client.chat.completions.stream(**CHAT) as stream:
        await stream.get_final_completion()
    (await client.chat.completions.with_raw_response.create(**CHAT)).parse()
    async with client.responses.with_streaming_response.create(**RESPONSES) as response:
        await response.read()
    assert [span.name for span in telemetry.spans] == [f"chat {CHAT['model']}"] * 4
    assert telemetry.calls() == 4
    for span in telemetry.spans[:3]:  # who reads the bytes himself is not read along
        assert json.loads(str((span.attributes or {})["gen_ai.output.messages"]))[0]["parts"][0]["content"]


# Who is current


async def test_the_span_is_current_for_what_happens_inside_and_for_nothing_else(telemetry: Telemetry) -> None:
    async def inner(request: Any, call_next: Any) -> Any:
        with telemetry.tracer.start_as_current_span("inside"):
            return await call_next(request)

    client = client_of(FakeOpenAI(), telemetry, inner)
    with telemetry.tracer.start_as_current_span("outside") as outside:
        stream = await client.chat.completions.create(**CHAT, stream=True)
        assert trace.get_current_span() is outside
        async for _ in stream:
            assert trace.get_current_span() is outside
        assert trace.get_current_span() is outside
    inside, call, _ = telemetry.spans
    assert (inside.name, inside.parent) == ("inside", call.context)
    assert call.parent == outside.get_span_context()


async def test_interleaved_tasks_each_have_their_own_span_and_parent(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI(delay=0.001, stream_chars=1), telemetry)

    async def one(number: int) -> None:
        with telemetry.tracer.start_as_current_span(f"task {number}"), llmkit.tags(task=number):
            answer: Any = await client.chat.completions.create(**CHAT, stream=number % 2 == 0)
            if number % 2 == 0:
                await read(answer)

    await asyncio.gather(*(one(number) for number in range(20)))
    ids = {span.name: span.context for span in telemetry.spans}
    calls = [span for span in telemetry.spans if span.name.startswith("chat")]
    assert len(calls) == 20
    for call in calls:
        assert call.parent == ids[f"task {(call.attributes or {})['llmkit.tag.task']}"]


async def test_a_stream_read_in_another_task_ends_its_span(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI(), telemetry)
    stream = await client.chat.completions.create(**CHAT, stream=True)
    await asyncio.create_task(read(stream), context=contextvars.Context())
    assert telemetry.attributes()["llmkit.outcome"] == "ok"


async def test_a_cancelled_call_ends_its_span_and_is_no_failure(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI(delay=60), telemetry)
    task = asyncio.create_task(client.chat.completions.create(**CHAT))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert telemetry.attributes()["llmkit.outcome"] == "cancelled"
    assert telemetry.attributes()["error.type"] == "CancelledError"
    assert telemetry.span().status.status_code is StatusCode.UNSET


async def test_a_task_that_is_dropped_in_mid_call_disturbs_no_other(telemetry: Telemetry) -> None:
    async def never(request: Any, call_next: Any) -> Any:
        await asyncio.get_running_loop().create_future()

    client = client_of(FakeOpenAI(), telemetry, never)
    call = client.chat.completions.create(**CHAT)
    contextvars.Context().run(call.send, None)  # type: ignore[attr-defined]
    with telemetry.tracer.start_as_current_span("mine") as mine:
        call.close()
        assert trace.get_current_span() is mine


async def test_a_layer_above_that_asks_twice_makes_one_span(telemetry: Telemetry) -> None:
    fake = FakeOpenAI().error(500).reply("blue")
    client = fake.async_client(middleware=[Retry(), telemetry.middleware()])
    with virtual_time():
        await client.chat.completions.create(**CHAT)
    assert len(telemetry.span().events) == 1
    assert telemetry.calls() == 1


async def test_a_call_that_is_not_sampled_stays_so_below(telemetry: Telemetry) -> None:
    seen: list[Any] = []

    async def inner(request: Any, call_next: Any) -> Any:
        seen.append(trace.get_current_span().get_span_context().trace_flags.sampled)
        return await call_next(request)

    off = TracerProvider(sampler=ParentBased(ALWAYS_OFF))
    layer = OpenTelemetry(tracer_provider=off, meter_provider=telemetry.meters)
    client = FakeOpenAI().async_client(middleware=[layer, inner])
    await client.chat.completions.create(**CHAT)
    assert seen == [False]
    assert telemetry.calls() == 1


# What was not sent, and what was not billed


async def test_a_call_that_a_budget_refuses_is_an_error_without_an_attempt(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI(), telemetry, Budget(daily_tokens=1))
    with pytest.raises(llmkit.BudgetExceeded):
        await client.chat.completions.create(**CHAT, max_tokens=100)
    attributes = telemetry.attributes()
    assert (attributes["llmkit.outcome"], attributes["llmkit.attempts"]) == ("refused", 0)
    assert attributes["error.type"] == "BudgetExceeded"
    assert telemetry.span().status.status_code is StatusCode.ERROR
    assert telemetry.tokens() == {}


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_from_a_cache_has_a_span_and_bills_no_tokens(telemetry: Telemetry, stream: bool) -> None:
    client = client_of(FakeOpenAI(), telemetry, Cache(MemoryStore()), content=True)
    for _ in range(2):
        answer: Any = await client.chat.completions.create(**CHAT, stream=stream)
        if stream:
            await read(answer)
    made, kept = (dict(span.attributes or {}) for span in telemetry.spans)
    assert (made["llmkit.cache"], kept["llmkit.cache"]) == ("miss", "hit")
    assert (kept["gen_ai.usage.input_tokens"], kept["gen_ai.usage.output_tokens"]) == (0, 0)
    assert kept["llmkit.cost"] == 0
    assert kept["llmkit.saved.input_tokens"] == made["gen_ai.usage.input_tokens"]
    assert kept["gen_ai.output.messages"] == made["gen_ai.output.messages"]
    assert telemetry.tokens()["input"] == made["gen_ai.usage.input_tokens"]
    calls = telemetry.points("gen_ai.client.operation.duration")
    assert {point.attributes.get("llmkit.cache"): point.count for point in calls} == {None: 1, "hit": 1}
    assert sum(point.count for point in telemetry.points("gen_ai.client.operation.time_to_first_chunk")) == int(stream)


# Settings


async def test_content_is_told_by_the_conventions_when_asked_for(telemetry: Telemetry) -> None:
    records: list[llmkit.CallRecord] = []
    client = client_of(FakeOpenAI(), telemetry, UsageLog(sinks=[records.append]), content=True)
    await read(await client.responses.create(**RESPONSES, instructions="Be brief.", stream=True))
    attributes = telemetry.attributes()
    assert json.loads(attributes["gen_ai.system_instructions"]) == [{"type": "text", "content": "Be brief."}]
    assert json.loads(attributes["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "Name a colour."}]}
    ]
    (said,) = json.loads(attributes["gen_ai.output.messages"])
    assert said["parts"][0]["content"]
    assert records[0].answer is None  # the log was not asked for it


async def test_metrics_can_be_split_by_tags_or_left_out(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI(), telemetry, metric_tags=["feature", "absent"])
    with llmkit.tags(feature="search", user="alice"):
        await client.chat.completions.create(**CHAT)
    (point,) = telemetry.points("gen_ai.client.operation.duration")
    assert point.attributes["llmkit.tag.feature"] == "search"
    assert not {"llmkit.tag.user", "llmkit.tag.absent"} & set(point.attributes)
    await read(await client_of(FakeOpenAI(), telemetry, metrics=False).chat.completions.create(**CHAT, stream=True))
    assert telemetry.calls() == 1


def test_one_name_of_a_tag_is_no_list() -> None:
    with pytest.raises(TypeError, match="pass a list of names"):
        OpenTelemetry(metric_tags="user")


async def test_a_model_that_is_no_text_is_left_out(telemetry: Telemetry) -> None:
    client = client_of(FakeOpenAI().error(400), telemetry)
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model=3, messages=MESSAGES)  # type: ignore[call-overload]
    assert telemetry.span().name == "chat"


async def test_a_price_of_ones_own_is_told(telemetry: Telemetry) -> None:
    llmkit.register_price("my-model", llmkit.Price(input=Decimal(1_000_000), output=Decimal(0)))
    try:
        await client_of(FakeOpenAI(), telemetry).chat.completions.create(model="my-model", messages=MESSAGES)
    finally:
        llmkit.register_price("my-model", None)
    attributes = telemetry.attributes()
    assert attributes["llmkit.cost"] == attributes["gen_ai.usage.input_tokens"]


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.metrics", None)
    with pytest.raises(LLMKitError, match=r"pip install 'llmkit\[otel\]'"):
        OpenTelemetry()


async def test_without_a_provider_nothing_happens() -> None:
    client = FakeOpenAI().async_client(middleware=[OpenTelemetry(content=True)])
    assert await read(await client.chat.completions.create(**CHAT, stream=True))


def test_providers_that_are_set_later_are_used() -> None:
    code = """
import llmkit
from llmkit.middleware.open_telemetry import OpenTelemetry
from llmkit.testing import FakeOpenAI
client = FakeOpenAI().client(middleware=[OpenTelemetry()])
from opentelemetry import trace, metrics
from telemetry_sdk import Telemetry
telemetry = Telemetry()
trace.set_tracer_provider(telemetry.tracers)
metrics.set_meter_provider(telemetry.meters)
client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
print(telemetry.span().name, telemetry.calls())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=_paths())
    assert run.stdout == "chat gpt-4o 1\n", run.stderr


def _paths() -> dict[str, str]:
    tests = Path(__file__).parents[1]
    return {**os.environ, "PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}"}


# What breaks costs no call


class Broken(SpanProcessor):
    def __init__(self, where: str) -> None:
        self.where = where

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self.where == "start":
            raise RuntimeError(SECRET)

    def on_end(self, span: Any) -> None:
        if self.where == "end":
            raise RuntimeError(SECRET)


@pytest.mark.parametrize("where", ["start", "end"])
async def test_a_tracer_that_fails_costs_no_call(
    telemetry: Telemetry, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    tracers = TracerProvider()
    tracers.add_span_processor(Broken(where))
    client = FakeOpenAI().async_client(
        middleware=[OpenTelemetry(tracer_provider=tracers, meter_provider=telemetry.meters)]
    )
    assert await client.chat.completions.create(**CHAT)
    assert await read(await client.chat.completions.create(**CHAT, stream=True))
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text
    assert telemetry.calls() == (0 if where == "start" else 2)


class BrokenMeter(metrics.NoOpMeter):
    def create_histogram(self, name: str, *args: Any, **options: Any) -> Any:
        class Histogram(metrics.NoOpHistogram):
            def record(self, *args: Any, **options: Any) -> None:
                raise RuntimeError(SECRET)

        return Histogram(name)


class BrokenMeters(metrics.NoOpMeterProvider):
    def get_meter(self, name: str, *args: Any, **options: Any) -> Any:
        return BrokenMeter(name)


async def test_a_meter_that_fails_costs_no_call_and_no_span(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    layer = OpenTelemetry(tracer_provider=telemetry.tracers, meter_provider=BrokenMeters())
    client = FakeOpenAI().async_client(middleware=[layer])
    assert await read(await client.chat.completions.create(**CHAT, stream=True))
    assert await client.chat.completions.create(**CHAT)
    assert len(telemetry.spans) == 2
    assert caplog.text.count("the events of a stream are not measured") == 1
    assert SECRET not in caplog.text


# A real export


async def test_a_real_collector_receives_what_the_conventions_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    fake = FakeOpenAI()
    with collecting() as collector:
        tracers, reader = _exporting(collector.url)
        meters = MeterProvider([reader])
        layer = OpenTelemetry(tracer_provider=tracers, meter_provider=meters, content=True)
        client = fake.async_client(middleware=[layer, Retry(), Cache(MemoryStore())])
        with virtual_time(), llmkit.tags(user="alice"):
            await client.chat.completions.create(**CHAT, temperature=0, stop="x", seed=1, service_tier="flex", n=2)
            fake.error(500)
            await read(await client.responses.create(**RESPONSES, instructions="Be brief.", stream=True))
            await client.embeddings.create(model="text-embedding-3-small", input="Hi", dimensions=8)
            fake.error(400)
            with pytest.raises(openai.BadRequestError):
                await client.chat.completions.create(**CHAT, top_p=0.5)
        tracers.shutdown()
        meters.shutdown()
    assert [span.name for span in collector.spans] == [
        f"chat {CHAT['model']}",
        f"chat {CHAT['model']}",
        "embeddings text-embedding-3-small",
        f"chat {CHAT['model']}",
    ]
    names = {key for span in collector.spans for key in values(span.attributes)}
    names |= {key for span in collector.spans for event in span.events for key in values(event.attributes)}
    assert {name for name in names if not name.startswith("llmkit.")} <= CONVENTIONS
    spent = {
        kind: sum(values(s.attributes).get(f"gen_ai.usage.{kind}_tokens", 0) for s in collector.spans)
        for kind in ("input", "output")
    }
    found = {metric.name: metric for metric in collector.metrics}
    assert {name: metric.unit for name, metric in found.items()} == {
        "gen_ai.client.token.usage": "{token}",
        "gen_ai.client.operation.duration": "s",
        "gen_ai.client.operation.time_to_first_chunk": "s",
        "gen_ai.client.operation.time_per_output_chunk": "s",
    }
    measured = {"input": 0.0, "output": 0.0}
    for point in found["gen_ai.client.token.usage"].histogram.data_points:
        assert set(values(point.attributes)) <= CONVENTIONS
        assert list(point.explicit_bounds) == [4**power for power in range(14)]
        measured[values(point.attributes)["gen_ai.token.type"]] += point.sum
    assert measured == spent
    for point in found["gen_ai.client.operation.duration"].histogram.data_points:
        assert list(point.explicit_bounds)[:3] == [0.01, 0.02, 0.04]
        assert point.explicit_bounds[-1] == 81.92


def _exporting(url: str) -> tuple[TracerProvider, PeriodicExportingMetricReader]:
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces")))
    exporter = OTLPMetricExporter(endpoint=f"{url}/v1/metrics")
    return tracers, PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)


async def test_a_collector_that_is_gone_costs_no_call(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    caplog.set_level(logging.CRITICAL)
    with collecting() as collector:
        url = collector.url
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=f"{url}/v1/traces", timeout=0.01)))
    client = FakeOpenAI().async_client(middleware=[OpenTelemetry(tracer_provider=tracers)])
    assert await client.chat.completions.create(**CHAT)
    tracers.shutdown()
