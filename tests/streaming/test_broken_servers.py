"""Servers that stall, drop, truncate and flood, over real sockets, and what becomes of the connection."""

from __future__ import annotations

import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Event
from typing import Any

import anyio
import httpx2
import openai
import pytest
from streaming.broken_server import CHUNKED, UNTIL_CLOSE, Behaviour, Connection, Server, chat, event, response, serving

import llmkit
from llmkit.streaming.channels import channel
from llmkit.streaming.coalescing import coalesce
from llmkit.streaming.gather import collect
from llmkit.streaming.interrupted import StreamInterrupted, whole
from llmkit.streaming.web import to_sse

PATIENCE = {"stalls": 0.5}
"""Seconds without a byte after which a client gives up; a minute where nobody should have to."""

Parts = Callable[[], list[bytes]]
CLIENTS = [pytest.param(llmkit.AsyncOpenAI, id="llmkit"), pytest.param(openai.AsyncOpenAI, id="openai")]
APIS = ["chat", "responses"]
READINGS: list[Any] = [whole, coalesce, channel, to_sse]


def parts(api: str, *, finished: bool = False) -> list[bytes]:
    """A stream of "Grüße " and "😀 you"; the emoji is in the second event of text."""
    if api == "responses":
        return list(response(["Grüße ", "😀 you"], finished=finished))
    return [chat("Grüße "), chat("😀 you"), *([chat(finish="stop"), b"data: [DONE]\n\n"] if finished else [])]


@asynccontextmanager
async def opened(client_class: Any, server: Server, api: str, *, read: float = 60.0) -> AsyncIterator[tuple[Any, Any]]:
    """A client and an open stream of it."""
    timeout = httpx2.Timeout(60.0, read=read)
    client = client_class(api_key="sk-fake", base_url=server.base_url, max_retries=0, timeout=timeout)
    async with client:
        if api == "chat":
            stream = await client.chat.completions.create(model="gpt-4o", messages=[], stream=True)
        else:
            stream = await client.responses.create(model="gpt-4o", input="Hi", stream=True)
        yield client, stream


def active_connections(client: Any) -> list[Any]:
    """The connections of the pool that are neither idle nor closed: each one is a leak once its stream is over."""
    connections = client._client._transport._pool.connections
    return [found for found in connections if not found.is_idle() and not found.is_closed()]


def drop(api: str) -> Behaviour:
    def behave(connection: Connection) -> None:
        connection.send(CHUNKED)
        for part in parts(api):
            connection.chunk(part)
        connection.socket.close()

    return behave


def drop_without_length(api: str) -> Behaviour:
    def behave(connection: Connection) -> None:
        connection.send(UNTIL_CLOSE + b"".join(parts(api)))
        connection.socket.close()

    return behave


def end_cleanly(api: str) -> Behaviour:
    def behave(connection: Connection) -> None:
        connection.send(CHUNKED)
        for part in parts(api):
            connection.chunk(part)
        connection.send(b"0\r\n\r\n")

    return behave


def stall(api: str) -> Behaviour:
    def behave(connection: Connection) -> None:
        connection.send(CHUNKED)
        for part in parts(api):
            connection.chunk(part)
        connection.wait_for_the_client_to_leave()
        connection.socket.close()

    return behave


def truncate(api: str, *, at: bytes, offset: int, chunked: bool, abort: bool = False) -> Behaviour:
    """Send up to `offset` bytes into the first `at` of the last event, then end or break."""
    *whole_parts, last = parts(api)
    cut = last[: last.index(at) + offset]

    def behave(connection: Connection) -> None:
        connection.send(CHUNKED if chunked else UNTIL_CLOSE)
        for part in [*whole_parts, cut]:
            (connection.chunk if chunked else connection.send)(part)
        if chunked and not abort:
            connection.send(b"0\r\n\r\n")
        connection.socket.close()

    return behave


def cut_a_chunk(api: str) -> Behaviour:
    def behave(connection: Connection) -> None:
        connection.send(CHUNKED)
        for part in parts(api):
            connection.chunk(part)
        connection.send(b"ffff\r\ndata: {")
        connection.socket.close()

    return behave


