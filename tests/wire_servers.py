"""Real servers on 127.0.0.1 whose connections behave as a test says."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

MODELS = json.dumps({"object": "list", "data": []}).encode()
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(MODELS), MODELS)

Serve = Callable[[socket.socket], None]


@contextmanager
def accepting(serve: Serve, tls: ssl.SSLContext | None = None) -> Generator[int, None, None]:
    """Give each connection a thread and hand it to `serve` until the block ends; yields the port."""
    connections: list[socket.socket] = []
    threads: list[Thread] = []

    def talk(connection: socket.socket) -> None:
        with suppress(OSError), connection:  # a client that goes away is no error here
            if tls is None:
                serve(connection)
                return
            with tls.wrap_socket(connection, server_side=True) as secure:
                serve(secure)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threads.append(Thread(target=talk, args=(connection,), name="connection"))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = Thread(target=accept, name="accepting")
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def has_request(connection: socket.socket) -> bool:
    """Read a request; False when the client is gone."""
    received = b""
    while b"\r\n\r\n" not in received:
        if not (data := connection.recv(65_536)):
            return False
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length[1]):
        body += connection.recv(65_536)
    return True


def answer(connection: socket.socket) -> None:
    """Answer every request, over HTTP/1.1, as long as the client likes."""
    while has_request(connection):
        connection.sendall(ANSWER)


def answer_over_http2(connection: socket.socket) -> None:
    """Answer every request, over HTTP/2."""
    http2 = _greeted(connection)
    while data := connection.recv(65_536):
        _react(http2, data)
        connection.sendall(http2.data_to_send())


def answer_one_over_http2(connection: socket.socket) -> None:
    """Answer a request over HTTP/2 and close the connection without a word."""
    http2 = _greeted(connection)
    answered = False
    while not answered and (data := connection.recv(65_536)):
        answered = _react(http2, data)
        connection.sendall(http2.data_to_send())


def _greeted(connection: socket.socket) -> H2Connection:
    http2 = H2Connection(H2Configuration(client_side=False))
    http2.initiate_connection()
    connection.sendall(http2.data_to_send())
    return http2


def _react(http2: H2Connection, data: bytes) -> bool:
    """Take what a client sent in; whether a request was answered."""
    ended = [event.stream_id for event in http2.receive_data(data) if isinstance(event, StreamEnded)]
    for stream in ended:
        http2.send_headers(stream, [(":status", "200"), ("content-type", "application/json")])
        http2.send_data(stream, MODELS, end_stream=True)
    return bool(ended)


class Certificates:
    """A certificate authority of the test's own, in a file, and the TLS of a server that it vouches for."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.file = str(directory / "authority.pem")
        authority.cert_pem.write_to_path(self.file)
        self._server = authority.issue_cert("127.0.0.1")

    def server(self, *protocols: str) -> ssl.SSLContext:
        """The TLS of a server that speaks `protocols`, such as "h2"."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.configure_cert(context)
        if protocols:
            context.set_alpn_protocols(protocols)
        return context


class Gone:
    """Serve that waits for the client to go away after it was sent `first`, and says so."""

    def __init__(self, first: bytes = b"") -> None:
        self._first = first
        self._gone = Event()
        self.reached = Event()

    def __call__(self, connection: socket.socket) -> None:
        """Serve a connection."""
        has_request(connection)
        connection.sendall(self._first)
        self.reached.set()
        with suppress(OSError):
            while connection.recv(65_536):
                pass
        self._gone.set()

    def seen(self) -> bool:
        """Wait until a client has gone."""
        return self._gone.wait(10)
