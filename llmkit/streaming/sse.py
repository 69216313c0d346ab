"""Server-sent events as blocks of bytes, cut wherever the network cut them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\r?\n|\r\r")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class BlockSplitter:
    """Cuts a byte stream after each blank line; what goes in comes out, byte for byte."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The blocks that `chunk` completes, each with its blank line."""
        searched = max(0, len(self._rest) - 3)  # a blank line may begin in the last three bytes
        self._rest += chunk
        blocks: list[bytes] = []
        start = 0
        for match in _BLANK_LINE.finditer(self._rest, searched):
            blocks.append(bytes(self._rest[start : match.end()]))
            start = match.end()
        del self._rest[:start]
        return blocks

    def flush(self) -> bytes:
        """What is left when the stream ends."""
        rest = bytes(self._rest)
        self._rest.clear()
        return rest


def data_of(block: bytes) -> bytes:
    """The `data` field of an event, its lines joined; empty for comments and keep-alives."""
    lines = [line[5:].removeprefix(b" ") for line in _LINE_END.split(block) if line.startswith(b"data:")]
    return b"\n".join(lines)


def event_bytes(payload: Mapping[str, Any]) -> bytes:
    """A JSON object as an event, named by its `type` if it has one; half of a surrogate pair is escaped."""
    name = f"event: {payload['type']}\n" if "type" in payload else ""
    data = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return f"{name}data: {data}\n\n".encode("utf-8", "backslashreplace")
