"""Calls that get no answer, over real sockets of this machine."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx as legacy
import httpx2
import openai
import pytest
from wire_servers import Certificates, accepting, has_request

import llmkit
from llmkit.guidance import Explanation, explain

Ask = Callable[..., Any]


def silent(connection: socket.socket) -> None:
    """Take a request and say nothing until the client is gone."""
    while connection.recv(65_536):
        pass


def hang_up(connection: socket.socket) -> None:
    has_request(connection)


def refuse_tunnel(connection: socket.socket) -> None:
    has_request(connection)
    connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def options(base_url: str, **given: Any) -> Any:
    return {"api_key": "sk-fake", "max_retries": 0, "base_url": base_url, **given}


async def failed_async(base_url: str, **given: Any) -> openai.APIConnectionError:
    async with llmkit.AsyncOpenAI(**options(base_url, **given)) as client:
        with pytest.raises(openai.APIConnectionError) as caught:
            await client.models.list()
    return caught.value


async def failed_aiohttp(base_url: str, **given: Any) -> openai.APIConnectionError:
    return await failed_async(base_url, transport="aiohttp", **given)


async def failed_sync(base_url: str, **given: Any) -> openai.APIConnectionError:
    with llmkit.OpenAI(**options(base_url, **given)) as client, pytest.raises(openai.APIConnectionError) as caught:
        client.models.list()
    return caught.value


async def failed_legacy(base_url: str, **given: Any) -> openai.APIConnectionError:
    """Through a client of the old httpx, which the SDK still takes."""
    async with legacy.AsyncClient() as http_client:
        return await failed_async(base_url, http_client=http_client, **given)


every_client = pytest.mark.parametrize("failed", [failed_sync, failed_async, failed_aiohttp, failed_legacy])


def read(error: openai.APIConnectionError) -> Explanation:
    """The explanation, which is also the note on the error."""
    explanation = explain(error)
    (note,) = error.__notes__
    assert note == (f"llmkit: {explanation.what}\n  Why: {explanation.why}\n  What to do: {explanation.todo}")
    return explanation


@every_client
async def test_a_refused_connection(failed: Ask) -> None:
    port = closed_port()
    explanation = read(await failed(f"http://127.0.0.1:{port}/v1"))
    assert (explanation.kind, explanation.retryable) == ("connection", True)
    assert explanation.what == f"127.0.0.1:{port} refused the connection."


@every_client
async def test_a_name_that_is_not_found(failed: Ask) -> None:
    explanation = read(await failed("http://nowhere.invalid/v1"))
    assert (explanation.kind, explanation.retryable) == ("dns", True)
    assert explanation.what == "The name nowhere.invalid was not found."
    assert "OPENAI_BASE_URL" in explanation.todo


@every_client
async def test_a_certificate_of_an_unknown_authority(failed: Ask, tmp_path: Path) -> None:
    with accepting(silent, Certificates(tmp_path).server()) as port:
        explanation = read(await failed(f"https://127.0.0.1:{port}/v1"))
    assert (explanation.kind, explanation.retryable) == ("tls", False)
    assert explanation.what == f"The certificate of 127.0.0.1:{port} could not be verified."
    assert "truststore" in explanation.todo
    assert "SSL_CERT_FILE" in explanation.todo


@pytest.mark.parametrize("failed", [failed_sync, failed_async])
async def test_a_server_that_does_not_speak_tls(failed: Ask) -> None:
    def plain(connection: socket.socket) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

    with accepting(plain) as port:
        explanation = read(await failed(f"https://127.0.0.1:{port}/v1"))
    assert explanation.kind == "tls"
    assert "http:// for a local one without" in explanation.todo


@every_client
async def test_silence_is_the_read_timeout_with_its_seconds(failed: Ask) -> None:
    with accepting(silent) as port:
        explanation = read(await failed(f"http://127.0.0.1:{port}/v1", timeout=0.05))
    assert (explanation.kind, explanation.retryable) == ("read_timeout", True)
    assert explanation.what == f"127.0.0.1:{port} sent nothing within 0.05 s (the read timeout)."


@pytest.mark.parametrize("failed", [failed_sync, failed_async])
async def test_a_connection_that_is_closed_before_the_answer(failed: Ask) -> None:
    with accepting(hang_up) as port:
        explanation = read(await failed(f"http://127.0.0.1:{port}/v1"))
    assert explanation.kind == "connection"
    assert explanation.what == f"The connection to 127.0.0.1:{port} broke before the answer was there."


@pytest.mark.parametrize("failed", [failed_sync, failed_async])
async def test_a_proxy_that_wants_a_login(failed: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    with accepting(refuse_tunnel) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:canary@127.0.0.1:{port}")
        explanation = read(await failed("https://api.openai.com/v1"))
    assert (explanation.kind, explanation.retryable) == ("proxy", False)
    assert explanation.why == "HTTPS_PROXY in the environment names it."
    assert "canary" not in str(explanation)


async def test_a_proxy_that_was_given_to_the_client() -> None:
    with accepting(refuse_tunnel) as port:
        http_client = httpx2.AsyncClient(proxy=f"http://127.0.0.1:{port}")
        error = await failed_async("https://api.openai.com/v1", http_client=http_client)
    assert read(error).why == "The client was given it as a proxy."


async def test_a_dead_proxy_is_suspected_where_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{closed_port()}")
    explanation = read(await failed_sync("https://api.openai.com/v1"))
    assert "ALL_PROXY is set: the proxy may be what does not answer." in explanation.why


@pytest.mark.parametrize("failed", [failed_sync, failed_async])
async def test_a_base_url_without_its_scheme(failed: Ask) -> None:
    explanation = read(await failed("localhost:8000/v1"))
    assert (explanation.kind, explanation.retryable) == ("bad_url", False)


def raised(cause: BaseException, error: Any = openai.APITimeoutError, timeout: Any = None) -> Exception:
    """An error of the SDK's with a cause."""
    request = httpx2.Request("GET", "https://api.openai.com/v1/models", extensions={"timeout": timeout or {}})
    failed: Exception = error(request=request)
    failed.__cause__ = cause
    return failed


