"""A real uvicorn in a thread, for tests of what browsers see."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import uvicorn


@contextmanager
def served(app: Any) -> Generator[str, None, None]:
    """Serve an ASGI app on a free port of 127.0.0.1 until the block ends; yields host and port."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", ws="websockets-sansio"))
    with socket.create_server(("127.0.0.1", 0)) as listener:  # clients wait in its queue until the server is up
        thread = Thread(target=server.run, kwargs={"sockets": [listener]}, name="uvicorn")
        thread.start()
        try:
            yield "{}:{}".format(*listener.getsockname())
        finally:
            server.should_exit = True
            thread.join()
