from __future__ import annotations

import json
import os
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmkit.cache.entry import Entry
from llmkit.cache.memory import MemoryStore
from llmkit.cache.redis import RedisStore
from llmkit.cache.sqlite import SQLiteStore
from llmkit.cache.store import CacheStore

NOW = 1_700_000_000.0
KEY = "chat.completions:gpt-4o-mini:9f86d081884c7d65"
KINDS = ["memory", "sqlite", "redis"]

FULL = Entry(
    key=KEY,
    operation="chat.completions",
    model="gpt-4o-mini",
    body=b'{"id": "chatcmpl-1", "text": "caf\xc3\xa9 \\u00e9"}\n',
    events=b'data: {"id": "chatcmpl-1"}\n\ndata: [DONE]\n\n',
    created_at=NOW + 0.123456789,
    expires_at=NOW + 3600.5,
    request_id="req_1",
    tags={"user": "Zo\u00eb", "paid": True, "team": 7, "share": 0.1},
    input_tokens=11,
    output_tokens=3,
    cost=Decimal("0.00000345"),
    partition="a1b2",
    vector=b"\x00\x01\xff\xfe" * 4,
    marks='{"digits": []}',
    question="What is a caf\u00e9?",
)


def entry(number: int = 1, *, body: bytes = b"", made: float = NOW, ends: float | None = NOW + 3600) -> Entry:
    """The entry of that number: all with one number are equal."""
    return Entry(
        key=f"chat.completions:gpt-4o-mini:{number:016x}",
        operation="chat.completions",
        model="gpt-4o-mini",
        body=body or b'{"number": %d, "text": "%s"}' % (number, b"secret" * (number % 50)),
        created_at=made,
        expires_at=ends,
    )


def long_entry(number: int) -> Entry:
    """Of several pages of a file, each different."""
    return entry(number, body=b"".join(b"%d:%d " % (number, word) for word in range(1500)))


@contextmanager
def opened(kind: str, redis_url: str) -> Iterator[Callable[[], CacheStore]]:
    """Makes stores of the same entries (in memory: the same store)."""
    if kind == "memory":
        store = MemoryStore()
        yield lambda: store
        return
    if kind == "redis":
        prefix = f"test-{uuid.uuid4().hex}"
        yield lambda: RedisStore(redis_url, prefix=prefix, timeout=10)
        return
    with tempfile.TemporaryDirectory() as folder:
        made: list[SQLiteStore] = []

        def make() -> CacheStore:
            made.append(SQLiteStore(Path(folder) / "cache.db", timeout=10))
            return made[-1]

        yield make
        for each in made:
            each.close()


forks = pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks, kills and reads /proc")


class Forked:
    """A process that does `work`, whose lines can be read as they come; all JSON."""

    def __init__(self, work: Callable[[Callable[[Any], None]], None]) -> None:
        reads, writes = os.pipe()
        self.id = os.fork()
        if self.id == 0:
            os.close(reads)
            self._work(work, writes)
        os.close(writes)
        self._lines = os.fdopen(reads)

    @staticmethod
    def _work(work: Callable[[Callable[[Any], None]], None], writes: int) -> None:
        code = 1
        try:
            work(lambda said: os.write(writes, json.dumps(said).encode() + b"\n") and None)
            code = 0
        finally:
            os._exit(code)

    def said(self) -> Any:
        """Its next line."""
        return json.loads(self._lines.readline())

    def end(self) -> int:
        """Wait for its end; its exit code."""
        self._lines.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.id, 0)[1])
