"""A mock of the API that answers with bytes made beforehand, so that what a benchmark sees is the client.

The path says what to answer: /COUNT/GATE/v1/chat/completions is one completion for COUNT 0, else a stream of COUNT
pieces of text; /responses likewise; /embeddings gives COUNT vectors. With GATE 2000 a stream stops half-way until 2000
of them are open. GET /digest tells, and forgets, what was asked: a hash of all JSON bodies, without `stream_options`.
"""

from __future__ import annotations

import array
import asyncio
import base64
import functools
import hashlib
import json
import re
import sys
from typing import Any

_Object = dict[str, Any]
TEXT = "Paris has been the capital of France for most of the last thousand years. " * 4
DIMENSIONS = 1536
_PIECES = (" several", " words", " of", " an", " answer", ",", " one", " by", " one", ".")
_USAGE = {"prompt_tokens": 7, "completion_tokens": 64, "total_tokens": 71}
_RESPONSE_USAGE = {
    "input_tokens": 7,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 64,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 71,
}
_HEADERS = (
    "x-request-id: req_2f6d1c0a9b8e47d5a3c1e0f9d8b7a695\r\nopenai-organization: benchmark\r\n"
    "openai-processing-ms: 312\r\nopenai-version: 2020-10-01\r\nx-ratelimit-limit-requests: 10000\r\n"
    "x-ratelimit-limit-tokens: 2000000\r\nx-ratelimit-remaining-requests: 9999\r\n"
    "x-ratelimit-remaining-tokens: 1999900\r\nx-ratelimit-reset-requests: 6ms\r\nx-ratelimit-reset-tokens: 3ms\r\n"
    "date: Thu, 01 Jan 2026 00:00:00 GMT\r\nserver: cloudflare\r\ncf-cache-status: DYNAMIC\r\n\r\n"
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def text_of(pieces: int) -> str:
    """The text of an answer: the whole one, or that of a stream of so many pieces."""
    return "".join(_PIECES[i % len(_PIECES)] for i in range(pieces)) if pieces else TEXT


@functools.cache
def vector(index: int) -> bytes:
    """The embedding of the text with this index, as little-endian floats."""
    floats = array.array("f", [index / 1024, *(i / DIMENSIONS for i in range(1, DIMENSIONS))])
    if sys.byteorder == "big":
        floats.byteswap()
    return floats.tobytes()


@functools.cache
def answer(operation: str, count: int, usage: bool) -> bytes:
    """The whole HTTP answer."""
    if operation == "embeddings":
        return _whole(_embeddings(count))
    if operation == "chat/completions":
        return _streamed(_chunks(count, usage)) if count else _whole(_completion())
    return _streamed(_events(count)) if count else _whole(_response("completed", TEXT))


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _whole(value: Any) -> bytes:
    body = _json(value)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n{_HEADERS}"
    return head.encode() + body


def _streamed(events: list[bytes]) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n{_HEADERS}"
    return head.encode() + b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in [*events, b""])


def _completion() -> _Object:
    message: _Object = {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}
    choice: _Object = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**_CHAT, "object": "chat.completion", "choices": [choice], "usage": _USAGE}


_CHAT = {
    "id": "chatcmpl-CqZ7k2wXf0aBcDeFgHiJkLmNoPqRs",
    "created": 1767225600,
    "model": "gpt-4o-mini-2024-07-18",
    "service_tier": "default",
    "system_fingerprint": "fp_8bda4d3a2c",
}


