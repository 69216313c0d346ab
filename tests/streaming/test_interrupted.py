from __future__ import annotations

import gc
import json
import pickle
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response

from llmkit.streaming.interrupted import StreamInterrupted, whole
from llmkit.testing import FakeOpenAI
from llmkit.tokens import vocabulary

MESSAGES: Any = [{"role": "user", "content": "Hello"}]
REQUEST = httpx2.Request("POST", "https://api.test/v1")


def chunk(text: str | None = None, *, finish: str | None = None, **fields: Any) -> ChatCompletionChunk:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o", "choices": [choice]}
    return ChatCompletionChunk.construct(None, **{**head, **fields})


class Events:
    """A stream of what it is given, exceptions being raised; knows whether it was closed."""

    def __init__(self, *events: Any) -> None:
        self._events = iter(events)
        self.closed = 0

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        event = next(self._events, None)
        if event is None:
            raise StopAsyncIteration
        if isinstance(event, BaseException):
            raise event
        return event

    async def aclose(self) -> None:
        self.closed += 1


async def texts(stream: Any) -> list[str]:
    return [event.choices[0].delta.content async for event in whole(stream)]


BREAKS = [
    openai.APIConnectionError(request=REQUEST),
    openai.APITimeoutError(request=REQUEST),
    httpx2.ReadError("reset"),
    httpx2.RemoteProtocolError("peer closed connection"),
    httpx.ReadError("reset"),
    httpx.ReadTimeout("slow"),
    json.JSONDecodeError("Unterminated string", '{"a', 1),
    UnicodeDecodeError("utf-8", b"\xf0\x9f", 0, 1, "unexpected end of data"),
]


async def test_the_events_of_a_whole_stream_come_unchanged() -> None:
    events = [chunk("Hel"), chunk("lo", finish="stop"), chunk(choices=[])]
    stream = Events(*events)
    assert [event async for event in whole(stream)] == events
    assert stream.closed == 1


@pytest.mark.parametrize("error", BREAKS, ids=lambda error: f"{type(error).__module__}.{type(error).__name__}")
async def test_a_break_after_the_first_event_keeps_what_arrived(error: Exception) -> None:
    stream = Events(chunk("Hello"), chunk(" you"), error)
    events = whole(stream)
    assert [await anext(events), await anext(events)] == [chunk("Hello"), chunk(" you")]
    with pytest.raises(StreamInterrupted) as caught:
        await anext(events)
    found = caught.value
    assert stream.closed == 1
    assert found.__cause__ is error
    assert isinstance(found.partial, ChatCompletion)
    assert found.partial.choices[0].finish_reason is None
    assert (found.text, found.partial.choices[0].message.content) == ("Hello you", "Hello you")
    assert (found.response_id, found.sequence_number, found.resumable) == ("c1", None, False)
    assert (found.usage.output_tokens, found.usage.input_tokens, found.usage.estimated) == (2, None, True)


@pytest.mark.parametrize("error", BREAKS, ids=lambda error: f"{type(error).__module__}.{type(error).__name__}")
async def test_a_break_before_the_first_event_is_raised_as_it_is(error: Exception) -> None:
    stream = Events(error)
    with pytest.raises(type(error)) as caught:
        await texts(stream)
    assert (caught.value, stream.closed) == (error, 1)


@pytest.mark.parametrize(
    "error",
    [
        openai.APIError("The server had an error", REQUEST, body={"message": "…"}),
        openai.RateLimitError("Slow down", response=httpx2.Response(429, request=REQUEST), body=None),
        ValueError("a bug"),
    ],
)
async def test_what_is_no_broken_connection_is_raised_as_it_is(error: Exception) -> None:
    stream = Events(chunk("Hello"), error)
    with pytest.raises(type(error)) as caught:
        await texts(stream)
    assert (caught.value, stream.closed) == (error, 1)


async def test_a_break_after_the_last_event_costs_nothing() -> None:
    stream = Events(chunk("Hello", finish="stop"), openai.APIConnectionError(request=REQUEST))
    assert (await texts(stream), stream.closed) == (["Hello"], 1)


async def test_a_body_that_ends_without_its_last_event_is_interrupted() -> None:
    stream = Events(chunk("Hello"))
    with pytest.raises(StreamInterrupted, match=r"ended without its last event after 5 characters") as caught:
        await texts(stream)
    assert (caught.value.__cause__, stream.closed) == (None, 1)


async def test_an_empty_body_is_interrupted_with_nothing_in_it() -> None:
    with pytest.raises(StreamInterrupted) as caught:
        await texts(Events())
    found = caught.value
    assert (found.partial, found.text, found.response_id, found.usage.output_tokens) == (None, "", None, 0)


async def test_streams_of_other_kinds_may_end_as_they_like() -> None:
    assert [event async for event in whole(Events("a", {"type": "transcript.text.delta"}))] == [
        "a",
        {"type": "transcript.text.delta"},
    ]


async def test_any_async_iterable_will_do_and_need_not_be_closable() -> None:
    class Iterable:
        def __aiter__(self) -> AsyncIterator[ChatCompletionChunk]:
            return self.chunks()

        async def chunks(self) -> AsyncIterator[ChatCompletionChunk]:
            yield chunk("Hello", finish="stop")

    assert await texts(Iterable()) == ["Hello"]


async def test_a_stream_with_only_a_plain_close_is_closed() -> None:
    class Closable(Events):
        aclose = None  # type: ignore[assignment]

        def close(self) -> None:
            self.closed += 1

    stream = Closable(chunk("Hello", finish="stop"))
    assert (await texts(stream), stream.closed) == (["Hello"], 1)


