"""The fake API on a real socket: HTTP/1.1, chunked, and broken off where the answer breaks."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, cast

import httpx2

from llmkit.testing.fake.http import Body, Network, fake_request
from llmkit.testing.fake.records import Answer, FakeRequest

_FRAMING = {"connection", "content-length", "transfer-encoding"}


@contextmanager
def serve(handle: Callable[[FakeRequest], Answer], network: Network) -> Generator[str, None, None]:
    """Serve on a free port of 127.0.0.1 until the block ends; yields the base URL."""
    server = _Server(handle, network)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, name="FakeOpenAI")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.hang_up()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close() joins them
    block_on_close = True

    def __init__(self, handle: Callable[[FakeRequest], Answer], network: Network) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.handle_fake = handle
        self.network = network
        self._context = copy_context()  # virtual time reaches the threads through it
        self._connections: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._connections.append(connection)
        return connection, address

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._context.copy().run(super().process_request_thread, request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet: a client that resets its connection is no error here."""

    def hang_up(self) -> None:
        """End the connections that clients keep alive, and with them their threads."""
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _answer(self) -> None:
        server = cast("_Server", self.server)
        body: Body | None = None
        try:
            answer = server.handle_fake(self._read())
            body = Body(answer, server.network)
            self._send(answer, body)
        except Exception:  # noqa: BLE001 - whatever breaks an answer, the client sees a connection that breaks
            self._hang_up(in_body=body is not None)
        finally:
            if body is not None:
                body.close()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

    def _read(self) -> FakeRequest:
        content = self.rfile.read(int(self.headers.get("content-length", 0)))
        url = httpx2.URL(f"http://127.0.0.1{self.path}")
        return fake_request(self.command, url, httpx2.Headers(self.headers.items()), content)

    def _send(self, answer: Answer, body: Body) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.multi_items():
            if name.lower() not in _FRAMING:
                self.send_header(name, value)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for chunk in body:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    def _hang_up(self, *, in_body: bool) -> None:
        """Close the connection, in the middle of a chunk once a body has started."""
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(b"ff\r\n" if in_body else b"")
            self.connection.shutdown(socket.SHUT_RDWR)
