"""Hints on answers that arrived, and are not what was hoped for."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from surfaces import CHAT, RESPONSES

import llmkit
from llmkit import CallRecord, UsageLog
from llmkit.streaming.hints import CUT, EMPTY, FAILED, FILTERED, REFUSED
from llmkit.testing import FakeOpenAI


def client_for(fake: FakeOpenAI) -> tuple[llmkit.AsyncOpenAI, list[CallRecord]]:
    records: list[CallRecord] = []
    return fake.async_client(middleware=[UsageLog(sinks=[records.append])]), records


async def chat(client: Any) -> None:
    await client.chat.completions.create(**CHAT)


async def chat_raw(client: Any) -> None:
    await client.chat.completions.with_raw_response.create(**CHAT)


async def chat_stream(client: Any) -> None:
    _ = [chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)]


async def chat_lines(client: Any) -> None:
    async with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
        _ = [line async for line in response.iter_lines()]


async def respond(client: Any) -> None:
    await client.responses.create(**RESPONSES)


async def respond_stream(client: Any) -> None:
    _ = [event async for event in await client.responses.create(**RESPONSES, stream=True)]


WAYS = [chat, chat_raw, chat_stream, chat_lines, respond, respond_stream]


@pytest.mark.parametrize("call", WAYS)
@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        ({"text": "all of it"}, None),
        ({"tool_calls": [("f", {"a": 1})]}, None),
        ({"text": "half of", "finish_reason": "length"}, CUT),
        ({"text": "half of", "finish_reason": "content_filter"}, FILTERED),
        ({"refusal": "I would rather not"}, REFUSED),
        ({"text": ""}, EMPTY),
    ],
    ids=["whole", "tool call", "cut", "filtered", "refused", "empty"],
)
async def test_an_answer_that_is_not_what_was_hoped_for_has_a_hint(call: Any, reply: Any, hint: str | None) -> None:
    client, records = client_for(FakeOpenAI().reply(**reply))
    await call(client)
    assert (records[0].hint, records[0].error) == (hint, None)


async def ask(body: Any, create: Any = chat) -> CallRecord:
    client, records = client_for(FakeOpenAI().respond(httpx2.Response(200, json=body)))
    await create(client)
    return records[0]


async def test_one_choice_that_says_something_is_enough() -> None:
    said, silent = ({"index": i, "message": {"content": text}} for i, text in enumerate(("x", None)))
    assert (await ask({"choices": [silent, said]})).hint is None
    assert (await ask({"choices": [silent]})).hint == EMPTY
    assert (await ask({"choices": []})).hint == EMPTY


@pytest.mark.parametrize(
    ("response", "hint"),
    [
        ({"status": "completed", "output": [{"type": "reasoning"}]}, EMPTY),
        ({"status": "completed", "output": [{"type": "image_generation_call"}]}, None),
        ({"status": "queued", "output": []}, None),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}, "output": []}, CUT),
        ({"status": "failed", "error": {"code": "server_error", "message": "x"}, "output": []}, FAILED),
    ],
)
async def test_a_response_is_judged_by_its_status_and_its_items(response: Any, hint: str | None) -> None:
    body = {"id": "resp_1", "object": "response", **response}
    assert (await ask(body, respond)).hint == hint
    event = {"type": f"response.{response['status']}", "response": body}
    sse = httpx2.Response(200, content=b"data: " + json.dumps(event).encode() + b"\n\n")
    sse.headers["content-type"] = "text/event-stream"
    client, records = client_for(FakeOpenAI().respond(sse))
    await respond_stream(client)
    assert records[0].hint == (hint if response["status"] != "queued" else None)


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.embeddings.create(model="text-embedding-3-small", input="x"),
        lambda client: client.models.list(),
        lambda client: client.completions.create(model="gpt-3.5-turbo-instruct", prompt="x"),
    ],
)
async def test_other_operations_have_no_empty_answers(call: Any) -> None:
    client, records = client_for(FakeOpenAI())
    await call(client)
    assert records[0].hint is None


async def test_a_stream_whose_tool_call_has_no_arguments_and_one_of_sound_are_not_empty() -> None:
    def sse(finish: str) -> httpx2.Response:
        chunk = {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
        content = b"data: " + json.dumps(chunk).encode() + b"\n\ndata: [DONE]\n\n"
        return httpx2.Response(200, content=content, headers={"content-type": "text/event-stream"})

    client, records = client_for(FakeOpenAI().respond(sse("tool_calls")).respond(sse("stop")).respond(sse("stop")))
    await chat_stream(client)
    async for _ in await client.chat.completions.create(
        **CHAT, stream=True, audio={"voice": "alloy", "format": "pcm16"}
    ):
        pass
    await chat_stream(client)
    assert [record.hint for record in records] == [None, None, EMPTY]


async def test_a_stream_that_its_reader_leaves_has_no_hint() -> None:
    client, records = client_for(FakeOpenAI().reply("a long answer"))
    async with await client.chat.completions.create(**CHAT, stream=True):
        pass
    assert (records[0].complete, records[0].hint) == (False, None)
