"""Requests that got no answer: which limit was hit, or what stood in the way."""

from __future__ import annotations

import ssl

from llmkit.guidance.explanation import Advice
from llmkit.guidance.failure import Failure, set_names
from llmkit.retries import MALFORMED, causes

_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy")
_PROXY_ERRORS = frozenset({"ProxyError", "ClientProxyConnectionError", "ClientHttpProxyError"})
_RAISE = "Raise it with timeout= on the client or on the call (openai.Timeout sets each limit by itself)"

_LIMITS = {
    "PoolTimeout": (
        "pool",
        "No connection of the client's pool became free",
        "All of them are busy: more calls at a time than the pool has connections, or streams that nobody closes.",
        "Close streams (`async with`), share one client, or raise http_client=DefaultAsyncHttpxClient(limits=...).",
    ),
    "ConnectTimeout": (
        "connect",
        "No connection to {host} came about",
        "A firewall that drops packets, a VPN, a proxy that is down, or a wrong address is the usual cause.",
        "Check that this machine reaches {host}, and base_url and the proxy variables.",
    ),
    "WriteTimeout": (
        "write",
        "The request could not be sent to {host}",
        "The network took none of it for that long: a slow upload, or a connection that has died.",
        "Send less (images and files by URL or id), or raise the limit with openai.Timeout(..., write=seconds).",
    ),
    "ReadTimeout": (
        "read",
        "{host} sent nothing",
        "It has the request and is silent: long answers and reasoning take minutes, unless they are streamed.",
        f"{_RAISE}, or ask with stream=True.",
    ),
}
"""By httpx's exception: which limit, what did not happen, why, and what to do."""

CONNECTION_KINDS = frozenset({"tls", "proxy", "bad_url"})
"""Those that no second attempt cures."""


def explain_connection(failure: Failure) -> Advice:
    """The reading of an APIConnectionError, an APITimeoutError or an error of the HTTP library's."""
    found = list(causes(failure.error))
    names = {cls.__name__ for cause in found for cls in type(cause).__mro__}
    if broken := next((cause for cause in found if isinstance(cause, ssl.SSLError)), None):
        return _tls(failure, broken)
    if names & _PROXY_ERRORS:
        return _proxy()
    if "gaierror" in names or "ClientConnectorDNSError" in names:
        return _dns(failure)
    if names & MALFORMED:
        return _bad_url()
    if "ConnectionRefusedError" in names:  # aiohttp's come as timeouts
        return _refused(failure)
    for name, limit in _LIMITS.items():
        if name in names:
            return _timeout(failure, *limit)
    return _total(failure) if "APITimeoutError" in names else _broken(failure)


def _timeout(failure: Failure, limit: str, what: str, why: str, todo: str) -> Advice:
    host, given = failure.host, failure.timeouts.get(limit)
    seconds = f"within {given:g} s" if isinstance(given, int | float) else "in time"
    what = f"{what.format(host=host)} {seconds} (the {limit} timeout)."
    return Advice(f"{limit}_timeout", what, why, todo.format(host=host))


def _total(failure: Failure) -> Advice:
    return Advice(
        "timeout",
        f"The call to {failure.host} was not over within its time.",
        "The time for the whole call ran out, retries and waits included; no limit of a single step was hit.",
        f"{_RAISE}, or give Timeouts more.",
    )


def _tls(failure: Failure, error: ssl.SSLError) -> Advice:
    if isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
        given = set_names("SSL_CERT_FILE", "SSL_CERT_DIR")
        stated = f" {given[0]} is set and may name the wrong one." if given else ""
        return Advice(
            "tls",
            f"The certificate of {failure.host} could not be verified.",
            f"A proxy that opens TLS has a certificate authority of its own, which Python does not know.{stated}",
            "Use the system's certificates (pip install truststore; truststore.inject_into_ssl()), or name the "
            "authority's file in SSL_CERT_FILE. Do not switch verification off: the key would go to anybody.",
        )
    return Advice(
        "tls",
        f"The TLS handshake with {failure.host} failed.",
        "The port speaks plain HTTP, or a proxy stands between that does not speak TLS.",
        "Check base_url: https:// is for a server with TLS, http:// for a local one without.",
    )


def _proxy() -> Advice:
    given = set_names(*_PROXIES)
    return Advice(
        "proxy",
        "The proxy refused to connect, or asked for a login.",
        f"{' and '.join(given)} in the environment names it." if given else "The client was given it as a proxy.",
        "Check its address and its login in HTTPS_PROXY, or let NO_PROXY name hosts to be reached without it.",
    )


def _dns(failure: Failure) -> Advice:
    return Advice(
        "dns",
        f"The name {failure.url.host} was not found.",
        "The host in base_url is misspelt, or this machine has no network or no name server.",
        f"Check base_url (and OPENAI_BASE_URL) and the network.{_behind_proxy()}",
    )


def _bad_url() -> Advice:
    return Advice(
        "bad_url",
        "The request could not be written down as HTTP: base_url or a header is malformed.",
        "base_url begins with neither http:// nor https://, or a header (the key among them) has a line break in it.",
        'Write base_url as "https://host/v1", and strip the key that was read from a file.',
    )


def _refused(failure: Failure) -> Advice:
    return Advice(
        "connection",
        f"{failure.host} refused the connection.",
        f"Nothing listens there: the server is not running, or base_url has another port.{_behind_proxy()}",
        "Start the server, or correct base_url (and OPENAI_BASE_URL).",
    )


def _broken(failure: Failure) -> Advice:
    return Advice(
        "connection",
        f"The connection to {failure.host} broke before the answer was there.",
        f"The server or something on the way closed it: a restart, a load balancer, a proxy.{_behind_proxy()}",
        "Try again; if it stays, check base_url, proxy and firewall, and whether the server logs an error.",
    )


def _behind_proxy() -> str:
    given = set_names(*_PROXIES)
    return f" {given[0]} is set: the proxy may be what does not answer." if given else ""
