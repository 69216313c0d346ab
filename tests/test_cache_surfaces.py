"""The matrix: one entry, made by any of three surfaces, answers them all, by every kind of client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from openai.types.chat import ChatCompletion
from surfaces import Colour

import llmkit
from llmkit import Cache, CallRecord, UsageLog
from llmkit.testing import FakeOpenAI

ANSWER = '{"name": "Blue \N{BLUE HEART}"}'
FORMAT: Any = {
    "type": "json_schema",
    "json_schema": {
        "schema": {
            "properties": {"name": {"title": "Name", "type": "string"}},
            "required": ["name"],
            "title": "Colour",
            "type": "object",
            "additionalProperties": False,
        },
        "name": "Colour",
        "strict": True,
    },
}
CHAT: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Name a colour."}]}
PLAIN: Any = {**CHAT, "response_format": FORMAT}
PARSED: Any = {**CHAT, "response_format": Colour}
ASK: Any = {"model": "gpt-4o-mini", "input": "Name a colour."}
TEXT: Any = {
    "format": {"type": "json_schema", "name": "Colour", "strict": True, "schema": FORMAT["json_schema"]["schema"]}
}

Surface = Callable[[Any], Awaitable[str]]


async def create(client: Any) -> str:
    return (await client.chat.completions.create(**PLAIN)).choices[0].message.content


async def create_stream(client: Any) -> str:
    stream = await client.chat.completions.create(**PLAIN, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def parse(client: Any) -> str:
    parsed = await client.chat.completions.parse(**PARSED)
    assert parsed.choices[0].message.parsed == Colour(name="Blue \N{BLUE HEART}")
    return parsed.choices[0].message.content


async def raw(client: Any) -> str:
    response = await client.chat.completions.with_raw_response.create(**PLAIN)
    return response.parse().choices[0].message.content


async def streaming_response(client: Any) -> str:
    async with client.chat.completions.with_streaming_response.create(**PLAIN) as response:
        return ChatCompletion.model_validate_json(await response.read()).choices[0].message.content or ""


async def lines(client: Any) -> str:
    async with client.chat.completions.with_streaming_response.create(**PLAIN, stream=True) as response:
        found = [line async for line in response.iter_lines() if line]
    assert found[-1] == "data: [DONE]"
    assert not any('"choices":[]' in line.replace(" ", "") for line in found)  # nobody asked for usage
    return ANSWER


async def stream_helper(client: Any) -> str:
    async with client.chat.completions.stream(**PARSED) as stream:
        kinds = {event.type async for event in stream}
        final = await stream.get_final_completion()
    assert kinds >= {"chunk", "content.delta", "content.done"}
    assert final.choices[0].message.parsed == Colour(name="Blue \N{BLUE HEART}")
    return final.choices[0].message.content


async def responses_create(client: Any) -> str:
    return (await client.responses.create(**ASK, text=TEXT)).output_text


async def responses_stream(client: Any) -> str:
    events = [event async for event in await client.responses.create(**ASK, text=TEXT, stream=True)]
    assert events[-1].type == "response.completed"
    return "".join(event.delta for event in events if event.type == "response.output_text.delta")


async def responses_parse(client: Any) -> str:
    parsed = await client.responses.parse(**ASK, text_format=Colour)
    assert parsed.output_parsed == Colour(name="Blue \N{BLUE HEART}")
    return parsed.output_text


async def responses_raw(client: Any) -> str:
    return (await client.responses.with_raw_response.create(**ASK, text=TEXT)).parse().output_text


async def responses_streaming_response(client: Any) -> str:
    async with client.responses.with_streaming_response.create(**ASK, text=TEXT) as response:
        return (await response.parse()).output_text


async def responses_lines(client: Any) -> str:
    async with client.responses.with_streaming_response.create(**ASK, text=TEXT, stream=True) as response:
        found = [line async for line in response.iter_lines() if line]
    assert any(line.startswith("event: response.completed") for line in found)
    return ANSWER


async def responses_helper(client: Any) -> str:
    async with client.responses.stream(**ASK, text_format=Colour) as stream:
        final = await stream.get_final_response()
    assert final.output_parsed == Colour(name="Blue \N{BLUE HEART}")
    return final.output_text


CHAT_MAKERS: list[Surface] = [create, create_stream, parse]
CHAT_SURFACES: list[Surface] = [create, create_stream, parse, raw, streaming_response, lines, stream_helper]
RESPONSES_MAKERS: list[Surface] = [responses_create, responses_stream, responses_parse]
RESPONSES_SURFACES: list[Surface] = [
    responses_create,
    responses_stream,
    responses_parse,
    responses_raw,
    responses_streaming_response,
    responses_lines,
    responses_helper,
]
PAIRS = [(maker, surface) for maker in CHAT_MAKERS for surface in CHAT_SURFACES] + [
    (maker, surface) for maker in RESPONSES_MAKERS for surface in RESPONSES_SURFACES
]


def async_openai(fake: FakeOpenAI, stack: Any) -> Any:
    return fake.async_client(middleware=stack)


def async_azure(fake: FakeOpenAI, stack: Any) -> Any:
    return llmkit.AsyncAzureOpenAI(
        api_key="azure-fake",
        azure_endpoint="https://fake.azure.test",
        api_version="2025-04-01-preview",
        http_client=fake.async_http_client(),
        middleware=stack,
    )


@pytest.mark.parametrize("make", [async_openai, async_azure])
@pytest.mark.parametrize(("maker", "surface"), PAIRS, ids=lambda surface: surface.__name__)
async def test_an_entry_made_by_one_surface_answers_another_without_the_network(
    maker: Surface, surface: Surface, make: Callable[[FakeOpenAI, Any], Any]
) -> None:
    fake, records = FakeOpenAI().reply(ANSWER), list[CallRecord]()
    client = make(fake, [UsageLog(sinks=[records.append]), Cache()])
    assert await maker(client) == ANSWER
    assert await surface(client) == ANSWER
    assert len(fake.requests) == 1
    made, hit = records
    assert (made.cache, hit.cache) == ("miss", "hit")
    assert hit.complete
    assert hit.error is None
    assert hit.attempts == hit.input_tokens == hit.output_tokens == hit.total_tokens == 0
    assert (hit.saved_input_tokens, hit.saved_output_tokens) == (made.input_tokens, made.output_tokens)
    assert hit.finish_reasons == made.finish_reasons
    assert hit.response_id == made.response_id
    assert not hit.estimated
    assert fake.open_streams == 0
