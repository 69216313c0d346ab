"""A look at the bytes of an answer, for callers who read them without the SDK's stream."""

from __future__ import annotations

from llmkit.streaming.sse import BlockSplitter, data_of
from llmkit.streaming.watch import Watch

_MAX_KEPT = 16 * 1024 * 1024
"""Bytes: a JSON answer longer than this, read piecemeal, is not looked at."""


_DONE = b"data: [DONE]"


class ByteReader:
    """Tells a Watch of the events in the bytes that pass, and takes out what the caller must not see."""

    def __init__(self, watch: Watch, *, content_type: str, encoding: str) -> None:
        self.watch = watch
        plain = encoding.lower() in ("", "identity")
        content_type = content_type.lower()
        self._events = BlockSplitter() if plain and "event-stream" in content_type else None
        self._kept: list[bytes] | None = [] if "json" in content_type else None
        self._size = 0
        self._tail = b""

    def feed(self, chunk: bytes) -> bytes:
        """The bytes to hand on: `chunk`, less what must be hidden."""
        if self.watch.typed:
            self._look_for_done(chunk)
            return chunk
        if self._events is not None:
            seen = [block for block in self._events.feed(chunk) if self._shows(block)]
            return b"".join(seen) if self.watch.hides_usage else chunk
        if self._kept is not None:
            self._kept.append(chunk)
            self._size += len(chunk)
            if self._size > _MAX_KEPT:
                self._kept = None
        return chunk

    def flush(self) -> bytes:
        """The bytes still to hand on when the body is at its end."""
        if self._events is None or self.watch.typed:
            return b""
        rest = self._events.flush()
        shown = self._shows(rest)
        return rest if shown and self.watch.hides_usage else b""

    @property
    def content(self) -> bytes | None:
        """The whole JSON body as it came, still encoded; None when it is something else."""
        return None if self._kept is None else b"".join(self._kept)

    def _look_for_done(self, chunk: bytes) -> None:
        """The SDK's stream keeps the last line of a Chat stream to itself."""
        seen = self._tail + chunk
        if self._events is not None and _DONE in seen:
            self.watch.saw_data(b"[DONE]")
        self._tail = seen[-len(_DONE) :]

    def _shows(self, block: bytes) -> bool:
        data = data_of(block)
        return not data or self.watch.saw_data(data)
