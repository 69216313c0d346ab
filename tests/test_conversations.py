from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import openai
import pytest
from pydantic import BaseModel

from llmkit import AsyncOpenAI, OpenAI

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.vcr

MODEL = "gpt-4o-mini"
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather for a city.",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Person(BaseModel):
    name: str
    born: int


def user(text: str) -> Any:
    return {"role": "user", "content": text}


def bodies(vcr: Any) -> list[dict[str, Any]]:
    """What the cassette says was sent, which is what this run sent: else nothing would have replayed."""
    return [json.loads(request.body) for request in vcr.requests]


@pytest.fixture
async def client(recording_base_url: str, recording_api_key: str) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=recording_base_url, api_key=recording_api_key) as client:
        yield client


async def test_chat(client: AsyncOpenAI, vcr: Any) -> None:
    reply = await client.chat.completions.create(
        model=MODEL, messages=[user("Answer with the word pong, in lower case, nothing else.")], temperature=0
    )
    assert reply.choices[0].message.content == "pong"
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0
    [body] = bodies(vcr)
    assert body["temperature"] == 0
    assert "stream" not in body


def test_chat_sync(recording_base_url: str, recording_api_key: str, vcr: Any) -> None:
    with OpenAI(base_url=recording_base_url, api_key=recording_api_key) as client:
        reply = client.chat.completions.create(
            model=MODEL, messages=[user("Answer with the word pong, in lower case, nothing else.")]
        )
        stream = client.chat.completions.create(
            model=MODEL, messages=[user("Count from one to five in words, separated by spaces.")], stream=True
        )
        # llmkit asks for the usage, and keeps the chunk that brings it from a caller who did not.
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert reply.choices[0].message.content == "pong"
    assert text.lower().split() == ["one", "two", "three", "four", "five"]
    first, second = bodies(vcr)
    assert "stream" not in first
    assert second["stream_options"] == {"include_usage": True}


async def test_stream_with_usage(client: AsyncOpenAI, vcr: Any) -> None:
    stream = await client.chat.completions.create(
        model=MODEL,
        messages=[user("Count from one to five in words, separated by spaces.")],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text.lower().split() == ["one", "two", "three", "four", "five"]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    usage = chunks[-1].usage
    assert chunks[-1].choices == []
    assert usage is not None
    assert usage.completion_tokens >= 5
    assert bodies(vcr)[0]["stream_options"] == {"include_usage": True}


async def test_stream_helper(client: AsyncOpenAI) -> None:
    question = user("Count from one to five in words, separated by spaces.")
    async with client.chat.completions.stream(model=MODEL, messages=[question]) as stream:
        deltas = [event.delta async for event in stream if event.type == "content.delta"]
        final = await stream.get_final_completion()
    assert len(deltas) > 1
    assert "".join(deltas) == final.choices[0].message.content


async def test_stream_left_early(client: AsyncOpenAI) -> None:
    question = user("Count from one to five in words, separated by spaces.")
    stream = await client.chat.completions.create(model=MODEL, messages=[question], stream=True)
    async with stream:
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                break
    assert stream.response.is_closed


async def test_tools(client: AsyncOpenAI, vcr: Any) -> None:
    messages = [user("What is the weather in Zürich?")]
    first = await client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    [call] = message.tool_calls or []
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "Zürich"}

    result = {"role": "tool", "tool_call_id": call.id, "content": '{"celsius": 21}'}
    messages += [message.model_dump(exclude_none=True), result]
    second = await client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])
    assert "21" in (second.choices[0].message.content or "")
    sent = bodies(vcr)[1]["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"]


async def test_tools_streamed(client: AsyncOpenAI) -> None:
    question = user("What is the weather in Zürich?")
    async with client.chat.completions.stream(model=MODEL, messages=[question], tools=[WEATHER]) as stream:
        final = await stream.get_final_completion()
    [call] = final.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.parsed_arguments == {"city": "Zürich"}


async def test_parse(client: AsyncOpenAI, vcr: Any) -> None:
    reply = await client.chat.completions.parse(
        model=MODEL, messages=[user("Name and year of birth of Ada Lovelace.")], response_format=Person
    )
    assert reply.choices[0].message.parsed == Person(name="Ada Lovelace", born=1815)
    schema = bodies(vcr)[0]["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["required"] == ["name", "born"]


async def test_responses(client: AsyncOpenAI, vcr: Any) -> None:
    response = await client.responses.create(model=MODEL, input="The capital of France, one word, no full stop.")
    assert response.output_text == "Paris"
    assert response.status == "completed"
    assert response.usage is not None
    assert response.usage.output_tokens > 0
    assert bodies(vcr)[0]["input"] == "The capital of France, one word, no full stop."


async def test_responses_stream(client: AsyncOpenAI) -> None:
    question = "The capital of France, one word, no full stop."
    async with client.responses.stream(model=MODEL, input=question) as stream:
        events = [event async for event in stream]
        final = await stream.get_final_response()
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert "".join(deltas) == final.output_text == "Paris"


async def test_embeddings(client: AsyncOpenAI, vcr: Any) -> None:
    reply = await client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], dimensions=8)
    first, second = (item.embedding for item in reply.data)
    assert len(first) == len(second) == 8
    assert first != second
    assert bodies(vcr)[0]["dimensions"] == 8


async def test_unknown_model(client: AsyncOpenAI, vcr: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(model="gpt-0-missing", messages=[user("Hello, model that is not there.")])
    assert caught.value.code == "model_not_found"
    assert "gpt-0-missing" in str(caught.value)
    assert len(bodies(vcr)) == 1  # a 404 is not retried


async def test_rate_limited_then_served(client: AsyncOpenAI, vcr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(anyio, "sleep", note)
    reply = await client.chat.completions.create(
        model=MODEL, messages=[user("Answer with the word patience, nothing else.")]
    )
    assert reply.choices[0].message.content == "patience"
    assert waits == [3]  # the recorded Retry-After
    assert [response["status"]["code"] for response in vcr.responses] == [429, 200]
    first, second = bodies(vcr)
    assert first == second