async def test_leaving_early_closes_the_stream_at_once() -> None:
    fake = FakeOpenAI()
    client = fake.async_client(middleware=[])
    stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    async with aclosing(whole(stream)) as events:
        async for _ in events:
            break
    assert fake.open_streams == 0


async def test_a_stream_that_is_left_before_anything_was_read_is_closed() -> None:
    stream = Events(chunk("Hello"))
    async with whole(stream) as events:
        pass
    assert stream.closed == 1
    assert [event async for event in events] == []


@pytest.mark.parametrize("read", [0, 1])
async def test_a_stream_that_is_dropped_is_closed_soon(read: int) -> None:
    closed = anyio.Event()

    class Heard(Events):
        async def aclose(self) -> None:
            closed.set()

    events = whole(Heard(chunk("Hello")))
    for _ in range(read):
        await anext(events)
    del events
    gc.collect()
    with anyio.fail_after(20):
        await closed.wait()


def test_a_stream_that_is_dropped_where_no_loop_runs_does_no_harm() -> None:
    stream = Events(chunk("Hello"))
    whole(stream)
    gc.collect()
    assert stream.closed == 0


async def test_what_is_no_stream_is_named_with_what_to_do() -> None:
    stream: Any = [chunk("Hello")]
    with pytest.raises(TypeError, match=r"a list cannot be read .* pass a stream of an AsyncOpenAI"):
        whole(stream)


async def test_a_cancelled_reader_closes_the_stream_and_stays_cancelled() -> None:
    waiting, closed = anyio.Event(), anyio.Event()

    class Silent(Events):
        async def __anext__(self) -> Any:
            if not waiting.is_set():
                waiting.set()
                return chunk("Hello")
            return await anyio.sleep_forever()

        async def aclose(self) -> None:
            await anyio.lowlevel.checkpoint()  # as long as it takes, also when cancelled
            closed.set()

    ended: list[str] = []

    async def read() -> None:
        try:
            await texts(Silent())
        except BaseException as error:
            ended.append(type(error).__name__)
            raise

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await waiting.wait()
        tasks.cancel_scope.cancel()
    assert closed.is_set()
    assert ended == ["CancelledError"]


async def test_a_helpers_stream_is_followed_through_its_chunks() -> None:
    fake = FakeOpenAI().drop("Hello there", after=3)
    async with fake.async_client(middleware=[]).chat.completions.stream(model="gpt-4o", messages=MESSAGES) as stream:
        with pytest.raises(StreamInterrupted) as caught:
            [event async for event in whole(stream)]
    assert caught.value.text == "Hello th"


async def test_a_broken_response_has_its_id_and_its_number() -> None:
    fake = FakeOpenAI().drop("Hello there", after=6)
    stream = await fake.async_client(middleware=[]).responses.create(model="gpt-4o", input="Hi", stream=True)
    with pytest.raises(StreamInterrupted, match="Send the request again") as caught:
        [event async for event in whole(stream)]
    found = caught.value
    assert isinstance(found.partial, Response)
    assert (found.text, found.partial.status, found.resumable) == ("Hello th", "in_progress", False)
    assert (found.response_id, found.sequence_number) == ("resp_fake_1", 5)
    assert fake.open_streams == 0


async def test_a_background_response_says_how_to_go_on() -> None:
    fake = FakeOpenAI().drop("Hello there", after=6)
    client = fake.async_client(middleware=[])
    stream = await client.responses.create(model="gpt-4o", input="Hi", stream=True, background=True)
    with pytest.raises(StreamInterrupted, match=r"starting_after=\.sequence_number") as caught:
        [event async for event in whole(stream)]
    assert caught.value.resumable


async def test_an_error_event_of_the_api_is_an_end() -> None:
    created = {"type": "response.created", "response": {"id": "r1", "output": []}}
    events = [created, {"type": "error", "code": "server_error", "message": "No."}]
    assert [event async for event in whole(Events(*events))] == events


async def test_usage_is_the_servers_where_it_has_said_so() -> None:
    counted = chunk("Hello", usage={"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8})
    with pytest.raises(StreamInterrupted) as caught:
        await texts(Events(counted))
    usage = caught.value.usage
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (5, 3, False)


async def test_reasoning_and_arguments_count_as_output() -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"city": "Paris"}'}}
    delta = {"content": "Hello", "reasoning_content": "Let me think about it.", "tool_calls": [call], "n": 1}
    with pytest.raises(StreamInterrupted) as caught:
        await texts(Events(chunk(choices=[{"index": 0, "delta": delta}])))
    assert caught.value.usage.output_tokens > 10
    assert caught.value.text == "Hello"


async def test_nothing_is_loaded_to_count_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "_loaded", {})
    with pytest.raises(StreamInterrupted) as caught:
        await texts(Events(chunk("Hello there")))
    assert caught.value.usage.output_tokens >= 2
    assert not vocabulary.is_loaded("gpt-4o")


async def test_no_text_shows_in_the_error_itself_and_it_can_be_pickled() -> None:
    with pytest.raises(StreamInterrupted) as caught:
        await texts(Events(chunk("canary"), httpx2.ReadError("reset")))
    assert "canary" not in f"{caught.value} {caught.value!r} {caught.value.usage!r}"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.text) == (str(caught.value), "canary")
    assert isinstance(again, openai.OpenAIError)
    assert not isinstance(again, OSError)
