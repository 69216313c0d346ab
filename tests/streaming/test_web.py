"""to_sse and to_websocket without a server: what is sent, and who is closed."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import json
import logging
from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Any

import httpx2
import openai
import pydantic
import pytest
from stream_sources import Source, settled, taken

from llmkit.errors import LLMKitError
from llmkit.streaming.coalescing import coalesce
from llmkit.streaming.web import SSE_HEADERS, to_sse, to_websocket
from llmkit.testing import FakeOpenAI

CHAT: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
SECRET = "sk-canary"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    type: str = "tool_result"
    names: tuple[str, ...] = ("a", "b")
    value: Any = dataclasses.field(default=SECRET, repr=False)


class Odd(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
    value: Any
    unset: int = 0


class Browser:
    """A WebSocket as Starlette has it: what is sent is in `sent`, what `browser` sends or does is received."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()
        self.breaks: Exception | None = None

    async def send_text(self, data: str) -> None:
        await asyncio.sleep(0)
        if self.breaks:
            raise self.breaks
        self.sent.append(json.loads(data))

    async def receive(self) -> Any:
        message = await self.inbox.get()
        if isinstance(message, Exception):
            raise message
        return message

    def says(self, **message: Any) -> None:
        self.inbox.put_nowait({"type": "websocket.receive", **message})

    def leaves(self) -> None:
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": 1001})


async def frames(stream: Any, **options: Any) -> list[bytes]:
    found, error = await taken(to_sse(stream, **options))
    assert error is None
    return found


def data(frame: bytes) -> Any:
    return json.loads(frame.split(b"data: ", 1)[1])


async def test_events_are_frames_of_one_line_of_json_and_the_last_says_that_it_is_done() -> None:
    events = ["two\nlines\r\n", {"type": "step", "n": 1}, {"n": 2}, Step(), {"type": "a\nb"}]
    assert await frames(Source(events)) == [
        b'data: "two\\nlines\\r\\n"\n\n',
        b'event: step\ndata: {"type":"step","n":1}\n\n',
        b'data: {"n":2}\n\n',
        b'event: tool_result\ndata: {"type":"tool_result","names":["a","b"]}\n\n',
        b'data: {"type":"a\\nb"}\n\n',
        b"data: [DONE]\n\n",
    ]


async def test_any_value_becomes_json_that_a_browser_can_read() -> None:
    moment = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    events = [
        {"nan": float("nan"), "bytes": b"\xff", "at": moment, "error": ValueError(SECRET)},
        {"half": "\ud83d", "at": moment},
        Odd(value=ValueError(SECRET)),
        Odd(value="\ud83d"),
        MappingProxyType({"in": [Odd(value=1), {"a": Step}]}),
    ]
    assert [data(frame) for frame in (await frames(Source(events)))[:-1]] == [
        {"nan": None, "bytes": "_w==", "at": "2026-01-02T00:00:00Z", "error": "ValueError"},
        {"half": "\ud83d", "at": "2026-01-02T00:00:00Z"},
        {"value": "ValueError"},
        {"value": "\ud83d"},
        {"in": [{"value": 1}, {"a": "type"}]},
    ]


async def stream_of(fake: FakeOpenAI, *, responses: bool = False) -> Any:
    client: Any = fake.async_client()
    if responses:
        return await client.responses.create(model="gpt-4o-mini", input="Hi", stream=True)
    return await client.chat.completions.create(**CHAT)


@pytest.mark.parametrize("responses", [False, True])
async def test_the_frames_have_the_json_that_the_api_sent(responses: bool) -> None:
    path, question = ("/responses", {"input": "Hi"}) if responses else ("/chat/completions", CHAT)
    body = {"model": "gpt-4o-mini", "stream": True, **question}
    fakes = [FakeOpenAI().reply("Hello, 世界!\n", tool_calls=[("f", {"a": 1})]) for _ in range(2)]
    http = fakes[0].async_http_client()
    reply = await http.post(fakes[0].base_url + path, json=body, headers={"authorization": "Bearer sk-fake"})
    again = await frames(await stream_of(fakes[1], responses=responses))
    assert [data(frame) for frame in again[:-1]] == [
        data(block) for block in reply.content.split(b"\n\n") if b"data: {" in block
    ]
    assert all(frame.startswith(b"event: response.") is responses for frame in again[:-1])


async def test_the_sdk_reads_the_frames_back() -> None:
    fake = FakeOpenAI()
    fake.reply("Hello, 世界!", tool_calls=[("f", {"a": 1})])
    body = b"".join(await frames(await stream_of(fake)))
    fake = FakeOpenAI()
    fake.reply("Hello, 世界!", tool_calls=[("f", {"a": 1})])
    expected, _ = await taken(await stream_of(fake))

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    http_client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    client = openai.AsyncOpenAI(api_key="k", http_client=http_client)
    found, error = await taken(await client.chat.completions.create(**CHAT))
    assert (found, error) == (expected, None)


