"""1,000 concurrent embeddings of one text each, with and without `batch_embeddings`, on a server of this machine.

    python benchmarks/batch_embeddings.py [--calls 1000] [--delay 0.05]

The server takes `--delay` seconds for every request, as the real one takes time for each, and runs in a process of its
own. Every vector is checked: it tells which text it is of.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import base64
import json
import re
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

import openai

import llmkit
from llmkit.middleware.batch_embeddings import batch_embeddings

MODEL = "text-embedding-3-small"
DIMENSIONS = 1536
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def vector(text: str) -> bytes:
    """An embedding that only this text has."""
    return array.array("f", [float(zlib.crc32(text.encode()) % 2**20), *(0.5 for _ in range(DIMENSIONS - 1))]).tobytes()


class Connection(asyncio.Protocol):
    """A keep-alive connection of the server."""

    delay = 0.0
    requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport: Any = transport
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        """Answer a request that is complete: clients of HTTP/1.1 send the next one later."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        length = _LENGTH.search(self._received)
        after = end + 4 + (int(length[1]) if length else 0)
        if end < 0 or len(self._received) < after:
            return
        head, body = bytes(self._received[:end]), bytes(self._received[end + 4 : after])
        del self._received[:after]
        if head.startswith(b"GET"):
            self._send({"requests": Connection.requests})
            return
        Connection.requests += 1
        asyncio.get_running_loop().call_later(self.delay, self._answer, json.loads(body)["input"])

    def _answer(self, given: str | list[str]) -> None:
        texts = [given] if isinstance(given, str) else given
        data = [
            {"object": "embedding", "index": index, "embedding": base64.b64encode(vector(text)).decode()}
            for index, text in enumerate(texts)
        ]
        usage = {"prompt_tokens": 4 * len(texts), "total_tokens": 4 * len(texts)}
        self._send({"object": "list", "data": data, "model": MODEL, "usage": usage})

    def _send(self, value: object) -> None:
        body = json.dumps(value).encode()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


async def serve(delay: float) -> None:
    """Print the port and serve until stdin is closed."""
    Connection.delay = delay
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


async def measure(name: str, make: Callable[..., Any], calls: int, base_url: str) -> None:
    """Make the calls at once; check and time them."""
    async with make(api_key="sk-none", base_url=base_url) as client:
        await client.embeddings.create(model=MODEL, input="warm up")
        before = (await client.get("/count", cast_to=object))["requests"]
        texts = [f"text number {number}" for number in range(calls)]
        wall, cpu = time.perf_counter(), time.process_time()
        answers = await asyncio.gather(*(client.embeddings.create(model=MODEL, input=text) for text in texts))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        requests = (await client.get("/count", cast_to=object))["requests"] - before
    for text, answer in zip(texts, answers, strict=True):
        assert len(answer.data) == 1
        assert answer.data[0].embedding == array.array("f", vector(text)).tolist()
    billed = sum(answer.usage.total_tokens for answer in answers)
    assert billed == 4 * calls
    print(f"{name:34} {requests:5} requests  {wall:6.3f} s  {cpu:6.3f} s CPU  {billed} tokens", flush=True)


async def compare(calls: int, base_url: str) -> None:
    """The SDK, llmkit, and llmkit that merges."""
    quiet: list[Any] = [llmkit.UsageLog(sinks=[]), llmkit.Context(), llmkit.Retry()]
    await measure("openai", openai.AsyncOpenAI, calls, base_url)
    await measure("llmkit", partial(llmkit.AsyncOpenAI, middleware=quiet), calls, base_url)
    for window in (0.0, 0.005):
        stack = [batch_embeddings(window=window), *quiet]
        await measure(f"llmkit, window={window}", partial(llmkit.AsyncOpenAI, middleware=stack), calls, base_url)


def main(calls: int, delay: float) -> None:
    """Start the server and compare."""
    command = [sys.executable, __file__, "--serve", "--delay", str(delay)]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdout is not None
    print(f"{calls} calls at once, a server that takes {delay * 1000:.0f} ms for each request")
    try:
        asyncio.run(compare(calls, f"http://127.0.0.1:{int(server.stdout.readline())}/v1"))
    finally:
        server.communicate()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--delay", type=float, default=0.05)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        asyncio.run(serve(given.delay))
    else:
        main(given.calls, given.delay)
