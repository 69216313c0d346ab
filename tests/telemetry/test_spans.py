"""Spans beside opentelemetry-instrumentation-genai-openai; those that are llmkit's own: test_open_telemetry.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import pytest
from surfaces import CHAT, MESSAGES, RESPONSES, Colour
from telemetry_sdk import Telemetry, instrumented

import llmkit
from llmkit import Cache, Retry, UsageLog
from llmkit.cache.memory import MemoryStore
from llmkit.testing import FakeOpenAI, virtual_time

THEIRS = "opentelemetry.instrumentation.genai.openai"


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture(params=["before the client", "after the client"])
def client(request: pytest.FixtureRequest, telemetry: Telemetry) -> Iterator[llmkit.AsyncOpenAI]:
    """One whose SDK is instrumented before it is made, or after its resources have been used."""
    fake = FakeOpenAI(stream_chars=2)
    layers = [telemetry.middleware(), Retry()]
    if request.param == "before the client":
        with instrumented(telemetry):
            yield fake.async_client(middleware=layers)
        return
    made = fake.async_client(middleware=layers)
    assert made.chat.completions.with_raw_response, made.responses
    assert made.embeddings, made.chat.completions.create
    with instrumented(telemetry):
        yield made


async def create(client: Any) -> None:
    await client.chat.completions.create(**CHAT)


async def create_stream(client: Any) -> None:
    assert [chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)]


async def create_stream_with_usage(client: Any) -> None:
    options = {"include_usage": True}
    assert [c async for c in await client.chat.completions.create(**CHAT, stream=True, stream_options=options)]


async def parse(client: Any) -> None:
    await client.chat.completions.parse(**CHAT, response_format=Colour)


async def stream_helper(client: Any) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        await stream.get_final_completion()


async def responses(client: Any) -> None:
    await client.responses.create(**RESPONSES)


async def responses_stream(client: Any) -> None:
    assert [event async for event in await client.responses.create(**RESPONSES, stream=True)]


async def responses_parse(client: Any) -> None:
    await client.responses.parse(**RESPONSES, text_format=Colour)


async def responses_stream_helper(client: Any) -> None:
    async with client.responses.stream(**RESPONSES) as stream:
        await stream.get_final_response()


async def embeddings(client: Any) -> None:
    await client.embeddings.create(model="text-embedding-3-small", input="Hi")


WAYS = [
    create,
    create_stream,
    create_stream_with_usage,
    parse,
    stream_helper,
    responses,
    responses_stream,
    responses_parse,
    responses_stream_helper,
    embeddings,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_a_call_has_one_span_and_is_measured_once(client: Any, telemetry: Telemetry, way: Any) -> None:
    with llmkit.tags(user="alice"):
        await way(client)
    span = telemetry.span()
    attributes = telemetry.attributes()
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == THEIRS
    assert attributes["llmkit.outcome"] == "ok"
    assert attributes["llmkit.attempts"] == 1
    assert attributes["llmkit.tag.user"] == "alice"
    assert attributes["llmkit.cost"] > 0
    assert telemetry.calls() == 1
    tokens = telemetry.tokens()
    assert tokens["input"] == attributes["gen_ai.usage.input_tokens"] > 0
    assert way is embeddings or tokens["output"] == attributes["gen_ai.usage.output_tokens"] > 0


def test_a_sync_call_has_one_span(telemetry: Telemetry) -> None:
    client = FakeOpenAI().client(middleware=[telemetry.middleware(), UsageLog(sinks=[])])
    with instrumented(telemetry):
        client.chat.completions.create(**CHAT)
        assert list(client.responses.create(**RESPONSES, stream=True))
    assert [span.instrumentation_scope and span.instrumentation_scope.name for span in telemetry.spans] == [THEIRS] * 2
    assert telemetry.calls() == 2


@pytest.mark.parametrize("way", [create, responses_stream], ids=lambda way: way.__name__)
async def test_failed_attempts_are_events_of_the_other_span(telemetry: Telemetry, way: Any) -> None:
    fake = FakeOpenAI().error(500).error(503)
    client = fake.async_client(middleware=[telemetry.middleware(), Retry()])
    with instrumented(telemetry), virtual_time():
        await way(client)
    assert [(event.attributes or {})["error.type"] for event in telemetry.span().events] == ["InternalServerError"] * 2


async def test_a_call_that_fails_tells_its_outcome(telemetry: Telemetry) -> None:
    client = FakeOpenAI().error(400).async_client(middleware=[telemetry.middleware()])
    with instrumented(telemetry), pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(**CHAT)
    assert telemetry.attributes()["llmkit.outcome"] == "failed"
    assert telemetry.calls() == 1


async def test_what_is_told_early_does_not_settle_the_cost(telemetry: Telemetry) -> None:
    """Some servers tell the usage so far with each chunk, and more of it after the one that says why it ends."""
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    stop = [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}]
    events = [
        {**chunk, "choices": stop, "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}},
        {**chunk, "choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 1, "total_tokens": 1001}},
    ]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, text=body)
    records: list[llmkit.CallRecord] = []
    layers = [telemetry.middleware(), UsageLog(sinks=[records.append], cost=True)]
    client = FakeOpenAI().respond(answer).async_client(middleware=layers)
    with instrumented(telemetry):
        await create_stream(client)
    assert float(records[0].cost or 0) == pytest.approx(telemetry.attributes()["llmkit.cost"]) == pytest.approx(0.00251)


async def test_an_abandoned_stream_has_one_span(telemetry: Telemetry) -> None:
    client = FakeOpenAI(stream_chars=1).async_client(middleware=[telemetry.middleware()])
    with instrumented(telemetry):
        stream = await client.chat.completions.create(**CHAT, stream=True)
        async for _ in stream:
            break
        await stream.close()
    assert telemetry.attributes()["llmkit.outcome"] == "cut"
    assert telemetry.tokens() == {}


async def test_a_cached_stream_hands_over_no_tokens(telemetry: Telemetry) -> None:
    client = FakeOpenAI().async_client(middleware=[telemetry.middleware(), Cache(MemoryStore())])
    with instrumented(telemetry):
        await create_stream(client)
        billed = telemetry.tokens()
        await create_stream(client)
    assert (telemetry.spans[-1].attributes or {})["llmkit.cache"] == "hit"
    assert telemetry.tokens() == billed


@pytest.mark.parametrize("name", ["invoke_agent", "execute_tool", "chat"])
async def test_a_span_of_the_applications_is_the_parent(telemetry: Telemetry, name: str) -> None:
    client = FakeOpenAI().async_client(middleware=[telemetry.middleware()])
    about = {"gen_ai.operation.name": name}
    with telemetry.tracer.start_as_current_span(name, attributes=about) as agent:
        await client.chat.completions.create(**CHAT)
    call, _ = telemetry.spans
    assert call.parent == agent.get_span_context()
    assert telemetry.calls() == 1


async def test_an_agent_of_the_same_library_is_the_parent(telemetry: Telemetry) -> None:
    from opentelemetry.util.genai.handler import TelemetryHandler

    handler = TelemetryHandler(tracer_provider=telemetry.tracers, meter_provider=telemetry.meters)
    client = FakeOpenAI().async_client(middleware=[telemetry.middleware()])
    with handler.invoke_local_agent(request_model="gpt-4o") as agent:
        await client.chat.completions.create(**CHAT)
    call, _ = telemetry.spans
    assert call.name == f"chat {CHAT['model']}"
    assert call.parent == agent.span.get_span_context()


async def test_a_call_inside_a_call_has_a_span_of_its_own(telemetry: Telemetry) -> None:
    inner = FakeOpenAI().async_client(middleware=[telemetry.middleware()])

    async def summarize(request: Any, call_next: Any) -> Any:
        await inner.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        return await call_next(request)

    client = FakeOpenAI().async_client(middleware=[telemetry.middleware(), summarize])
    with instrumented(telemetry):
        await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    summary, call = telemetry.spans
    assert (summary.name, call.name) == ("chat gpt-4o-mini", "chat gpt-4o")
    assert summary.parent == call.context


async def test_what_the_other_library_does_not_know_has_llmkits_span(client: Any, telemetry: Telemetry) -> None:
    await client.models.list()
    assert telemetry.span().instrumentation_scope is not None
    assert telemetry.span().instrumentation_scope.name == "llmkit"


async def test_an_answer_that_is_no_json_has_no_text_to_tell(telemetry: Telemetry) -> None:
    sound = httpx2.Response(200, headers={"content-type": "audio/mpeg"}, content=b"\xff\xfb")
    client = FakeOpenAI().respond(sound).async_client(middleware=[telemetry.middleware(content=True)])
    await client.audio.speech.create(model="gpt-4o-mini-tts", voice="alloy", input="Hi")
    attributes = telemetry.attributes()
    assert (attributes["gen_ai.operation.name"], attributes["gen_ai.output.type"]) == ("generate_content", "speech")
    assert "gen_ai.input.messages" in attributes
    assert "gen_ai.output.messages" not in attributes
