"""What has been counted before, remembered by content: an edited message is a different key."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Hashable
from typing import Final

from llmkit.tokens.vocabulary import text_length

MAX_ENTRIES: Final = 32_768
MAX_BYTES: Final = 16_000_000
LONG_TEXT: Final = 32_768  # characters; a longer text is remembered by its digest


class Memory:
    """Token counts of one vocabulary, by content; at most twice `max_entries` and twice `max_bytes` of keys.

    Two generations: when the young one is full it becomes the old one, and what the old one held is forgotten
    unless it was asked for again. Threads may share it: a lost race costs one more count, never a wrong one.
    """

    __slots__ = ("_bytes", "_max_bytes", "_max_entries", "_old", "vocabulary", "young")

    def __init__(self, vocabulary: str, *, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self.vocabulary = vocabulary
        self.young: dict[Hashable, int] = {}  # read directly by the one loop where a call is too much
        self._old: dict[Hashable, int] = {}
        self._bytes = 0
        self._max_entries = max_entries
        self._max_bytes = max_bytes

    def get(self, key: Hashable, size: int) -> int | None:
        """Return what was put under `key`; `size` is the bytes it holds on to."""
        count = self.young.get(key)
        if count is not None:
            return count
        count = self._old.get(key)
        if count is not None:
            self.put(key, count, size)
        return count

    def put(self, key: Hashable, count: int, size: int) -> int:
        """Remember `count` under `key`, which holds on to `size` bytes; return `count`."""
        if len(self.young) >= self._max_entries or self._bytes + size > self._max_bytes:
            self._old, self.young, self._bytes = self.young, {}, 0
        self.young[key] = count
        self._bytes += size
        return count

    def text(self, text: str) -> int:
        """Return the tokens of `text`, tokenising it only the first time."""
        count = self.young.get(text)
        if count is not None:
            return count
        key: Hashable = text
        if len(text) > LONG_TEXT:
            key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=20).digest()
        size = sys.getsizeof(key)
        count = self.get(key, size)
        return self.put(key, text_length(self.vocabulary, text), size) if count is None else count


class _Bytes(dict[Hashable, int]):
    def __missing__(self, key: Hashable) -> int:
        if not isinstance(key, str):
            raise KeyError(key)
        return len(key) if key.isascii() else len(key.encode("utf-8", "surrogatepass"))


class ByteRuler:
    """A stand-in for `Memory` that measures UTF-8 bytes: no token is shorter than a byte."""

    __slots__ = ("vocabulary", "young")

    def __init__(self) -> None:
        self.vocabulary = "bytes"
        self.young: dict[Hashable, int] = _Bytes()

    def get(self, key: Hashable, size: int) -> int | None:
        """Return nothing: measuring again is cheaper than remembering."""
        return None

    def put(self, key: Hashable, count: int, size: int) -> int:
        """Return `count`."""
        return count

    def text(self, text: str) -> int:
        """Return the bytes of `text`."""
        return self.young[text]


MEMORIES: Final = {"cl100k_base": Memory("cl100k_base"), "o200k_base": Memory("o200k_base")}