def spoil_the_framing(api: str) -> Behaviour:
    def behave(connection: Connection) -> None:
        connection.send(CHUNKED)
        for part in parts(api):
            connection.chunk(part)
        connection.send(b"what is this?\r\n")
        connection.socket.close()

    return behave


def spoil_an_event(data: bytes) -> Callable[[str], Behaviour]:
    def of(api: str) -> Behaviour:
        def behave(connection: Connection) -> None:
            connection.send(CHUNKED)
            for part in parts(api):
                connection.chunk(part)
            connection.chunk(b"data: " + data + b"\n\n")
            connection.wait_for_the_client_to_leave()
            connection.socket.close()

        return behave

    return of


EMOJI = "😀".encode()
BREAKS: dict[str, tuple[Callable[[str], Behaviour], str]] = {
    "stalls": (stall, "Grüße 😀 you"),
    "is cut off (FIN)": (drop, "Grüße 😀 you"),
    "ends where the connection does": (drop_without_length, "Grüße 😀 you"),
    "ends cleanly without its last event": (end_cleanly, "Grüße 😀 you"),
    "is cut inside a chunk": (cut_a_chunk, "Grüße 😀 you"),
    "has broken framing": (spoil_the_framing, "Grüße 😀 you"),
    "has an event that is not JSON": (spoil_an_event(b'{"a": '), "Grüße 😀 you"),
    "has an event that is not UTF-8": (spoil_an_event(b'{"a": "\xf0\x9f"}'), "Grüße 😀 you"),
    "ends inside a character": (lambda api: truncate(api, at=EMOJI, offset=2, chunked=True), "Grüße "),
    "ends inside a character with the connection": (
        lambda api: truncate(api, at=EMOJI, offset=2, chunked=False),
        "Grüße ",
    ),
    "breaks inside a character": (lambda api: truncate(api, at=EMOJI, offset=2, chunked=True, abort=True), "Grüße "),
    "ends inside JSON": (lambda api: truncate(api, at=b"you", offset=2, chunked=True), "Grüße "),
    "breaks inside JSON": (lambda api: truncate(api, at=b"you", offset=2, chunked=True, abort=True), "Grüße "),
}


@pytest.mark.parametrize("client_class", CLIENTS)
@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("way", BREAKS)
async def test_a_stream_is_interrupted_and_its_connection_given_up_when_it(
    way: str, api: str, client_class: Any
) -> None:
    seen: list[str] = []
    behaviour, text = BREAKS[way]
    with serving(behaviour(api)) as server, anyio.fail_after(60):
        async with opened(client_class, server, api, read=PATIENCE.get(way, 60.0)) as (client, stream):
            with pytest.raises(StreamInterrupted) as caught:
                await read(stream, seen.append)
            assert caught.value.text == "".join(seen) == text
            assert stream.response.is_closed
            assert active_connections(client) == []


async def read(stream: Any, see: Callable[[str], object]) -> None:
    """Show `see` the text of each event, to the end of the stream."""
    async for each in whole(stream):
        see(text_in(each))


def text_in(each: Any) -> str:
    """The text that an event adds."""
    if hasattr(each, "choices"):
        return str(each.choices[0].delta.content or "")
    return str(each.delta) if each.type == "response.output_text.delta" else ""


@pytest.mark.parametrize("client_class", CLIENTS)
@pytest.mark.parametrize("api", APIS)
async def test_a_reset_connection_is_an_interruption(api: str, client_class: Any) -> None:
    seen = Event()

    def behave(connection: Connection) -> None:
        connection.send(CHUNKED)
        connection.chunk(b"".join(parts(api)))
        seen.wait(20)  # a reset throws away what the client has not read
        connection.reset()
        connection.socket.close()

    with serving(behave) as server:
        async with opened(client_class, server, api) as (client, stream):
            with pytest.raises(StreamInterrupted) as caught:
                await read(stream, lambda text: seen.set() if "you" in text else None)
            assert caught.value.text == "Grüße 😀 you"
            assert isinstance(caught.value.__cause__, openai.APIConnectionError)
            assert active_connections(client) == []


