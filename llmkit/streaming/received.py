"""The bytes of an answer, for a layer that keeps them."""

from __future__ import annotations

import time
from typing import Any


class Received:
    """The HTTP answer behind what the SDK has made of it."""

    __slots__ = ("_copy", "_left_at", "_most", "_response", "result")

    def __init__(self, result: Any, response: Any) -> None:
        self.result = result
        """What the SDK's method returns."""
        self._response = response
        self._copy: bytearray | None = None
        self._most = 0
        self._left_at: float | None = time.monotonic()

    @property
    def idle_for(self) -> float:
        """Seconds for which nobody has asked for more of an open answer; 0 while somebody waits for the server."""
        return 0.0 if self._left_at is None else time.monotonic() - self._left_at

    def asked_for_more(self) -> None:
        """Note that the reader waits for the server."""
        self._left_at = None

    @property
    def request_id(self) -> str | None:
        """The server's `x-request-id`."""
        found: str | None = self._response.headers.get("x-request-id")
        return found

    @property
    def is_read(self) -> bool:
        """Whether the body is in memory."""
        return self._response.is_closed and self._copy is None

    def keep(self, most: int) -> None:
        """From now on copy what is read of an open answer, up to so many bytes as they are sent."""
        self._copy, self._most = bytearray(), most

    def feed(self, piece: bytes) -> None:
        """Take in bytes as they were sent, which the reader has now."""
        self._left_at = time.monotonic()
        if self._copy is None or self._most < 0:
            return
        self._copy += piece
        if len(self._copy) > self._most:
            self._copy, self._most = bytearray(), -1

    def content(self) -> bytes | None:
        """The body, decoded: all of it, or what was copied; None when there is none, or too much."""
        try:
            response = self._response
            if self._copy is not None:
                response = type(response)(200, headers=response.headers, content=bytes(self._copy))
            content: bytes = response.content
        except Exception:  # noqa: BLE001 - a copy cut in mid-stream need not decode; each codec has its own errors
            return None
        return content or None
