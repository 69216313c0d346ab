"""A connection to a server that breaks off at a chosen moment."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class Cut:
    """Passes everything on to the server of `url`, until `after` says when to break a connection off."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = parts.hostname, parts.port or 5432
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = parts._replace(
            netloc=f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{self._listener.getsockname()[1]}"
        ).geturl()
        self.times = 0
        """It has broken one off."""
        self._mark: bytes | None = None

    def after(self, mark: bytes) -> None:
        """Break the next connection off that sends this, once the server has answered it, which nobody hears."""
        self._mark = mark

    def __enter__(self) -> Cut:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                cut = threading.Event()
                threading.Thread(target=self._to_server, args=(client, server, cut), daemon=True).start()
                threading.Thread(target=self._to_client, args=(client, server, cut), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while sent := client.recv(65_536):
                if self._mark is not None and self._mark in sent:
                    self._mark = None
                    self.times += 1
                    cut.set()
                server.sendall(sent)
            server.shutdown(socket.SHUT_WR)

    def _to_client(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        with client, server, suppress(OSError):
            while answered := server.recv(65_536):
                if cut.is_set():
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(answered)