async def test_silence_is_filled_with_comments_and_loses_nothing() -> None:
    gate = asyncio.Event()
    events = to_sse(Source(["a", gate, "b"]), ping=0.001)
    assert await anext(events) == b'data: "a"\n\n'
    assert [await anext(events) for _ in range(3)] == [b": ping\n\n"] * 3
    gate.set()
    rest = [frame for frame in (await taken(events))[0] if frame != b": ping\n\n"]
    assert rest == [b'data: "b"\n\n', b"data: [DONE]\n\n"]


async def test_no_comments_are_sent_when_they_are_turned_off() -> None:
    gate = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, gate.set)
    assert await frames(Source([gate, "a"]), ping=None) == [b'data: "a"\n\n', b"data: [DONE]\n\n"]


@pytest.mark.parametrize("ping", [0, -1.0, float("nan")])
async def test_a_ping_that_is_no_interval_is_named(ping: float) -> None:
    with pytest.raises(ValueError, match=f"ping={ping!r} is no interval"):
        to_sse(Source(), ping=ping)


def test_the_headers_forbid_to_hold_events_back() -> None:
    assert SSE_HEADERS == {"cache-control": "no-cache", "x-accel-buffering": "no"}


class Interrupted(LLMKitError, ConnectionError):
    """As StreamInterrupted is one."""


async def test_an_error_of_the_api_is_the_last_event_and_its_text_stays_here(caplog: pytest.LogCaptureFixture) -> None:
    source = Source(["a"], error=Interrupted(SECRET))
    found = await frames(source)
    message = "The answer broke off before its end."
    assert found[0] == b'data: "a"\n\n'
    assert found[1:] == [b'event: error\ndata: {"error":{"type":"Interrupted","message":"%b"}}\n\n' % message.encode()]
    assert source.closes == 1
    [record] = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.WARNING,
        "a stream to a browser broke off with Interrupted",
    )


async def test_another_error_is_told_to_the_browser_and_raised() -> None:
    found, error = await taken(to_sse(Source(["a"], error=ZeroDivisionError(SECRET))))
    assert SECRET.encode() not in b"".join(found)
    assert data(found[1])["error"]["type"] == "ZeroDivisionError"
    assert isinstance(error, ZeroDivisionError)


def endless() -> dict[str, Any]:
    event: dict[str, Any] = {}
    event["again"] = event
    return event


async def test_an_event_that_cannot_be_json_closes_the_stream_and_is_raised() -> None:
    source, browser = Source([endless()], hangs=True), Browser()
    found, error = await taken(to_sse(source))
    assert data(found[0])["error"]["type"] == "RecursionError"
    assert isinstance(error, RecursionError)
    assert source.closes == 1
    source = Source([endless()], hangs=True)
    with pytest.raises(RecursionError):
        await to_websocket(source, browser)
    assert browser.sent[0]["error"]["type"] == "RecursionError"
    assert source.closes == 1


async def test_a_dropped_connection_of_the_api_ends_with_an_error_event() -> None:
    fake = FakeOpenAI()
    fake.drop("Hello there", after=3)
    found = await frames(await stream_of(fake))
    assert data(found[-1])["error"]["type"] == "APIConnectionError"
    assert b"[DONE]" not in b"".join(found)
    assert fake.open_streams == 0


async def test_cancelling_the_response_closes_the_stream() -> None:
    source = Source(["a"], hangs=True)
    response = asyncio.create_task(taken(to_sse(source)))
    await settled()
    response.cancel()
    with pytest.raises(asyncio.CancelledError):
        await response
    assert source.closes == 1


async def test_a_websocket_gets_each_event_as_json_and_then_done() -> None:
    browser, source = Browser(), Source(["a", Step(), {"n": 1}])
    assert await to_websocket(source, browser) is True
    assert browser.sent == ["a", {"type": "tool_result", "names": ["a", "b"]}, {"n": 1}, {"type": "done"}]
    assert source.closes == 1
    browser.says(text="next")
    assert (await browser.receive())["text"] == "next"


async def test_a_merged_stream_of_the_sdk_goes_over_a_websocket() -> None:
    browser, fake = Browser(), FakeOpenAI()
    fake.reply("Hello there")
    assert await to_websocket(coalesce(await stream_of(fake)), browser)
    texts = [event["choices"][0]["delta"].get("content") or "" for event in browser.sent[:-1]]
    assert "".join(texts) == "Hello there"
    assert fake.open_streams == 0


