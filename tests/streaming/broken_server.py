"""A real HTTP server on a thread that sends a body and then misbehaves."""

from __future__ import annotations

import json
import select
import socket
import struct
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED, UNTIL_CLOSE = HEAD + b"transfer-encoding: chunked\r\n\r\n", HEAD + b"connection: close\r\n\r\n"

Behaviour = Callable[["Connection"], None]


@dataclass
class Connection:
    """An accepted connection whose request has been read."""

    socket: socket.socket
    sent: int = 0
    hung_up: Event = field(default_factory=Event)
    """Set when the client has closed its side."""
    full: Event = field(default_factory=Event)
    """Set while nothing more can be sent."""

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
            self.hung_up.set()
            raise
        self.sent += len(data)

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def flood(self, data: bytes) -> None:
        """Send as a chunk; `full` says when the client must read before more of it can go out."""
        self.socket.setblocking(False)
        left = memoryview(b"%x\r\n%b\r\n" % (len(data), data))
        while left:
            try:
                left = left[self.socket.send(left) :]
            except BlockingIOError:
                self.full.set()
                select.select([], [self.socket], [])
                self.full.clear()
        self.sent += len(data)
        self.socket.setblocking(True)

    def reset(self) -> None:
        """Close with RST, not FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def wait_for_the_client_to_leave(self) -> None:
        with suppress(OSError):
            while self.socket.recv(65536):
                pass
        self.hung_up.set()


class Server:
    """`behaviour` answers each request; `connections` are those accepted."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.connections: list[Connection] = []
        self._behaviour = behaviour
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            with suppress(OSError):
                connection.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self.connections.append(Connection(accepted))
                self._threads.append(Thread(target=self._serve, args=(self.connections[-1],)))
                self._threads[-1].start()

    def _serve(self, connection: Connection) -> None:
        with connection.socket, suppress(OSError):
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while _read_request(connection.socket):
                self._behaviour(connection)
                if connection.socket.fileno() < 0:
                    return


def _read_request(connection: socket.socket) -> bool:
    received = b""
    while b"\r\n\r\n" not in received:
        data = connection.recv(65536)
        if not data:
            return False
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while lengths and len(body) < lengths[0]:
        body += connection.recv(65536)
    return True


@contextmanager
def serving(behaviour: Behaviour) -> Generator[Server, None, None]:
    server = Server(behaviour)
    try:
        yield server
    finally:
        server.stop()


def event(payload: object) -> bytes:
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


def chat(text: str | None = None, *, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    return event({**head, "choices": [choice]})


def response(texts: list[str], *, finished: bool) -> Iterator[bytes]:
    """A Responses stream of these deltas."""
    started = {"id": "r1", "object": "response", "model": "gpt-4o", "status": "in_progress", "output": []}
    yield event({"type": "response.created", "sequence_number": 0, "response": started})
    place = {"item_id": "m1", "output_index": 0, "content_index": 0}
    for number, text in enumerate(texts, start=1):
        yield event({"type": "response.output_text.delta", "sequence_number": number, "delta": text, **place})
    if finished:
        part = {"type": "output_text", "text": "".join(texts), "annotations": []}
        item = {"id": "m1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
        ended = {**started, "status": "completed", "output": [item]}
        yield event({"type": "response.completed", "sequence_number": len(texts) + 1, "response": ended})
