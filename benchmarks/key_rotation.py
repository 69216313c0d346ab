"""1,000 calls in flight while the keys of a file are rotated and one is revoked: `python benchmarks/key_rotation.py`.

A server on 127.0.0.1 takes half a second for each answer and says 401 to a revoked key. Calls are begun as others end,
so that 1,000 are always in flight. Meanwhile the file is replaced again and again, and one of its keys is revoked at
the server first. A use of a parked key is counted when a request is handed to the HTTP client.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import openai
from processes import allow_many_connections

import llmkit
from llmkit import Retry
from llmkit.middleware.key_ring import KeyRing

IN_FLIGHT = 1_000
CALLS = 10_000
ROTATIONS = 8
ANSWER_AFTER = 0.5
_HEAD = re.compile(rb"authorization: bearer (\S+)", re.IGNORECASE)
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


def key(number: int) -> str:
    """The key with this number; its label ends in the number."""
    return f"sk-benchmark-key-number-{number:04d}"


def _answer(status: str, body: dict[str, Any]) -> bytes:
    text = json.dumps(body).encode()
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status.encode(), len(text), text,
    )  # fmt: skip


_CHOICE = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}
_OK = _answer("200 OK", {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [_CHOICE]})
_NO = _answer("401 Unauthorized", {"error": {"message": "Incorrect API key.", "code": "invalid_api_key"}})


class Server:
    """What the server has seen, and the keys that it refuses."""

    def __init__(self) -> None:
        self.revoked: set[str] = set()
        self.requests: Counter[str] = Counter()
        self.refused = self.open = self.most_open = 0

    def connection(self) -> asyncio.Protocol:
        """The handler of a new connection."""
        return _Connection(self)


class _Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self._server = server
        self._received = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or (length and len(body) < int(length[1])):
            return
        self._received = b""
        server, found = self._server, _HEAD.search(head)
        sent_with = found[1].decode() if found else ""
        server.requests[sent_with] += 1
        server.open += 1
        server.most_open = max(server.most_open, server.open)
        asyncio.get_running_loop().call_later(ANSWER_AFTER, self._reply, sent_with)

    def _reply(self, sent_with: str) -> None:
        self._server.open -= 1
        refused = sent_with in self._server.revoked  # decided at the end: the worst case, for more requests meet it
        self._server.refused += refused
        self._transport.write(_NO if refused else _OK)


class Uses:
    """Counts requests that are handed to the HTTP client with a key that is parked at that moment."""

    def __init__(self, ring: KeyRing) -> None:
        self.of_parked_keys = 0
        self._ring = ring

    async def __call__(self, request: httpx2.Request) -> None:
        """Look at one request."""
        parked = {status.label for status in self._ring.status() if not status.usable}
        self.of_parked_keys += f"...{request.headers['authorization'][-4:]}" in parked


async def rotate(path: Path, server: Server) -> None:
    """Replace the file, a key at a time; every other time the oldest one is revoked before the file says so."""
    for turn in range(1, ROTATIONS + 1):
        await asyncio.sleep(ANSWER_AFTER)
        oldest = key(turn - 1)
        if turn % 2:
            server.revoked.add(oldest)
            await asyncio.sleep(ANSWER_AFTER)
        new = path.with_suffix(".new")
        new.write_text("".join(f"{key(turn + place)}\n" for place in range(3)))
        new.replace(path)
        if not turn % 2:
            await asyncio.sleep(2 * ANSWER_AFTER)  # calls that had it before are served
            server.revoked.add(oldest)


async def main() -> None:
    """Run it and print what happened."""
    allow_many_connections()
    server, failed, waits = Server(), Counter[str](), list[float]()
    listening = await asyncio.get_running_loop().create_server(server.connection, "127.0.0.1", 0, backlog=4096)
    port = listening.sockets[0].getsockname()[1]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "keys"
        path.write_text("".join(f"{key(place)}\n" for place in range(3)))
        ring = KeyRing.from_file(path, refresh=0.1)
        uses = Uses(ring)
        limits = httpx2.Limits(max_connections=IN_FLIGHT)
        http_client = openai.DefaultAioHttpClient(event_hooks={"request": [uses]}, limits=limits, timeout=60)
        client = llmkit.AsyncOpenAI(
            api_key=ring, base_url=f"http://127.0.0.1:{port}/v1", http_client=http_client, middleware=[Retry()]
        )
        calls = iter(range(CALLS))

        async def work() -> None:
            for _ in calls:
                began = time.perf_counter()
                try:
                    await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hello."}])
                except Exception as error:  # noqa: BLE001 - counted
                    failed[type(error).__name__] += 1
                waits.append(time.perf_counter() - began)

        began = time.perf_counter()
        rotating = asyncio.create_task(rotate(path, server))
        await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
        rotations_done = rotating.done()
        rotating.cancel()
        took = time.perf_counter() - began
        await client.close()
    listening.close()
    waits.sort()
    print(f"{CALLS} calls in {took:.1f} s, {server.most_open} in flight at most, all rotations done: {rotations_done}")
    print(f"failed calls: {failed.total()} {dict(failed) or ''}")
    print(f"requests with a key that was parked then: {uses.of_parked_keys}")
    print(f"requests refused by the server, each of them served with another key: {server.refused}")
    print(f"requests by key: {[server.requests[key(n)] for n in range(ROTATIONS + 3)]}")
    print(f"keys at the end: {ring}; latency p50 {waits[CALLS // 2]:.2f} s, p99 {waits[CALLS * 99 // 100]:.2f} s")


if __name__ == "__main__":
    asyncio.run(main())