def _chunk(delta: _Object, finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk = {**_CHAT, "object": "chat.completion.chunk", "choices": [choice], "usage": None, "obfuscation": "k3Xv9"}
    return b"data: %s\n\n" % _json(chunk)


def _chunks(count: int, usage: bool) -> list[bytes]:
    first = _chunk({"role": "assistant", "content": "", "refusal": None})
    pieces = [_chunk({"content": _PIECES[i % len(_PIECES)]}) for i in range(count)]
    last: _Object = {**_CHAT, "object": "chat.completion.chunk", "choices": [], "usage": _USAGE}
    ends = [b"data: %s\n\n" % _json(last)] if usage else []
    return [first, *pieces, _chunk({}, "stop"), *ends, b"data: [DONE]\n\n"]


def _response(status: str, text: str | None = None) -> _Object:
    return {
        "id": "resp_0a1b2c3d4e5f60718293a4b5c6d7e8f9",
        "object": "response",
        "created_at": 1767225600,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "gpt-4o-mini-2024-07-18",
        "output": [] if text is None else [_message(text)],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None if text is None else _RESPONSE_USAGE,
    }


def _message(text: str | None = None) -> _Object:
    status, content = ("in_progress", []) if text is None else ("completed", [_part(text)])
    return {"id": "msg_0a1b2c3d4e5f", "type": "message", "status": status, "role": "assistant", "content": content}


def _part(text: str) -> _Object:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _events(count: int) -> list[bytes]:
    text = text_of(count)
    item = {"output_index": 0, "item_id": "msg_0a1b2c3d4e5f"}
    part = {**item, "content_index": 0}
    deltas: list[tuple[str, _Object]] = [
        ("output_text.delta", {**part, "delta": _PIECES[i % len(_PIECES)], "logprobs": [], "obfuscation": "k3Xv9"})
        for i in range(count)
    ]
    events: list[tuple[str, _Object]] = [
        ("created", {"response": _response("in_progress")}),
        ("in_progress", {"response": _response("in_progress")}),
        ("output_item.added", {"output_index": 0, "item": _message()}),
        ("content_part.added", {**part, "part": _part("")}),
        *deltas,
        ("output_text.done", {**part, "text": text, "logprobs": []}),
        ("content_part.done", {**part, "part": _part(text)}),
        ("output_item.done", {"output_index": 0, "item": _message(text)}),
        ("completed", {"response": _response("completed", text)}),
    ]
    return [
        b"event: response.%s\ndata: %s\n\n"
        % (name.encode(), _json({"type": f"response.{name}", "sequence_number": number, **data}))
        for number, (name, data) in enumerate(events)
    ]


def _embeddings(count: int) -> _Object:
    data = [
        {"object": "embedding", "index": i, "embedding": base64.b64encode(vector(i)).decode()} for i in range(count)
    ]
    usage = {"prompt_tokens": 9 * count, "total_tokens": 9 * count}
    return {"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage}


class Connection(asyncio.Protocol):
    """One keep-alive connection; what was asked and who waits at the gate are the whole server's."""

    bodies: list[bytes] = []  # noqa: RUF012 - shared on purpose
    waiting: list[tuple[asyncio.Transport, bytes]] = []  # noqa: RUF012

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end])
            length = _LENGTH.search(head)
            after = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < after:
                return
            body = bytes(self._received[end + 4 : after])
            del self._received[:after]
            self._answer(head.split(b" ", 2)[1].decode(), body)

    def _answer(self, path: str, body: bytes) -> None:
        if path == "/digest":
            self._transport.write(_whole({"digest": self._digest()}))
            return
        _, count, gate, _, operation = path.split("/", 4)
        self.bodies.append(body)
        whole = answer(operation, int(count), b'"include_usage":true' in body)
        if not int(gate):
            self._transport.write(whole)
            return
        self._transport.write(whole[: len(whole) // 2])
        self.waiting.append((self._transport, whole[len(whole) // 2 :]))
        if len(self.waiting) == int(gate):
            self._open_the_gate()

    def _open_the_gate(self) -> None:
        for transport, rest in self.waiting:
            transport.write(rest)
        self.waiting.clear()

    def _digest(self) -> str:
        asked = sorted(_json(_comparable(json.loads(body))) for body in self.bodies)
        self.bodies.clear()
        return f"{len(asked)} requests, SHA-256 {hashlib.sha256(b''.join(asked)).hexdigest()}"


def _comparable(body: _Object) -> _Object:
    """UsageLog asks streams for their usage; all else must be the same."""
    return {key: body[key] for key in sorted(body) if key != "stream_options"}


async def main() -> None:
    """Print the port, and serve until stdin is closed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=4096)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    from processes import allow_many_connections

    allow_many_connections()
    asyncio.run(main())
