"""Streams end exactly once, when they end: through the public clients, in memory and over real sockets."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from surfaces import CHAT, RESPONSES

import llmkit
from llmkit import CallRecord, UsageLog
from llmkit.testing import FakeOpenAI

USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}


def chunk(**fields: Any) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-1", **fields}


def delta(content: str | None = None, *, finish: str | None = None, index: int = 0) -> dict[str, Any]:
    return chunk(choices=[{"index": index, "delta": {"content": content}, "finish_reason": finish}], usage=None)


BODY = [delta("Hello"), delta(" there"), delta(finish="stop"), chunk(choices=[], usage=USAGE)]


def sse(*events: Any, done: bool = True) -> bytes:
    data = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]
    return b"".join(b"data: " + item + b"\n\n" for item in [*data, *([b"[DONE]"] if done else [])])


class Body(httpx2.AsyncByteStream, httpx2.SyncByteStream):
    """A body over a pretended network: any chunks, an error or silence at its end, and whether it was closed."""

    def __init__(self, chunks: list[bytes], *, error: Exception | None = None, hangs: bool = False) -> None:
        self.chunks, self.error, self.hangs, self.closes = chunks, error, hangs, 0

    def __iter__(self) -> Iterator[bytes]:
        yield from self.chunks
        if self.error:
            raise self.error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for item in self.chunks:
            yield item
        if self.hangs:
            await asyncio.Event().wait()
        if self.error:
            raise self.error

    def close(self) -> None:
        self.closes += 1

    async def aclose(self) -> None:
        self.closes += 1


def serve(body: Body, **headers: str) -> Any:
    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream", **headers}, stream=body)

    return httpx2.MockTransport(handle)


def clients(body: Body, **headers: str) -> tuple[llmkit.AsyncOpenAI, llmkit.OpenAI, list[CallRecord]]:
    records: list[CallRecord] = []
    options: Any = {"api_key": "sk-fake", "middleware": [UsageLog(sinks=[records.append])]}
    transport = serve(body, **headers)
    return (
        llmkit.AsyncOpenAI(**options, http_client=httpx2.AsyncClient(transport=transport)),
        llmkit.OpenAI(**options, http_client=httpx2.Client(transport=transport)),
        records,
    )


def cut(body: bytes, sizes: list[int]) -> list[bytes]:
    pieces, position = list[bytes](), 0
    for size in sizes:
        pieces.append(body[position : position + size])
        position += size
    return [piece for piece in [*pieces, body[position:]] if piece]


def only(records: list[CallRecord]) -> CallRecord:
    (record,) = records
    return record


def check_whole(record: CallRecord) -> None:
    assert (record.input_tokens, record.output_tokens, record.total_tokens) == (5, 7, 12)
    assert (record.complete, record.estimated, record.error) == (True, False, None)
    assert record.finish_reasons == ("stop",)
    assert record.response_model == "gpt-4o-1"


def check_cut(record: CallRecord, *, error: str | None = None) -> None:
    assert (record.complete, record.estimated, record.error) == (False, True, error)
    assert record.input_tokens == 5  # "user" and "Name a colour.", 19 bytes
    assert record.total_tokens == record.input_tokens + (record.output_tokens or 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60))
def test_a_stream_read_to_its_end_is_whole_wherever_the_network_cuts(sizes: list[int]) -> None:
    body = Body(cut(sse(*BODY), sizes))
    _, client, records = clients(body)
    events = list(client.chat.completions.create(**CHAT, stream=True))
    assert [event.choices[0].delta.content for event in events] == ["Hello", " there", None]
    check_whole(only(records))
    assert body.closes == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60))
def test_lines_read_without_the_sdks_stream_are_watched_and_lack_the_hidden_chunk(sizes: list[int]) -> None:
    body = Body(cut(sse(*BODY), sizes))
    _, client, records = clients(body)
    with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
        read = b"".join(response.iter_bytes())
    assert read == sse(*BODY[:3])
    check_whole(only(records))


async def test_async_lines_are_watched_too_and_an_asked_for_chunk_is_shown() -> None:
    client, _, records = clients(Body([sse(*BODY)[:100], sse(*BODY)[100:]]))
    options: Any = {"include_usage": True}
    async with client.chat.completions.with_streaming_response.create(
        **CHAT, stream=True, stream_options=options
    ) as response:
        read = b"".join([piece async for piece in response.iter_bytes()])
    assert read == sse(*BODY)
    check_whole(only(records))


async def test_break_and_close_is_a_cut_with_estimates() -> None:
    body = Body([sse(item, done=False) for item in BODY])
    client, _, records = clients(body)
    stream = await client.chat.completions.create(**CHAT, stream=True)
    async for _ in stream:
        break
    assert records == []
    await stream.close()
    check_cut(only(records))
    assert only(records).output_tokens == 1  # "Hello"
    await stream.close()
    assert len(records) == 1


@pytest.mark.parametrize(("text", "loaded", "tokens"), [("Hello", False, 2), ("word " * 12_000, True, 15_000)])
async def test_the_output_of_a_cut_is_estimated_where_counting_would_take_time(
    monkeypatch: pytest.MonkeyPatch, text: str, loaded: bool, tokens: int
) -> None:
    monkeypatch.setattr("llmkit.streaming.watch.is_loaded", lambda model: loaded)
    client, _, records = clients(Body([sse(delta(text), done=False)]))
    _ = [item async for item in await client.chat.completions.create(**CHAT, stream=True)]
    assert (only(records).output_tokens, only(records).estimated) == (tokens, True)


async def test_the_prompt_of_a_cut_is_the_one_counted_before_the_call() -> None:
    records: list[CallRecord] = []
    client = llmkit.AsyncOpenAI(
        api_key="sk-fake",
        http_client=httpx2.AsyncClient(transport=serve(Body([sse(BODY[0], done=False)]))),
        middleware=[UsageLog(sinks=[records.append]), llmkit.Context()],
    )
    _ = [item async for item in await client.chat.completions.create(**CHAT, stream=True)]
    assert only(records).estimated
    assert only(records).input_tokens == only(records).predicted_tokens == 11


def test_sync_break_and_close_is_a_cut() -> None:
    body = Body([sse(item, done=False) for item in BODY])
    _, client, records = clients(body)
    with client.chat.completions.create(**CHAT, stream=True) as stream:
        next(stream)
    check_cut(only(records))
    assert body.closes == 1


def test_a_sync_stream_that_is_dropped_is_reported_when_it_is_collected() -> None:
    _, client, records = clients(Body([sse(item, done=False) for item in BODY]))
    stream = client.chat.completions.create(**CHAT, stream=True)
    next(stream)
    del stream
    gc.collect()
    check_cut(only(records))


async def test_leaving_the_stream_helper_early_is_a_cut() -> None:
    body = Body([sse(item, done=False) for item in BODY])
    client, _, records = clients(body)
    async with client.chat.completions.stream(**CHAT) as stream:
        async for _ in stream:
            break
    check_cut(only(records))
    assert body.closes == 1


async def test_lines_left_early_are_a_cut_but_not_after_done() -> None:
    body = Body([sse(item, done=False) for item in BODY] + [b"data: [DONE]\n\n", b": more\n\n"])
    client, _, records = clients(body)
    for wanted in ("Hello", "[DONE]"):
        async with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
            async for line in response.iter_lines():
                if wanted in line:
                    break
    check_cut(records[0])
    check_whole(records[1])


async def test_cancelling_the_reader_is_recorded_and_closes_the_response() -> None:
    body = Body([sse(BODY[0], done=False)], hangs=True)
    client, _, records = clients(body)
    reading = asyncio.Event()

    async def read() -> None:
        async for _ in await client.chat.completions.create(**CHAT, stream=True):
            reading.set()

    task = asyncio.create_task(read())
    await reading.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    check_cut(only(records), error="CancelledError")
    assert body.closes == 1


@pytest.mark.parametrize("by_lines", [False, True])
async def test_a_connection_that_breaks_is_recorded_with_its_error(by_lines: bool) -> None:
    body = Body([sse(BODY[0], done=False)], error=httpx2.ReadError("gone"))
    client, _, records = clients(body)
    if by_lines:
        async with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
            with pytest.raises(httpx2.ReadError):
                _ = [line async for line in response.iter_lines()]
        check_cut(only(records), error="ReadError")
    else:
        with pytest.raises(openai.APIConnectionError):
            _ = [item async for item in await client.chat.completions.create(**CHAT, stream=True)]
        check_cut(only(records), error="APIConnectionError")
    assert body.closes >= 1


def test_a_sync_connection_that_breaks_is_recorded_with_its_error() -> None:
    _, client, records = clients(Body([sse(BODY[0], done=False)], error=httpx2.ReadError("gone")))
    streaming = client.chat.completions.with_streaming_response.create(**CHAT, stream=True)
    with streaming as response, pytest.raises(httpx2.ReadError):
        list(response.iter_lines())
    check_cut(only(records), error="ReadError")


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_malformed_event_is_the_sdks_error_with_a_note_that_names_the_call(is_async: bool) -> None:
    body = Body([sse(BODY[0], b"<html>oops", done=False)])
    client, sync_client, records = clients(body, **{"x-request-id": "req_7"})

    async def read() -> None:
        if is_async:
            _ = [item async for item in await client.chat.completions.create(**CHAT, stream=True)]
        else:
            list(sync_client.chat.completions.create(**CHAT, stream=True))

    with pytest.raises(json.JSONDecodeError) as caught:
        await read()
    (note,) = caught.value.__notes__
    assert "not JSON (POST /v1/chat/completions, request id 'req_7')" in note
    check_cut(only(records), error="JSONDecodeError")
    assert body.closes == 1


async def test_a_malformed_event_read_as_lines_is_handed_on_as_it_came() -> None:
    body = sse(BODY[0], b"<html>oops")
    client, _, records = clients(Body([body]))
    async with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
        assert b"".join([piece async for piece in response.iter_bytes()]) == body
    assert only(records).complete


@pytest.mark.parametrize("by_lines", [False, True])
async def test_an_error_in_mid_stream_is_recorded(by_lines: bool) -> None:
    error = {"error": {"message": "overloaded", "code": "server_error"}}
    client, _, records = clients(Body([sse(BODY[0], error)]))
    if by_lines:
        async with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
            _ = [line async for line in response.iter_lines()]
    else:
        with pytest.raises(openai.APIError, match="overloaded"):
            _ = [item async for item in await client.chat.completions.create(**CHAT, stream=True)]
    record = only(records)
    assert record.error == "APIError"
    assert record.error_code == "server_error"
    assert not record.complete


async def test_an_error_event_of_the_responses_api_is_recorded() -> None:
    error = {"type": "error", "code": "rate_limit_exceeded", "message": "slow down", "sequence_number": 1}
    client, _, records = clients(Body([b"event: error\n" + sse(error, done=False)]))
    assert [event.type async for event in await client.responses.create(**RESPONSES, stream=True)] == ["error"]
    assert (only(records).error, only(records).error_code) == ("APIError", "rate_limit_exceeded")


async def test_a_responses_stream_left_at_its_last_event_is_whole() -> None:
    client_for = FakeOpenAI().reply("blue")
    records: list[CallRecord] = []
    client = client_for.async_client(middleware=[UsageLog(sinks=[records.append])])
    async with await client.responses.create(**RESPONSES, stream=True) as stream:
        async for event in stream:
            if event.type == "response.completed":
                break
    assert only(records).complete
    assert not only(records).estimated
    assert client_for.open_streams == 0


async def test_every_choice_of_a_stream_has_its_finish_reason() -> None:
    body = sse(delta("a"), delta("b", index=1), delta(finish="stop"), delta(finish="length", index=1))
    client, _, records = clients(Body([body]))
    _ = [item async for item in await client.chat.completions.create(**CHAT, n=2, stream=True)]
    assert only(records).finish_reasons == ("stop", "length")


async def test_a_stream_of_plain_json_is_watched_and_lacks_the_hidden_chunk() -> None:
    client, _, records = clients(Body([sse(*BODY)]))
    stream = await client.post(
        "/chat/completions",
        body={**CHAT, "stream": True},
        cast_to=object,
        stream=True,
        stream_cls=openai.AsyncStream[object],
    )
    assert len([item async for item in stream]) == 3
    check_whole(only(records))


async def test_usage_that_comes_with_text_is_shown_and_taken() -> None:
    body = sse({**delta("Hello", finish="stop"), "usage": USAGE})
    client, _, records = clients(Body([body]))
    (item,) = [item async for item in await client.chat.completions.create(**CHAT, stream=True)]
    assert item.usage is not None
    check_whole(only(records))


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_body_without_its_last_blank_line_is_handed_on_whole(is_async: bool) -> None:
    body = sse(*BODY[:2]) + b": the end"
    client, sync_client, _ = clients(Body([body]))
    if is_async:
        async with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
            read = b"".join([piece async for piece in response.iter_bytes()])
    else:
        with sync_client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as sync_response:
            read = b"".join(sync_response.iter_bytes())
    assert read == body


async def test_inline_images_do_not_inflate_the_estimate() -> None:
    client, _, records = clients(Body([sse(*BODY[:2])]))
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 40_000}}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]}]
    _ = [item async for item in await client.chat.completions.create(model="gpt-4o", messages=messages, stream=True)]
    assert only(records).estimated
    assert (only(records).input_tokens or 0) < 20


async def test_a_stream_parsed_as_another_class_is_watched_by_its_bytes() -> None:
    client, _, records = clients(Body([sse(*BODY)]))
    raw = await client.chat.completions.with_raw_response.create(**CHAT, stream=True)
    stream = raw.parse(to=openai.AsyncStream[object])
    assert len([item async for item in stream]) == 3
    check_whole(only(records))


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
async def test_a_compressed_answer_read_piecemeal_is_still_understood(encoding: str) -> None:
    answer = json.dumps({"id": "x", "object": "chat.completion", "model": "gpt-4o-1", "created": 1, "usage": USAGE,
                         "choices": [{"index": 0, "finish_reason": "stop",
                                      "message": {"role": "assistant", "content": "hi"}}]}).encode()  # fmt: skip
    sent = gzip.compress(answer) if encoding == "gzip" else answer
    body = Body(cut(sent, [10, 20, 30]))
    client, _, records = clients(body, **{"content-type": "application/json", "content-encoding": encoding})
    async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        read = b"".join([piece async for piece in response.iter_bytes()])
    assert read == answer
    check_whole(only(records))


async def test_a_compressed_stream_read_by_the_sdk_is_understood_and_by_lines_estimated() -> None:
    body = gzip.compress(sse(*BODY))
    client, _, records = clients(Body(cut(body, [33, 44])), **{"content-encoding": "gzip"})
    assert len([item async for item in await client.chat.completions.create(**CHAT, stream=True)]) == 3
    check_whole(records[0])
    async with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
        _ = [line async for line in response.iter_lines()]
    assert records[1].estimated


async def test_an_answer_that_is_json_in_name_only_or_endless_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    client, _, records = clients(Body([b"not json"]), **{"content-type": "application/json"})
    async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        assert await response.read() == b"not json"
    assert only(records).total_tokens is None
    monkeypatch.setattr("llmkit.streaming.reader._MAX_KEPT", 10)
    long = json.dumps({"usage": USAGE}).encode()
    client, _, records = clients(Body([long[:8], long[8:16], long[16:]]), **{"content-type": "application/json"})
    async with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        assert await response.json() == {"usage": USAGE}
    assert only(records).total_tokens is None


async def test_a_binary_body_read_piecemeal_ends_its_call() -> None:
    client, _, records = clients(Body([b"so", b"und"]), **{"content-type": "audio/mpeg"})
    async with client.audio.speech.with_streaming_response.create(model="tts", voice="alloy", input="x") as response:
        assert records == []
        assert await response.read() == b"sound"
    assert only(records).complete


async def test_an_http_response_asked_for_by_type_is_watched() -> None:
    client, _, records = clients(Body([sse(*BODY)]))
    response = await client.post("/chat/completions", body={**CHAT, "stream": True}, cast_to=httpx2.Response)
    assert response.status_code == 200
    assert only(records).complete


async def test_a_response_that_is_in_memory_already_is_told_at_once() -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=sse(*BODY))

    records: list[CallRecord] = []
    client = llmkit.AsyncOpenAI(
        api_key="sk-fake",
        http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(handle)),
        middleware=[UsageLog(sinks=[records.append])],
    )
    stream = await client.chat.completions.create(**CHAT, stream=True)
    check_whole(only(records))
    assert len([item async for item in stream]) == 3
    assert len(records) == 1


async def test_a_response_closed_by_a_hook_of_the_users_ends_its_call() -> None:
    async def close(response: httpx2.Response) -> None:
        await response.aclose()

    records: list[CallRecord] = []
    http_client = httpx2.AsyncClient(transport=serve(Body([sse(*BODY)])), event_hooks={"response": [close]})
    client = llmkit.AsyncOpenAI(
        api_key="sk-fake", http_client=http_client, middleware=[UsageLog(sinks=[records.append])]
    )
    await client.chat.completions.create(**CHAT, stream=True)
    assert only(records).over


@pytest.mark.parametrize("by_lines", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        sse(BODY[0], done=False),
        b"",
        b"<html>502</html>",
        b'event: response.created\ndata: {"type": "response.created", "response": {}, "sequence_number": 0}\n\n',
    ],
)
async def test_a_connection_that_closes_cleanly_before_the_end_is_a_cut(body: bytes, by_lines: bool) -> None:
    client, _, records = clients(Body([body]))
    if by_lines:
        async with client.chat.completions.with_streaming_response.create(**CHAT, stream=True) as response:
            _ = [line async for line in response.iter_lines()]
    elif b"response." in body:
        _ = [item async for item in await client.responses.create(**RESPONSES, stream=True)]
    else:
        _ = [item async for item in await client.chat.completions.create(**CHAT, stream=True)]
    assert (only(records).complete, only(records).estimated, only(records).error) == (False, True, None)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 20), max_size=40))
def test_done_is_seen_wherever_the_network_cuts_it(sizes: list[int]) -> None:
    _, client, records = clients(Body(cut(sse(BODY[0]), sizes)))  # no finish reason, as some servers do it
    assert len(list(client.chat.completions.create(**CHAT, stream=True))) == 1
    assert only(records).complete


async def test_streams_of_other_kinds_are_whole_when_their_body_is() -> None:
    client, _, records = clients(Body([sse({"kind": "tick"}, done=False)]))
    stream = await client.post(
        "/custom", body={"x": 1}, cast_to=object, stream=True, stream_cls=openai.AsyncStream[object]
    )
    assert [item async for item in stream] == [{"kind": "tick"}]
    assert only(records).complete
    assert only(records).total_tokens is None


async def test_a_transcript_is_whole_after_its_last_event() -> None:
    events = [{"type": "transcript.text.delta", "delta": "hi"}, {"type": "transcript.text.done", "text": "hi"}]
    client, _, records = clients(Body([sse(item, done=False) for item in events], hangs=True))
    stream = await client.audio.transcriptions.create(model="t", file=b"sound", stream=True)
    async for event in stream:
        if event.type == "transcript.text.done":
            break
    await stream.close()
    assert only(records).complete


async def test_usage_that_came_before_a_cut_is_completed_by_what_arrived_after_it() -> None:
    early = {**delta("Hello"), "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}}
    body = Body([sse(early, delta(" there, and how are you today?"), done=False)], hangs=True)
    client, _, records = clients(body)
    async with await client.chat.completions.create(**CHAT, stream=True) as stream:
        async for item in stream:
            if "there" in (item.choices[0].delta.content or ""):
                break
    record = only(records)
    assert (record.input_tokens, record.output_tokens, record.total_tokens) == (5, 9, 14)
    assert (record.complete, record.estimated) == (False, True)


async def test_what_the_server_told_of_a_cut_stream_is_never_lowered() -> None:
    thinking = {**delta("Hi"), "usage": {"prompt_tokens": 5, "completion_tokens": 100, "total_tokens": 105}}
    client, _, records = clients(Body([sse(thinking, done=False)]))
    _ = [item async for item in await client.chat.completions.create(**CHAT, stream=True)]
    record = only(records)
    assert (record.output_tokens, record.complete, record.estimated) == (100, False, False)


async def test_zeros_in_the_chunks_of_a_stream_are_no_usage() -> None:
    nothing = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    events = [{**delta("Hello"), "usage": nothing}, chunk(choices=[], usage=USAGE), {**delta(), "usage": nothing}]
    client, _, records = clients(Body([sse(*events)]))
    _ = [item async for item in await client.chat.completions.create(**CHAT, stream=True)]
    assert (only(records).total_tokens, only(records).estimated) == (12, False)


async def test_a_stream_of_pictures_that_is_left_has_no_made_up_figures() -> None:
    picture = {"type": "image_generation.partial_image", "partial_image_index": 0, "b64_json": "AAAA"}
    client, _, records = clients(Body([sse(picture, done=False)]))
    stream = await client.images.generate(model="gpt-image-1", prompt="A cat.", stream=True)
    assert [event.type async for event in stream] == ["image_generation.partial_image"]
    record = only(records)
    assert (record.complete, record.estimated, record.total_tokens) == (False, False, None)


async def test_a_background_stream_that_is_cut_is_billed_when_it_is_fetched() -> None:
    response = {"id": "resp_cut", "object": "response", "status": "in_progress", "background": True, "output": []}
    begun = {"type": "response.created", "sequence_number": 0, "response": response}
    client, _, records = clients(Body([sse(begun, done=False)]))
    _ = [event async for event in await client.responses.create(**RESPONSES, background=True, stream=True)]
    record = only(records)
    assert (record.complete, record.estimated, record.total_tokens) == (False, False, None)


async def test_of_a_cut_stream_whose_prompt_is_at_the_server_nothing_is_made_up() -> None:
    response = {"id": "resp_cut", "object": "response", "status": "in_progress", "output": []}
    begun = {"type": "response.created", "sequence_number": 0, "response": response}
    client, _, records = clients(Body([sse(begun, done=False)]))
    _ = [event async for event in await client.responses.create(model="gpt-4o", conversation="conv_1", stream=True)]
    record = only(records)
    assert (record.complete, record.estimated, record.total_tokens) == (False, False, None)


async def test_the_choices_of_a_stream_are_captured_apart() -> None:
    records: list[CallRecord] = []
    body = Body([sse(delta("A"), delta("a", index=1), delta("B"), delta("b", index=1))])
    client = llmkit.AsyncOpenAI(
        api_key="sk-fake",
        http_client=httpx2.AsyncClient(transport=serve(body)),
        middleware=[UsageLog(sinks=[records.append], content=True)],
    )
    _ = [item async for item in await client.chat.completions.create(**CHAT, n=2, stream=True)]
    assert only(records).answer == "AB\nab"


async def test_a_stream_that_a_middleware_drops_is_closed_and_the_call_ends() -> None:
    async def instead(request: Any, call_next: Any) -> Any:
        await call_next(request)
        return "cached"

    body = Body([sse(*BODY)])
    records: list[CallRecord] = []
    client = llmkit.AsyncOpenAI(
        api_key="sk-fake",
        http_client=httpx2.AsyncClient(transport=serve(body)),
        middleware=[UsageLog(sinks=[records.append]), instead],
    )
    answer: Any = await client.chat.completions.create(**CHAT, stream=True)
    assert answer == "cached"
    assert body.closes == 1
    check_cut(only(records))


async def test_a_stream_that_a_middleware_wraps_stays_open() -> None:
    async def shouting(request: Any, call_next: Any) -> Any:
        stream = await call_next(request)

        async def shout() -> AsyncIterator[str]:
            async for item in stream:
                yield (item.choices[0].delta.content or "").upper()

        return shout()

    records: list[CallRecord] = []
    client = llmkit.AsyncOpenAI(
        api_key="sk-fake",
        http_client=httpx2.AsyncClient(transport=serve(Body([sse(*BODY)]))),
        middleware=[UsageLog(sinks=[records.append]), shouting],
    )
    answer: Any = await client.chat.completions.create(**CHAT, stream=True)
    assert [text async for text in answer] == ["HELLO", " THERE", ""]
    check_whole(only(records))


async def test_async_streams_left_with_break_do_not_disturb_the_event_loop() -> None:
    problems: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
    fake = FakeOpenAI().reply("a longer answer")
    with fake.serve() as base_url:
        async with llmkit.AsyncOpenAI(api_key="sk-fake", base_url=base_url, middleware=[UsageLog(sinks=[])]) as client:
            for _ in range(5):
                async for _ in await client.chat.completions.create(**CHAT, stream=True):
                    break
                gc.collect()
                await asyncio.sleep(0.01)
    assert problems == []


async def test_the_stream_is_the_sdks_own_and_keeps_its_response() -> None:
    client, _, _ = clients(Body([sse(*BODY)]))
    stream = await client.chat.completions.create(**CHAT, stream=True)
    assert isinstance(stream, openai.AsyncStream)
    assert type(stream).__name__ == "AsyncStream"
    assert isinstance(stream.response, httpx2.Response)
    await stream.response.aclose()


async def test_over_a_real_socket_a_dropped_stream_and_a_whole_one_are_told_apart() -> None:
    fake, records = FakeOpenAI(), list[CallRecord]()
    fake.drop("a longer answer", after=3).reply("whole")
    with fake.serve() as base_url:
        async with llmkit.AsyncOpenAI(
            api_key="sk-fake", base_url=base_url, middleware=[UsageLog(sinks=[records.append])]
        ) as client:
            with pytest.raises(openai.APIConnectionError):
                _ = [item async for item in await client.chat.completions.create(**CHAT, stream=True)]
            _ = [item async for item in await client.chat.completions.create(**CHAT, stream=True)]
    assert [(r.complete, r.estimated, r.error) for r in records] == [
        (False, True, "APIConnectionError"),
        (True, False, None),
    ]


def test_memory_stays_flat_over_a_long_stream() -> None:
    import tracemalloc

    piece = sse(delta("word "), done=False)

    class Long(Body):
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(4_000):
                yield piece
            yield sse(chunk(choices=[], usage=USAGE))

    _, client, records = clients(Long([]))
    stream = client.chat.completions.create(**CHAT, stream=True)
    for _ in range(500):
        next(stream)
    tracemalloc.start()
    for _ in stream:
        pass
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert only(records).total_tokens == 12
    assert kept < 200_000