@pytest.mark.parametrize(
    ("cause", "kind", "what"),
    [
        (httpx2.ConnectTimeout(""), "connect_timeout", "No connection to api.openai.com came about within 5 s"),
        (httpx2.ReadTimeout(""), "read_timeout", "api.openai.com sent nothing within 600 s (the read timeout)."),
        (httpx2.WriteTimeout(""), "write_timeout", "The request could not be sent to api.openai.com in time"),
        (httpx2.PoolTimeout(""), "pool_timeout", "No connection of the client's pool became free within 2.5 s"),
        (legacy.PoolTimeout(""), "pool_timeout", "No connection of the client's pool became free within 2.5 s"),
        (TimeoutError(), "timeout", "The call to api.openai.com was not over within its time."),
    ],
)
def test_a_timeout_names_the_limit_that_was_hit_and_its_seconds(cause: Exception, kind: str, what: str) -> None:
    given = {"connect": 5.0, "read": 600, "write": None, "pool": 2.5}
    explanation = explain(raised(cause, timeout=given))
    assert explanation.kind == kind
    assert explanation.what.startswith(what)


def test_certificates_of_the_environment_are_suspected_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/secret/place.pem")
    why = explain(raised(ssl.SSLCertVerificationError(), openai.APIConnectionError)).why
    assert "SSL_CERT_FILE is set and may name the wrong one." in why
    assert "secret" not in why


def test_what_the_user_was_handling_when_the_network_failed_is_not_taken_for_the_cause() -> None:
    timeout = TimeoutError()
    timeout.__context__ = ssl.SSLCertVerificationError()
    assert explain(raised(timeout)).kind == "timeout"


def test_an_error_of_the_http_library_itself_is_read_too() -> None:
    explanation = explain(httpx2.ReadTimeout("slow"))
    assert (explanation.kind, explanation.what) == (
        "read_timeout",
        "the server sent nothing in time (the read timeout).",
    )
