"""Every way a user can make one API call through a client, async and sync."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel

MODEL = "gpt-4o-mini"
MESSAGES: Any = [{"role": "user", "content": "Name a colour."}]
CHAT: Any = {"model": MODEL, "messages": MESSAGES}
RESPONSES: Any = {"model": MODEL, "input": "Name a colour."}


class Colour(BaseModel):
    name: str


async def create(client: Any) -> None:
    assert (await client.chat.completions.create(**CHAT)).choices[0].message.content


async def create_stream(client: Any) -> None:
    chunks = [chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)]
    assert all(chunk.choices for chunk in chunks)


async def stream_helper(client: Any) -> None:
    async with client.chat.completions.stream(**CHAT) as stream:
        assert (await stream.get_final_completion()).choices[0].message.content


async def parse(client: Any) -> None:
    parsed = await client.chat.completions.parse(**CHAT, response_format=Colour)
    assert isinstance(parsed.choices[0].message.parsed, Colour)


async def raw(client: Any) -> None:
    response = await client.chat.completions.with_raw_response.create(**CHAT)
    assert response.parse().choices[0].message.content
    assert response.retries_taken == 0


async def raw_stream(client: Any) -> None:
    response = await client.chat.completions.with_raw_response.create(**CHAT, stream=True)
    assert [chunk async for chunk in response.parse()]


async def root_raw(client: Any) -> None:
    assert (await client.with_raw_response.chat.completions.create(**CHAT)).parse().choices


async def streaming_response(client: Any) -> None:
    async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        assert (await response.parse()).choices


async def streaming_response_lines(client: Any) -> None:
    async with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
        lines = [line async for line in response.iter_lines()]
    assert "data: [DONE]" in lines
    assert not any('"choices":[]' in line.replace(" ", "") for line in lines)


async def streaming_response_stream(client: Any) -> None:
    async with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
        assert [chunk async for chunk in await response.parse()]


async def legacy_completions(client: Any) -> None:
    assert (await client.completions.create(model="gpt-3.5-turbo-instruct", prompt="A colour:")).choices


async def responses_create(client: Any) -> None:
    assert (await client.responses.create(**RESPONSES)).output_text


async def responses_stream(client: Any) -> None:
    events = [event async for event in await client.responses.create(**RESPONSES, stream=True)]
    assert events[-1].type == "response.completed"


async def responses_helper(client: Any) -> None:
    async with client.responses.stream(**RESPONSES) as stream:
        assert (await stream.get_final_response()).output_text


async def responses_parse(client: Any) -> None:
    assert isinstance((await client.responses.parse(**RESPONSES, text_format=Colour)).output_parsed, Colour)


async def embeddings(client: Any) -> None:
    assert len((await client.embeddings.create(model="text-embedding-3-small", input="blue")).data) == 1


async def post(client: Any) -> None:
    assert (await client.post("/chat/completions", body=CHAT, cast_to=object))["choices"]


async def after_copy(client: Any) -> None:
    await create(client.copy())


async def after_with_options(client: Any) -> None:
    await create(client.with_options(max_retries=0, timeout=5))


async def pages(client: Any) -> None:
    assert [model.id async for model in client.models.list()]


ASYNC: dict[str, Callable[[Any], Awaitable[None]]] = {
    surface.__name__: surface
    for surface in (
        create, create_stream, stream_helper, parse, raw, raw_stream, root_raw, streaming_response,
        streaming_response_lines, streaming_response_stream, legacy_completions, responses_create, responses_stream,
        responses_helper, responses_parse, embeddings, post, after_copy, after_with_options, pages,
    )
}  # fmt: skip


def sync_create(client: Any) -> None:
    assert client.chat.completions.create(**CHAT).choices[0].message.content


def sync_create_stream(client: Any) -> None:
    assert all(chunk.choices for chunk in client.chat.completions.create(**CHAT, stream=True))


def sync_stream_helper(client: Any) -> None:
    with client.chat.completions.stream(**CHAT) as stream:
        assert stream.get_final_completion().choices[0].message.content


def sync_parse(client: Any) -> None:
    parsed = client.chat.completions.parse(**CHAT, response_format=Colour)
    assert isinstance(parsed.choices[0].message.parsed, Colour)


def sync_raw(client: Any) -> None:
    assert client.chat.completions.with_raw_response.create(**CHAT).parse().choices


def sync_raw_stream(client: Any) -> None:
    assert list(client.chat.completions.with_raw_response.create(**CHAT, stream=True).parse())


def sync_streaming_response(client: Any) -> None:
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        assert response.parse().choices


def sync_streaming_response_lines(client: Any) -> None:
    with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
        assert "data: [DONE]" in list(response.iter_lines())


def sync_legacy_completions(client: Any) -> None:
    assert client.completions.create(model="gpt-3.5-turbo-instruct", prompt="A colour:").choices


def sync_responses_create(client: Any) -> None:
    assert client.responses.create(**RESPONSES).output_text


def sync_responses_stream(client: Any) -> None:
    assert list(client.responses.create(**RESPONSES, stream=True))[-1].type == "response.completed"


def sync_responses_helper(client: Any) -> None:
    with client.responses.stream(**RESPONSES) as stream:
        assert stream.get_final_response().output_text


def sync_responses_parse(client: Any) -> None:
    assert isinstance(client.responses.parse(**RESPONSES, text_format=Colour).output_parsed, Colour)


def sync_embeddings(client: Any) -> None:
    assert len(client.embeddings.create(model="text-embedding-3-small", input="blue").data) == 1


def sync_post(client: Any) -> None:
    assert client.post("/chat/completions", body=CHAT, cast_to=object)["choices"]


def sync_after_copy(client: Any) -> None:
    sync_create(client.copy())


def sync_after_with_options(client: Any) -> None:
    sync_create(client.with_options(max_retries=0, timeout=5))


def sync_pages(client: Any) -> None:
    assert [model.id for model in client.models.list()]


SYNC: dict[str, Callable[[Any], None]] = {
    surface.__name__: surface
    for surface in (
        sync_create, sync_create_stream, sync_stream_helper, sync_parse, sync_raw, sync_raw_stream,
        sync_streaming_response, sync_streaming_response_lines, sync_legacy_completions, sync_responses_create,
        sync_responses_stream, sync_responses_helper, sync_responses_parse, sync_embeddings, sync_post,
        sync_after_copy, sync_after_with_options, sync_pages,
    )
}  # fmt: skip
