"""The HTTP client that a client gets when it is given none, over real sockets."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Barrier, Semaphore, Thread
from typing import Any

import anyio.to_thread
import httpx2
import openai
import pytest
import truststore
from openai import _base_client
from openai.lib.bedrock import AsyncBedrockOpenAI
from openai.providers import bedrock
from surfaces import CHAT
from wire_servers import (
    ANSWER,
    MODELS,
    Certificates,
    Gone,
    accepting,
    answer,
    answer_one_over_http2,
    answer_over_http2,
    has_request,
)

import llmkit
from llmkit import LLMKitError
from llmkit.testing import FakeOpenAI, virtual_time
from llmkit.transport import KEEPALIVE_SECONDS, _shared_context

BARE: dict[str, Any] = {"api_key": "sk-fake", "middleware": [], "max_retries": 0}
AZURE: dict[str, Any] = {"api_key": "k", "api_version": "2025-01-01", "azure_endpoint": "https://fake.azure.test"}
X509: dict[str, Any] = {
    "workload_identity": {"type": "x509", "identity_provider_id": "idp", "service_account_id": "sa"},
}


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificates:
    """An authority that the environment makes every client trust."""
    made = Certificates(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", made.file)
    return made


def tls_of(client: Any) -> ssl.SSLContext:
    return client._client._transport._pool._ssl_context


def facts(client: Any) -> dict[str, Any]:
    """All that shapes what the HTTP client of a client does, but its TLS context and its keep-alive."""
    http = client._client
    named = ("timeout", "base_url", "trust_env", "follow_redirects", "max_redirects", "event_hooks", "params")
    pools = {"": http._transport, **{pattern.pattern: mounted for pattern, mounted in http._mounts.items()}}
    return {
        **{name: getattr(http, name) for name in named},
        "type": type(http),
        "headers": dict(http.headers),
        "timeout of the client": client.timeout,
        "base_url of the client": client.base_url,
        "pools": {pattern: mounted and pool_facts(mounted._pool) for pattern, mounted in pools.items()},
    }


def pool_facts(pool: Any) -> dict[str, Any]:
    named = ("_max_connections", "_max_keepalive_connections", "_http1", "_http2", "_retries", "_local_address", "_uds")
    proxy = getattr(pool, "_proxy_url", None)
    return {**{name: getattr(pool, name) for name in named}, "type": type(pool), "proxy": proxy and bytes(proxy)}


TIMEOUTS: list[dict[str, Any]] = [
    {},
    {"timeout": openai.NOT_GIVEN},
    {"timeout": None},
    {"timeout": 7},
    {"timeout": openai.Timeout(5.0)},  # httpx2's own default
    {"timeout": openai.Timeout(9, connect=1)},
]
CASES: list[tuple[str, dict[str, Any]]] = [
    *[("AsyncOpenAI", {"api_key": "k", **timeout}) for timeout in TIMEOUTS],
    *[("OpenAI", {"api_key": "k", **timeout}) for timeout in TIMEOUTS],
    ("AsyncOpenAI", {"api_key": "k", "base_url": "https://gateway.test/api", "http_client": None}),
    ("OpenAI", {"api_key": "k", "base_url": httpx2.URL("https://gateway.test/api/")}),
    ("AsyncOpenAI", {"api_key": "k", "data_residency": "eu"}),
    ("AsyncOpenAI", {"provider": bedrock(base_url="https://fake.bedrock.test/v1", api_key="k")}),
    ("OpenAI", X509),
    ("AsyncAzureOpenAI", AZURE),
    ("AzureOpenAI", AZURE | {"azure_deployment": "mine", "timeout": 3}),
]


@pytest.mark.parametrize(("name", "options"), CASES)
@pytest.mark.parametrize("proxies", [{}, {"HTTPS_PROXY": "http://u:p@proxy.test:3128", "NO_PROXY": "local.test"}])
def test_a_client_gets_the_http_client_that_the_sdk_would_make(
    name: str,
    options: dict[str, Any],
    proxies: dict[str, str],
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable, value in proxies.items():
        monkeypatch.setenv(variable, value)
    ours, theirs = getattr(llmkit, name)(**options), getattr(openai, name)(**options)
    assert facts(ours) == facts(theirs)
    for mounted in (ours._client._transport, *filter(None, ours._client._mounts.values())):
        assert mounted._pool._keepalive_expiry == KEEPALIVE_SECONDS
        assert mounted._pool._ssl_context is tls_of(llmkit.OpenAI(api_key="k"))


def test_the_http_client_is_the_one_that_workload_identities_exchange_tokens_with() -> None:
    client = llmkit.OpenAI(**X509)
    assert client._workload_identity_auth._http_client is client._client  # type: ignore[union-attr]


def test_a_base_url_from_the_environment_is_the_http_clients_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.test/v2")
    assert llmkit.AsyncOpenAI(api_key="k")._client.base_url == httpx2.URL("https://gateway.test/v2/")


def test_a_program_that_puts_llmkits_clients_in_the_place_of_the_sdks_gets_the_right_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AsyncOpenAI", "OpenAI"):
        monkeypatch.setattr(openai, name, getattr(llmkit, name))
    assert isinstance(openai.AsyncOpenAI(api_key="k")._client, httpx2.AsyncClient)
    assert isinstance(openai.OpenAI(api_key="k")._client, httpx2.Client)


def test_an_http_client_of_the_users_is_left_as_it_is() -> None:
    mine = httpx2.AsyncClient(timeout=3)
    client = llmkit.AsyncOpenAI(api_key="k", base_url="https://x.test", http_client=mine)
    assert client._client is mine
    assert (mine.base_url, client.timeout) == (httpx2.URL(""), httpx2.Timeout(3))


def test_copies_share_the_http_client_until_they_are_given_another() -> None:
    client = llmkit.AsyncOpenAI(api_key="k", transport="http2")
    assert client.with_options(timeout=3)._client is client._client
    other = httpx2.AsyncClient()
    assert client.copy(http_client=other)._client is other


def test_wrap_keeps_the_http_client_also_when_a_class_makes_one_of_its_own() -> None:
    class Mine(openai.AsyncOpenAI):
        def __init__(self, http_client: Any = None, **options: Any) -> None:
            super().__init__(http_client=http_client or httpx2.AsyncClient(timeout=1), **options)

    theirs = Mine(api_key="k")
    wrapped = llmkit.wrap(theirs)
    assert wrapped._client is theirs._client
    assert type(wrapped)(api_key="k").timeout == httpx2.Timeout(1)
    given_a_transport: Any = type(wrapped)
    assert given_a_transport(api_key="k", transport="http2")._client._transport._pool._http2


def test_a_class_that_makes_its_own_http_client_does_so_also_beside_llmkits() -> None:
    class Mine(openai.OpenAI):
        def __init__(self, **options: Any) -> None:
            super().__init__(**{"http_client": httpx2.Client(timeout=1)} | options)

    class Both(llmkit.OpenAI, Mine):
        pass

    assert Both(**BARE).timeout == httpx2.Timeout(1)


def test_wrap_never_touches_the_transport_of_a_bedrock_client() -> None:
    client = AsyncBedrockOpenAI(api_key="k", base_url="https://fake.bedrock.test/v1")
    assert llmkit.wrap(client)._client is client._client


def test_all_clients_of_a_process_share_one_tls_context(certificates: Certificates) -> None:
    names = ("AsyncOpenAI", "OpenAI", "AsyncAzureOpenAI", "AzureOpenAI")
    made = {tls_of(getattr(llmkit, name)(**AZURE if "Azure" in name else BARE)) for name in names * 2}
    assert len(made) == 1
    assert made.isdisjoint({tls_of(llmkit.OpenAI(**BARE, transport="http2"))})


def test_threads_that_make_the_first_clients_at_once_do_no_harm(certificates: Certificates) -> None:
    barrier, made = Barrier(8), []

    def make() -> None:
        barrier.wait()
        made.append(tls_of(llmkit.OpenAI(**BARE)))

    threads = [Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tls_of(llmkit.OpenAI(**BARE)) is tls_of(llmkit.OpenAI(**BARE))
    assert tls_of(llmkit.OpenAI(**BARE)) in made


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"])
def test_another_environment_gives_another_tls_context(
    name: str, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tls_of(llmkit.OpenAI(**BARE))
    (tmp_path / "again").mkdir()
    place = tmp_path / "log" if name == "SSLKEYLOGFILE" else tmp_path / "again"
    monkeypatch.setenv(name, Certificates(place).file if name == "SSL_CERT_FILE" else str(place))
    after = tls_of(llmkit.OpenAI(**BARE))
    assert after is not before
    monkeypatch.undo()
    monkeypatch.setenv("SSL_CERT_FILE", certificates.file)
    assert tls_of(llmkit.OpenAI(**BARE)) is before


def test_a_replaced_certificate_file_gives_another_tls_context(certificates: Certificates, tmp_path: Path) -> None:
    before = tls_of(llmkit.OpenAI(**BARE))
    Certificates(tmp_path)
    assert tls_of(llmkit.OpenAI(**BARE)) is not before


def test_a_missing_certificate_file_is_the_sdks_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/authority.pem")
    with pytest.raises(FileNotFoundError):
        openai.OpenAI(api_key="k")
    with pytest.raises(FileNotFoundError):
        llmkit.OpenAI(api_key="k")


def test_contexts_of_the_system_trust_store_are_not_shared(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They lock one another's handshakes out, get slower with each on Linux, and cost nothing to make."""
    monkeypatch.setattr(ssl, "SSLContext", truststore.SSLContext)  # what truststore.inject_into_ssl() does
    monkeypatch.setattr(
        "httpcore2.default_ssl_context", lambda **_: truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT), raising=True
    )
    first, second = llmkit.OpenAI(**BARE), llmkit.OpenAI(**BARE)
    assert type(tls_of(first)) is truststore.SSLContext
    assert tls_of(first) is not tls_of(second)