@pytest.mark.parametrize("client_class", CLIENTS)
@pytest.mark.parametrize("api", APIS)
async def test_a_whole_stream_gives_its_connection_back(api: str, client_class: Any) -> None:
    def behave(connection: Connection) -> None:
        connection.send(CHUNKED)
        for byte in b"".join(parts(api, finished=True)):
            connection.chunk(bytes([byte]))
        connection.send(b"0\r\n\r\n")

    with serving(behave) as server:
        async with opened(client_class, server, api) as (client, stream):
            answer = await collect(stream)
            found = answer.output_text if api == "responses" else answer.choices[0].message.content
            assert found == "Grüße 😀 you"
            assert active_connections(client) == []
            if api == "chat":
                await collect(await client.chat.completions.create(model="m", messages=[], stream=True))
                assert len(server.connections) == 1


@pytest.mark.parametrize("client_class", CLIENTS)
async def test_an_error_event_in_mid_stream_is_the_apis_own_and_closes(client_class: Any) -> None:
    def behave(connection: Connection) -> None:
        connection.send(CHUNKED)
        connection.chunk(chat("Hello") + event({"error": {"message": "The server had an error", "code": "oops"}}))
        connection.wait_for_the_client_to_leave()
        connection.socket.close()

    with serving(behave) as server:
        async with opened(client_class, server, "chat") as (client, stream):
            with pytest.raises(openai.APIError, match="The server had an error"):
                await collect(stream)
            assert active_connections(client) == []


@pytest.mark.parametrize("client_class", CLIENTS)
async def test_a_cancelled_reader_gives_its_connection_up(client_class: Any) -> None:
    with serving(stall("chat")) as server:
        client = client_class(api_key="sk-fake", base_url=server.base_url, max_retries=0, timeout=60)
        async with client, anyio.create_task_group() as tasks:
            stream = await client.chat.completions.create(model="gpt-4o", messages=[], stream=True)
            arrived = anyio.Event()

            tasks.start_soon(read, stream, lambda text: arrived.set() if "you" in text else None)
            await arrived.wait()
            tasks.cancel_scope.cancel()
        assert active_connections(client) == []
        await anyio.to_thread.run_sync(server.connections[0].hung_up.wait, 20)
        assert server.connections[0].hung_up.is_set()


@pytest.mark.parametrize("client_class", CLIENTS)
@pytest.mark.parametrize("reading", READINGS, ids=lambda reading: reading.__name__)
@pytest.mark.parametrize("read", [0, 1])
async def test_a_reader_that_leaves_early_gives_its_connection_up(reading: Any, read: int, client_class: Any) -> None:
    with serving(stall("chat")) as server, anyio.fail_after(60):
        async with opened(client_class, server, "chat") as (client, stream):
            async with reading(stream) as events:
                for _ in range(read):
                    await anext(events)
            assert active_connections(client) == []
            assert await anyio.to_thread.run_sync(server.connections[0].hung_up.wait, 20)


@pytest.mark.parametrize("client_class", CLIENTS)
async def test_a_flood_waits_at_the_server_for_a_slow_reader(client_class: Any) -> None:
    """20 MB of events: while the reader waits, TCP holds the server back and the reader's memory stays flat."""
    events, padding = 10_000, b"x" * 2_000

    def behave(connection: Connection) -> None:
        connection.send(CHUNKED)
        for number in range(events):
            connection.flood(chat(f"{number} ").replace(b'"model"', b'"pad": "%b", "model"' % padding))
        connection.chunk(chat(finish="stop") + b"data: [DONE]\n\n")
        connection.send(b"0\r\n\r\n")

    with serving(behave) as server:
        client = client_class(api_key="sk-fake", base_url=server.base_url, max_retries=0, timeout=60)
        async with client:
            stream = await client.chat.completions.create(model="gpt-4o", messages=[], stream=True)
            numbers, peak = list[str](), 0
            tracemalloc.start()
            async for each in whole(stream):
                numbers.append(text_in(each))
                if len(numbers) in (1, 1_000):
                    connection = server.connections[0]
                    await anyio.to_thread.run_sync(connection.full.wait, 60)
                    assert connection.sent < events * len(padding)
                if len(numbers) == 2_000:
                    peak = tracemalloc.get_traced_memory()[1]
                    tracemalloc.stop()
            assert "".join(numbers).split() == [str(number) for number in range(events)]
            assert peak < 4_000_000
            assert active_connections(client) == []
