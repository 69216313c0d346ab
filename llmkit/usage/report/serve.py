"""The page on localhost, made anew as often as a tenth of one CPU allows."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from socket import AF_INET, AF_INET6
from socketserver import TCPServer
from threading import Lock
from time import monotonic
from typing import Any, Final, cast

from llmkit.errors import LLMKitError

logger = logging.getLogger("llmkit")

_SAFE: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_PATIENCE: Final = 10.0
"""Seconds that a connection may say nothing."""
_REST: Final = 9
"""A page is kept for so many times as long as it took to make."""


def serve(make_page: Callable[[], str], *, host: str = "127.0.0.1", port: int) -> None:
    """Show what `make_page()` returns at http://host:port/ until Ctrl-C; port 0 takes any that is free.

    It is called for visits, from threads, one at a time; a page that took a second to make is shown for the next nine,
    too. `host` is an address of this machine's own. Raises `LLMKitError` when something else has the port. Where the
    page is goes to stderr.
    """
    try:
        with PageServer(make_page, host=host, port=port) as server:
            sys.stderr.write(f"The page is at {server.url} until Ctrl-C.\n")
            sys.stderr.flush()
            server.serve_forever()
    except KeyboardInterrupt:
        sys.stderr.write("\n")


class PageServer(ThreadingHTTPServer):
    """Listens when it is made; `serve_forever()` answers."""

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there, two servers could have one port

    def __init__(
        self, make_page: Callable[[], str], *, host: str, port: int, clock: Callable[[], float] = monotonic
    ) -> None:
        address = ip_address("127.0.0.1" if host == "localhost" else host)
        if not address.is_loopback:
            raise ValueError(f"host={host!r} can be reached from elsewhere; use '127.0.0.1' and a tunnel")
        self.address_family = AF_INET6 if address.version == 6 else AF_INET
        self._name = f"[{address}]" if address.version == 6 else str(address)
        self._make_page = make_page
        self._making = Lock()
        self._clock = clock
        self._page, self._fresh_until = b"", clock()
        try:
            super().__init__((str(address), port), _Visit)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "there is no such port"
            raise LLMKitError(f"cannot listen on {host}:{port}: {reason}; give another port, or 0 for any") from error

    def server_bind(self) -> None:
        """Take the port, without the DNS, which HTTPServer asks for the name of the address."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = self._name, self.server_address[1]

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{self._name}:{self.server_port}/"

    def is_called(self, host: str) -> bool:
        """Whether a browser of this machine says so; others are sites that point here (DNS rebinding)."""
        return host.removesuffix(f":{self.server_port}") in (self._name, "localhost")

    def page(self) -> bytes:
        """The page as it is now, or was a moment ago."""
        with self._making:
            began = self._clock()
            if began >= self._fresh_until:
                self._page = self._make_page().encode()
                now = self._clock()
                self._fresh_until = now + _REST * (now - began)
            return self._page

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of browsers that hang up."""


class _Visit(BaseHTTPRequestHandler):
    server_version = "llmkit"
    sys_version = ""
    timeout = _PATIENCE

    def do_GET(self) -> None:
        """Answer with the page."""
        server = cast("PageServer", self.server)
        if not server.is_called(self.headers.get("Host", "")):
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, b"This server is for localhost only.\n", "text/plain")
        elif self.path != "/":
            self._answer(HTTPStatus.NOT_FOUND, b"There is one page only: /\n", "text/plain")
        else:
            self._answer(*self._page(server))

    def _page(self, server: PageServer) -> tuple[HTTPStatus, bytes, str]:
        try:
            return HTTPStatus.OK, server.page(), "text/html"
        except Exception as error:  # noqa: BLE001 - whatever it is, the next visit may do better
            logger.warning("the page could not be made: %s", _reason(error))
            return (
                HTTPStatus.INTERNAL_SERVER_ERROR,
                b"The page could not be made; the terminal says why.\n",
                "text/plain",
            )

    def _answer(self, status: HTTPStatus, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in _SAFE.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep visits to ourselves."""


def _reason(error: Exception) -> str:
    """Only errors of llmkit's own are known to quote nobody."""
    return str(error) if isinstance(error, LLMKitError) else type(error).__name__
