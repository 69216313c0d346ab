"""to_sse and to_websocket in a FastAPI app on a real uvicorn, with real clients, in front of FakeOpenAI."""

from __future__ import annotations

import asyncio
import json
import queue
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, WebSocket
from starlette.responses import StreamingResponse
from web_server import served
from websockets.asyncio.client import connect

from llmkit import AsyncOpenAI, CallRecord, UsageLog
from llmkit.streaming.coalescing import coalesce
from llmkit.streaming.texts import piece_of
from llmkit.streaming.web import SSE_HEADERS, to_sse, to_websocket
from llmkit.testing import FakeOpenAI

PATIENCE = 20
"""Seconds after which a test fails that waits for what should come at once."""
HOUR = 3600.0
TEXT = "The quick brown fox jumps over the lazy dog, 世界! "


class Shop:
    """An app that streams the fake's answers; what becomes of the calls is in `records`, of WebSockets in `sent`."""

    def __init__(self, fake: FakeOpenAI) -> None:
        self.fake = fake
        self.records: queue.Queue[CallRecord] = queue.Queue()
        self.sent: queue.Queue[bool] = queue.Queue()
        self.heard: list[Any] = []
        self.app = FastAPI()
        self.app.get("/sse")(self.sse)
        self.app.websocket("/ws")(self.ws)
        self._client: AsyncOpenAI | None = None

    async def stream(self) -> Any:
        self._client = self._client or self.fake.async_client(middleware=[UsageLog(sinks=[self.records.put])])
        messages: Any = [{"role": "user", "content": "Hi"}]
        return await self._client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)

    async def sse(self) -> StreamingResponse:
        events = to_sse(coalesce(await self.stream()))
        return StreamingResponse(events, media_type="text/event-stream", headers=SSE_HEADERS)

    async def ws(self, websocket: WebSocket) -> None:
        await websocket.accept()
        while await to_websocket(coalesce(await self.stream()), websocket, on_message=self.heard.append):
            self.sent.put(True)
            self.heard.append(await websocket.receive_text())
        self.sent.put(False)

    def record(self) -> CallRecord:
        return self.records.get(timeout=PATIENCE)


def events_of(body: str) -> list[Any]:
    return [json.loads(block.partition("data: ")[2]) for block in body.split("\n\n") if "data: {" in block]


def text_of(chunks: list[Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def others_of(chunks: list[Any]) -> list[Any]:
    return [chunk for chunk in chunks if not text_of([chunk])]


async def expected(text: str) -> list[Any]:
    fake = FakeOpenAI().reply(text)
    messages: Any = [{"role": "user", "content": "Hi"}]
    stream = await fake.async_client().chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
    return [chunk.to_dict() async for chunk in stream if piece_of(chunk) is None]


async def test_a_whole_stream_arrives_over_server_sent_events() -> None:
    shop = Shop(FakeOpenAI(cut=[7, 100]).reply(TEXT * 20))
    with served(shop.app) as address:
        async with httpx2.AsyncClient() as http:
            response = await http.get(f"http://{address}/sse")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert {name: response.headers[name] for name in SSE_HEADERS} == dict(SSE_HEADERS)
    assert response.text.endswith("data: [DONE]\n\n")
    chunks = events_of(response.text)
    assert text_of(chunks) == TEXT * 20
    assert others_of(chunks) == await expected(TEXT * 20)
    assert shop.record().complete
    assert shop.fake.open_streams == 0


async def test_whole_streams_arrive_over_one_websocket() -> None:
    shop = Shop(FakeOpenAI(cut=100).reply(TEXT * 20).reply("Second"))
    with served(shop.app) as address:
        async with connect(f"ws://{address}/ws") as websocket:
            for text in (TEXT * 20, "Second"):
                received = [json.loads(await websocket.recv())]
                while received[-1] != {"type": "done"}:
                    received.append(json.loads(await websocket.recv()))
                assert text_of(received[:-1]) == text
                assert shop.record().complete
                assert shop.sent.get(timeout=PATIENCE)
                await websocket.send("again")
    assert shop.heard[0] == "again"
    assert shop.fake.open_streams == 0


def assert_cut(shop: Shop) -> None:
    record = shop.record()
    assert not record.complete
    assert record.error in (None, "CancelledError")
    assert shop.fake.open_streams == 0


@pytest.mark.parametrize(("delay", "read"), [(0.005, 3), (HOUR, 0)])
async def test_a_client_that_leaves_server_sent_events_closes_the_call(delay: float, read: int) -> None:
    shop = Shop(FakeOpenAI(delay=delay).reply(TEXT * 1000))
    with served(shop.app) as address:
        async with httpx2.AsyncClient() as http, http.stream("GET", f"http://{address}/sse") as response:
            chunks = response.aiter_bytes()
            for _ in range(read):
                await anext(chunks)
        assert_cut(shop)


@pytest.mark.parametrize(("delay", "read"), [(0.005, 3), (HOUR, 0)])
async def test_a_client_that_leaves_a_websocket_closes_the_call(delay: float, read: int) -> None:
    shop = Shop(FakeOpenAI(delay=delay).reply(TEXT * 1000))
    with served(shop.app) as address:
        async with connect(f"ws://{address}/ws") as websocket:
            for _ in range(read):
                await websocket.recv()
        assert_cut(shop)
        assert shop.sent.get(timeout=PATIENCE) is False


async def test_a_connection_that_is_reset_closes_the_call_as_well() -> None:
    shop = Shop(FakeOpenAI(delay=0.005).reply(TEXT * 1000))
    with served(shop.app) as address:
        async with connect(f"ws://{address}/ws") as websocket:
            await websocket.recv()
            websocket.transport.abort()
            await asyncio.to_thread(assert_cut, shop)
        assert shop.sent.get(timeout=PATIENCE) is False


async def test_a_call_that_breaks_off_ends_both_kinds_with_an_error() -> None:
    shop = Shop(FakeOpenAI().drop(TEXT, after=4).drop(TEXT, after=4))
    with served(shop.app) as address:
        async with httpx2.AsyncClient() as http:
            response = await http.get(f"http://{address}/sse")
        assert response.text.split("\n\n")[-2].startswith('event: error\ndata: {"error":{"type":"APIConnectionError"')
        assert "[DONE]" not in response.text
        async with connect(f"ws://{address}/ws") as websocket:
            message: Any = {}
            while message.get("type") != "error":
                message = json.loads(await websocket.recv())
            assert message["error"]["type"] == "APIConnectionError"
    assert [shop.record().error for _ in range(2)] == ["APIConnectionError"] * 2
    assert shop.fake.open_streams == 0


async def test_a_client_that_does_not_read_holds_the_stream_up_and_closes_it_when_it_leaves() -> None:
    flood, closed = threading.Event(), threading.Event()

    async def lots() -> AsyncIterator[str]:
        try:
            for number in range(100_000):
                if number == 20_000:  # 80 MB: more than all buffers on the way
                    flood.set()
                yield "four thousand bytes " * 200
        finally:
            closed.set()

    app = FastAPI()

    @app.get("/sse")
    async def sse() -> StreamingResponse:
        return StreamingResponse(to_sse(lots()), media_type="text/event-stream")

    with served(app) as address:
        host, _, port = address.partition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"GET /sse HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert client.recv(1)
            assert not flood.wait(0.5)
            assert not closed.is_set()
        assert closed.wait(PATIENCE)
    assert not flood.is_set()