def test_the_number_of_contexts_kept_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    for number in range(20):
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / str(number)))
        llmkit.OpenAI(**BARE)
    assert _shared_context.cache_info().currsize == 16


def test_no_connection_changes_the_shared_context(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """httpcore sets the protocols before each handshake, which is not safe beside another thread's handshake."""
    changes: list[list[str]] = []
    monkeypatch.setattr(ssl.SSLContext, "set_alpn_protocols", lambda self, protocols: changes.append(protocols))
    with accepting(answer, certificates.server()) as port:
        for _ in range(2):
            with llmkit.OpenAI(**BARE, base_url=f"https://127.0.0.1:{port}/v1") as client:
                assert client.models.list().data == []
    assert changes == [["http/1.1"]]


def test_a_tls_round_trip_with_an_authority_from_the_environment(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    with accepting(answer, certificates.server("http/1.1")) as port:
        base_url = f"https://127.0.0.1:{port}/v1"
        with llmkit.OpenAI(**BARE, base_url=base_url) as client:
            assert client.models.list().data == []
        monkeypatch.delenv("SSL_CERT_FILE")
        with llmkit.OpenAI(**BARE, base_url=base_url) as client, pytest.raises(openai.APIConnectionError):
            client.models.list()


async def over(client: Any) -> str:
    """Make a call; the version of HTTP that it went over."""
    async with client:
        raw = await client.models.with_raw_response.list()
        assert raw.parse().data == []
        return str(raw.http_response.http_version)


async def test_each_transport_speaks_its_http_to_a_real_tls_server(certificates: Certificates) -> None:
    with accepting(answer, certificates.server("http/1.1")) as port:
        make = partial(llmkit.AsyncOpenAI, **BARE, base_url=f"https://127.0.0.1:{port}/v1")
        versions = [await over(make(transport=name)) for name in (None, "httpx", "aiohttp", "http2")]
        assert versions == ["HTTP/1.1"] * 4  # http2 settles for what the server has
    with accepting(answer_over_http2, certificates.server("h2")) as port:
        make = partial(llmkit.AsyncOpenAI, **BARE, base_url=f"https://127.0.0.1:{port}/v1")
        assert await over(make(transport="http2")) == "HTTP/2"
        with llmkit.OpenAI(**BARE, base_url=f"https://127.0.0.1:{port}/v1", transport="http2") as client:
            assert client.models.with_raw_response.list().http_response.http_version == "HTTP/2"


async def test_http2_has_the_same_limits_and_the_same_client_otherwise() -> None:
    client, plain = llmkit.AsyncOpenAI(**BARE, transport="http2"), openai.AsyncOpenAI(api_key="k", max_retries=0)
    found, expected = facts(client), facts(plain)
    expected["pools"][""]["_http2"] = True
    assert found == expected


async def test_aiohttp_has_the_same_limits_timeouts_and_tls(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    client = llmkit.AsyncOpenAI(**BARE, base_url="https://x.test/v1", transport="aiohttp")
    http: Any = client._client
    assert isinstance(http, openai.DefaultAioHttpClient)
    assert (http.timeout, http.follow_redirects) == (openai.DEFAULT_TIMEOUT, True)
    assert (http.base_url, client.timeout) == (httpx2.URL("https://x.test/v1/"), openai.DEFAULT_TIMEOUT)
    (proxied,) = http._mounts.values()
    assert str(proxied.proxy.url) == "http://proxy.test:3128"
    assert {http._transport.ssl_context, proxied.ssl_context} == {tls_of(llmkit.OpenAI(**BARE))}
    session = http._transport.get_client()
    assert session.connector.limit == openai.DEFAULT_CONNECTION_LIMITS.max_connections
    assert session.connector._keepalive_timeout == KEEPALIVE_SECONDS
    await session.close()


async def test_calls_and_streams_over_aiohttp() -> None:
    fake = FakeOpenAI()
    with fake.serve() as base_url:
        async with llmkit.AsyncOpenAI(api_key="k", base_url=base_url, transport="aiohttp") as client:
            fake.reply("Blue.").reply("Red and green.").reply("Grey.")
            reply = await client.chat.completions.create(**CHAT)
            assert reply.choices[0].message.content == "Blue."
            stream = await client.chat.completions.create(**CHAT, stream=True)
            texts = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
            assert "".join(texts) == "Red and green."
            async with client.chat.completions.stream(**CHAT) as events:
                assert (await events.get_final_completion()).choices[0].message.content == "Grey."
            fake.error(400)
            with pytest.raises(openai.BadRequestError):
                await client.chat.completions.create(**CHAT)
    assert fake.open_streams == 0


EVENT = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}\n\n'
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n"


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
async def test_a_cancelled_stream_ends_the_connection(transport: Any) -> None:
    server = Gone(STREAM % (len(EVENT), EVENT))
    with accepting(server) as port:
        async with llmkit.AsyncOpenAI(**BARE, base_url=f"http://127.0.0.1:{port}/v1", transport=transport) as client:

            async def read() -> None:
                async with await client.get("/x", cast_to=Any, stream=True, stream_cls=openai.AsyncStream[Any]) as got:
                    async for _ in got:
                        first.set()

            first = asyncio.Event()
            reading = asyncio.create_task(read())
            await first.wait()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            assert await anyio.to_thread.run_sync(server.seen)


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
async def test_a_server_that_never_answers_is_a_timeout(transport: Any) -> None:
    with accepting(Gone()) as port:
        base_url = f"http://127.0.0.1:{port}/v1"
        async with llmkit.AsyncOpenAI(**BARE, base_url=base_url, transport=transport, timeout=0.05) as client:
            with pytest.raises(openai.APITimeoutError):
                await client.models.list()


@pytest.mark.parametrize("transport", ["httpx", "aiohttp", "http2"])
async def test_a_refused_connection_is_a_connection_error(transport: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with llmkit.AsyncOpenAI(**BARE, base_url=f"http://127.0.0.1:{port}/v1", transport=transport) as client:
        with pytest.raises(openai.APIConnectionError):
            await client.models.list()


class ClosesWhenIdle:
    """Answers one request on each connection, then closes it without having said so."""

    def __init__(self) -> None:
        self.connections = 0
        self._closed = Semaphore(0)

    def __call__(self, connection: socket.socket) -> None:
        self.connections += 1
        has_request(connection)
        connection.sendall(ANSWER)
        connection.shutdown(socket.SHUT_WR)
        self._closed.release()
        connection.recv(1)  # until the client has noticed, and closes its end

    def has_closed(self) -> bool:
        return self._closed.acquire(timeout=10)


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
async def test_a_connection_that_the_server_closed_while_it_was_idle_is_no_error(transport: Any) -> None:
    server = ClosesWhenIdle()
    with accepting(server) as port:
        async with llmkit.AsyncOpenAI(**BARE, base_url=f"http://127.0.0.1:{port}/v1", transport=transport) as client:
            for _ in range(3):
                assert (await client.models.list()).data == []
                assert await anyio.to_thread.run_sync(server.has_closed)
    assert server.connections == 3


def test_a_connection_closed_while_idle_is_no_error_in_a_sync_client() -> None:
    server = ClosesWhenIdle()
    with accepting(server) as port, llmkit.OpenAI(**BARE, base_url=f"http://127.0.0.1:{port}/v1") as client:
        for _ in range(3):
            assert client.models.list().data == []
            assert server.has_closed()
    assert server.connections == 3


def close_at_the_second_request(connection: socket.socket) -> None:
    """What a client sees whose request crosses the server's closing of an idle connection."""
    if has_request(connection):
        connection.sendall(ANSWER)
        has_request(connection)


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
async def test_a_request_that_crosses_the_closing_of_its_connection_is_sent_again(transport: Any) -> None:
    async def post(client: Any) -> bytes:
        return (await client.post("/x", body={}, cast_to=httpx2.Response)).content

    with accepting(close_at_the_second_request) as port:
        make = partial(llmkit.AsyncOpenAI, base_url=f"http://127.0.0.1:{port}/v1", transport=transport)
        async with make(**BARE) as client:
            await post(client)
            with pytest.raises(openai.APIConnectionError):
                await post(client)
        with virtual_time() as clock:
            async with make(api_key="k") as client:
                assert [await post(client) for _ in range(3)] == [MODELS] * 3
            assert len(clock.sleeps) == 2


async def test_an_http2_connection_that_the_server_closed_is_replaced_by_the_retry(certificates: Certificates) -> None:
    with accepting(answer_one_over_http2, certificates.server("h2")) as port, virtual_time():
        base_url = f"https://127.0.0.1:{port}/v1"
        async with llmkit.AsyncOpenAI(api_key="k", base_url=base_url, transport="http2") as client:
            for _ in range(3):
                assert (await client.models.list()).data == []


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
async def test_a_client_that_is_collected_closes_its_connections(transport: Any) -> None:
    server = Gone(ANSWER)
    with accepting(server) as port:
        client = llmkit.AsyncOpenAI(**BARE, base_url=f"http://127.0.0.1:{port}/v1", transport=transport)
        await client.get("/models", cast_to=httpx2.Response)  # without the cycle of `client.models`
        del client
        assert await anyio.to_thread.run_sync(server.seen)


async def test_an_aiohttp_client_in_a_cycle_closes_its_connections_too() -> None:
    server = Gone(ANSWER)
    with accepting(server) as port:
        client = llmkit.AsyncOpenAI(**BARE, base_url=f"http://127.0.0.1:{port}/v1", transport="aiohttp")
        await client.models.list()
        del client
        gc.collect()
        assert await anyio.to_thread.run_sync(server.seen)


def test_a_sync_client_that_is_collected_closes_its_connections() -> None:
    server = Gone(ANSWER)
    with accepting(server) as port:
        client = llmkit.OpenAI(**BARE, base_url=f"http://127.0.0.1:{port}/v1")
        client.models.list()
        del client
        gc.collect()
        assert server.seen()


@pytest.mark.parametrize("proxies", [{}, {"HTTP_PROXY": "", "NO_PROXY": "127.0.0.1"}])
def test_an_aiohttp_client_left_open_at_the_end_of_the_loop_is_no_complaint(
    proxies: dict[str, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for variable, value in proxies.items():
        monkeypatch.setenv(variable, value)

    async def main(port: int) -> None:
        client = llmkit.AsyncOpenAI(**BARE, base_url=f"http://127.0.0.1:{port}/v1", transport="aiohttp")
        await client.models.list()
        del client
        gc.collect()

    with accepting(answer) as port:
        asyncio.run(main(port))
        gc.collect()
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: llmkit.AsyncOpenAI(**BARE, transport="http3"), "'http3' is none of an async .* httpx, aiohttp, http2"),  # type: ignore[arg-type]
        (lambda: llmkit.OpenAI(**BARE, transport="aiohttp"), "'aiohttp' is none of a sync .* use httpx, http2"),  # type: ignore[arg-type]
        (lambda: llmkit.OpenAI(**BARE, transport="http2", http_client=httpx2.Client()), "http_client=, not both"),
    ],
)
def test_an_impossible_transport_is_an_error_that_names_the_choices(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_missing_extra_is_an_error_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(_base_client, "Httpx2AiohttpClient")
    monkeypatch.setitem(sys.modules, "h2", None)
    for transport in ("aiohttp", "http2"):
        with pytest.raises(LLMKitError, match=rf"pip install 'llmkit\[{transport}\]'"):
            llmkit.AsyncOpenAI(**BARE, transport=transport)  # type: ignore[arg-type]
