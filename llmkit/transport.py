"""The HTTP clients of clients that were given none: the SDK's own, but with one TLS context and a longer keep-alive."""

from __future__ import annotations

import functools
import importlib.util
import os
import ssl
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import httpx2
import openai

from llmkit import _sdk
from llmkit.errors import LLMKitError

Transport: TypeAlias = Literal["httpx", "aiohttp", "http2"]
SyncTransport: TypeAlias = Literal["httpx", "http2"]

KEEPALIVE_SECONDS = 60.0
"""How long an idle connection is kept: no longer than the servers and middlemen on the way keep it.

AWS load balancers close it after 60 s, nginx after 75, Cloudflare (in front of api.openai.com) after 400, all of
which the client notices; Azure's forget it after 240 s without a word, and the next request would hang.
"""

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")


def new_http_client(client: type[Any], transport: str | None, options: Mapping[str, Any]) -> Any:
    """The HTTP client that an SDK client of these options would make, over `transport`, but for its `base_url`.

    None where the user gave one, or where the class is the user's own, which may have its own ideas of one.
    """
    given = options.get("http_client") is not None
    if transport is None and (given or client.__module__.partition(".")[0] != "openai"):
        return None
    if given:
        raise ValueError(
            f"give transport={transport!r} or http_client=, not both: an http_client brings its own transport"
        )
    is_async = _sdk.is_async_client(client)
    _check(transport, is_async=is_async)
    cls = _sdk.AioHttpClient if transport == "aiohttp" else _sdk.default_http_client(is_async=is_async)
    timeout = options.get("timeout", openai.NOT_GIVEN)
    stated = {} if isinstance(timeout, openai.NotGiven) else {"timeout": timeout}
    http2 = transport == "http2"
    return cls(limits=_limits(), verify=_tls(http2=http2), http2=http2, **stated)


def _check(transport: str | None, *, is_async: bool) -> None:
    known = ("httpx", "aiohttp", "http2") if is_async else ("httpx", "http2")
    if transport not in (None, *known):
        client = "an async" if is_async else "a sync"
        raise ValueError(f"transport={transport!r} is none of {client} client's: use {', '.join(known)}")
    if transport == "aiohttp" and not _sdk.has_aiohttp():
        raise LLMKitError("transport='aiohttp' needs the aiohttp package: pip install 'llmkit[aiohttp]'")
    if transport == "http2" and importlib.util.find_spec("h2") is None:
        raise LLMKitError("transport='http2' needs the h2 package: pip install 'llmkit[http2]'")


def _limits() -> httpx2.Limits:
    of_sdk = openai.DEFAULT_CONNECTION_LIMITS
    return httpx2.Limits(
        max_connections=of_sdk.max_connections,
        max_keepalive_connections=of_sdk.max_keepalive_connections,
        keepalive_expiry=KEEPALIVE_SECONDS,
    )


def _tls(*, http2: bool) -> ssl.SSLContext | Literal[True]:
    """The process's TLS context for the certificates that the environment names now; True where each has its own."""
    # `truststore.inject_into_ssl()` puts another class in the place of ssl.SSLContext.
    named = tuple(os.environ.get(name) for name in _CERTIFICATES)
    return _shared_context(http2, ssl.SSLContext, *named, _version(named[0])) or True


def _version(path: str | None) -> tuple[int, ...] | None:
    """What changes when a file is replaced, as certificates are in long-lived processes."""
    try:
        found = os.stat(path or "")
    except OSError:  # for the context to complain of
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


@functools.lru_cache(maxsize=16)
def _shared_context(http2: bool, *_made_of: object) -> ssl.SSLContext | None:
    context = httpx2.create_ssl_context()
    if type(context).__module__ != "ssl":  # truststore's: cheap to make, and it locks all others out in a handshake
        return None
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    setattr(context, "set_alpn_protocols", _keep)  # noqa: B010 - a method, to type checkers
    return context


def _keep(_protocols: list[str]) -> None:
    """In place of `set_alpn_protocols`: httpcore sets the same ones before each handshake.

    OpenSSL then frees the old ones, which another thread's handshake may be reading just then.
    """