async def test_a_browser_that_leaves_while_the_model_is_silent_closes_the_stream() -> None:
    browser, source = Browser(), Source(["a"], hangs=True)
    sending = asyncio.create_task(to_websocket(source, browser))
    await settled()
    browser.leaves()
    assert await sending is False
    assert browser.sent == ["a"]
    assert source.cancelled
    assert source.closes == 1


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("already closed")])
async def test_a_browser_that_cannot_be_sent_to_has_left(error: Exception) -> None:
    browser, source = Browser(), Source(["a"] * 100)
    browser.breaks = error
    assert await to_websocket(source, browser) is False
    assert source.closes == 1
    assert source.read < 50


async def test_a_browser_that_cannot_be_received_from_has_left() -> None:
    browser, source = Browser(), Source(["a"], hangs=True)
    browser.inbox.put_nowait(RuntimeError("already disconnected"))
    assert await to_websocket(source, browser) is False
    assert source.closes == 1


async def test_a_websocket_that_was_not_accepted_is_an_error_of_the_programmer() -> None:
    browser, source = Browser(), Source(["a"], hangs=True)
    browser.breaks = RuntimeError("not accepted")
    browser.inbox.put_nowait({"type": "websocket.connect"})
    with pytest.raises(RuntimeError, match=r"`await websocket.accept\(\)` before to_websocket"):
        await to_websocket(source, browser)
    assert source.closes == 1


async def test_an_error_of_the_api_is_the_last_message_and_the_browser_is_still_there() -> None:
    browser = Browser()
    assert await to_websocket(Source(["a"], error=Interrupted(SECRET)), browser) is True
    told = {"type": "Interrupted", "message": "The answer broke off before its end."}
    assert browser.sent == ["a", {"type": "error", "error": told}]


async def test_another_error_is_sent_to_the_browser_and_raised() -> None:
    browser = Browser()
    with pytest.raises(ZeroDivisionError):
        await to_websocket(Source(["a"], error=ZeroDivisionError(SECRET)), browser)
    assert browser.sent[-1]["error"]["type"] == "ZeroDivisionError"


async def test_messages_of_the_browser_go_to_the_callback_in_order() -> None:
    browser, gate, heard = Browser(), asyncio.Event(), list[Any]()

    async def on_message(message: str | bytes) -> None:
        await asyncio.sleep(0)
        heard.append(message)
        if message == b"2":
            gate.set()

    browser.says(text="1")
    browser.says(bytes=b"2")
    assert await to_websocket(Source(["a", gate]), browser, on_message=on_message)
    assert heard == ["1", b"2"]
    browser.says(text="3")
    gate.clear()
    sending = asyncio.create_task(to_websocket(Source([gate]), browser, on_message=heard.append))
    await settled()
    gate.set()
    assert await sending
    assert heard[2:] == ["3"]


async def test_messages_are_dropped_without_a_callback() -> None:
    browser, gate = Browser(), asyncio.Event()
    browser.says(text="ignored")
    sending = asyncio.create_task(to_websocket(Source(["a", gate, "b"]), browser))
    await settled()
    assert browser.inbox.empty()
    gate.set()
    assert await sending is True


async def test_a_message_in_hand_is_handled_to_its_end() -> None:
    browser, ended, heard = Browser(), asyncio.Event(), list[Any]()

    async def on_message(message: str | bytes) -> None:
        await ended.wait()
        heard.append(message)

    browser.says(text="save this")
    sending = asyncio.create_task(to_websocket(Source(["a"]), browser, on_message=on_message))
    await settled()
    assert browser.sent == ["a", {"type": "done"}]
    assert not sending.done()
    ended.set()
    assert await sending is True
    assert heard == ["save this"]


async def test_what_the_callback_raises_stops_the_stream_and_comes_out() -> None:
    class Stop(Exception):
        """The browser's stop button."""

    def on_message(message: str | bytes) -> None:
        raise Stop

    browser, source = Browser(), Source(["a"], hangs=True)
    sending = asyncio.create_task(to_websocket(source, browser, on_message=on_message))
    await settled()
    browser.says(text="stop")
    with pytest.raises(Stop):
        await sending
    assert source.closes == 1
    assert browser.sent[-1]["error"]["type"] == "Stop"


async def test_cancelling_the_sender_closes_the_stream_and_stops_listening() -> None:
    browser, source, before = Browser(), Source(["a"], hangs=True), asyncio.all_tasks()
    sending = asyncio.create_task(to_websocket(source, browser))
    await settled()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert source.closes == 1
    assert asyncio.all_tasks() == before


async def test_a_slow_browser_slows_the_source_down() -> None:
    class Slow(Browser):
        async def send_text(self, data: str) -> None:
            await settled(50)
            assert source.read <= len(self.sent) + 17
            await super().send_text(data)

    async def numbers() -> AsyncIterator[int]:
        async for number in source:
            yield number

    browser, source = Slow(), Source(range(200))
    assert await to_websocket(numbers(), browser)
    assert browser.sent[:-1] == list(range(200))
