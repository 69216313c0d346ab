"""The fake API on a real socket."""

from __future__ import annotations

import socket
import threading
from itertools import islice

import httpx2
import openai
import pytest

from llmkit.testing import FakeOpenAI, virtual_time

HELLO = [{"role": "user", "content": "Hello"}]


def test_it_answers_several_requests_over_one_connection(fake: FakeOpenAI) -> None:
    with fake.serve() as base_url, openai.OpenAI(api_key="k", base_url=base_url) as client:
        assert base_url.startswith("http://127.0.0.1:")
        reply = client.chat.completions.create(model="m", messages=HELLO)
        assert reply.choices[0].message.content == "You said: Hello"
        assert client.models.list().data
        assert len(client.embeddings.create(model="m", input="x").data) == 1
    assert [request.path for request in fake.requests] == ["/v1/chat/completions", "/v1/models", "/v1/embeddings"]
    assert fake.open_streams == 0


async def test_it_streams_to_an_async_client(fake: FakeOpenAI) -> None:
    fake.reply("Hello you")
    with fake.serve() as base_url:
        async with openai.AsyncOpenAI(api_key="k", base_url=base_url) as client:
            chunks = await client.chat.completions.create(model="m", messages=HELLO, stream=True)
            text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
    assert text == "Hello you"


def test_errors_and_headers_cross_the_socket(fake: FakeOpenAI) -> None:
    fake.error(429, headers={"retry-after": "2"})
    with (
        fake.serve() as base_url,
        openai.OpenAI(api_key="k", base_url=base_url, max_retries=0) as client,
        pytest.raises(openai.RateLimitError) as caught,
    ):
        client.chat.completions.create(model="m", messages=HELLO)
    assert caught.value.response.headers["retry-after"] == "2"


def test_a_response_of_ones_own_is_framed_once(fake: FakeOpenAI) -> None:
    fake.respond(httpx2.Response(200, json={"plain": True}))
    with fake.serve() as base_url, httpx2.Client() as client:
        answer = client.get(f"{base_url}/anything")
    assert answer.json() == {"plain": True}
    assert "content-length" not in answer.headers


def test_a_dropped_stream_closes_the_socket_in_the_middle_of_a_chunk(fake: FakeOpenAI) -> None:
    fake.drop("Hello you", after=3)
    with fake.serve() as base_url, openai.OpenAI(api_key="k", base_url=base_url, max_retries=0) as client:
        chunks = client.chat.completions.create(model="m", messages=HELLO, stream=True)
        received = [chunk.choices[0].delta.content for chunk in islice(chunks, 3)]
        with pytest.raises(openai.APIConnectionError) as caught:
            next(chunks)
    assert received == ["", "Hell", "o yo"]
    assert isinstance(caught.value.__cause__, httpx2.RemoteProtocolError)
    assert fake.open_streams == 0


def test_a_failure_hangs_up_without_an_answer(fake: FakeOpenAI) -> None:
    fake.fail(httpx2.ConnectError("refused"))
    with (
        fake.serve() as base_url,
        openai.OpenAI(api_key="k", base_url=base_url, max_retries=0) as client,
        pytest.raises(openai.APIConnectionError) as caught,
    ):
        client.chat.completions.create(model="m", messages=HELLO)
    assert "without sending a response" in str(caught.value.__cause__)


def test_a_client_that_leaves_early_leaves_no_stream_open() -> None:
    fake = FakeOpenAI(stream_chars=1000).reply("x" * 16_000_000)  # more than the socket's buffers take
    body = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}'
    with fake.serve() as base_url:
        port = int(base_url.rsplit(":", 1)[1].removesuffix("/v1"))
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\n"
                b"content-length: %d\r\n\r\n%b" % (len(body), body)
            )
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
    assert fake.open_streams == 0


def test_leaving_the_block_ends_kept_connections_and_all_threads(fake: FakeOpenAI) -> None:
    before = threading.active_count()
    with httpx2.Client() as client:
        with fake.serve() as base_url:
            client.get(f"{base_url}/models", headers={"api-key": "k"})
        assert threading.active_count() == before
        with pytest.raises(httpx2.ConnectError):
            client.get(f"{base_url}/models")


def test_virtual_time_reaches_the_server(fake: FakeOpenAI) -> None:
    slow = FakeOpenAI(delay=3600)
    with virtual_time() as clock, slow.serve() as base_url, httpx2.Client() as client:
        assert client.get(f"{base_url}/models", headers={"api-key": "k"}).status_code == 200
    assert clock.sleeps == [3600]
