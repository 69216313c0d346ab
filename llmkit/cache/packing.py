"""Entries as bytes: a head of JSON, and the answer as it came; what is not exactly as it was packed is refused."""

from __future__ import annotations

import json
from dataclasses import fields
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

from llmkit.cache.entry import Entry

_FORMAT: Final = b"llmkit cache 1"
"""Part of each checksum, so that other versions' entries have a wrong one; other fields need another number."""
_CHECKSUM: Final = 32
"""Its hex digits, with which a head begins."""
_FACTS: Final = [field.name for field in fields(Entry) if field.name not in {"body", "events", "vector", "size"}]
_encode = json.JSONEncoder(separators=(",", ":")).encode


def pack(entry: Entry) -> tuple[bytes, bytes]:
    """The head, a checksum and JSON, which is all that a list of entries needs, and the body, events and vector."""
    rest = entry.body + (entry.events or b"") + (entry.vector or b"")
    facts = {name: getattr(entry, name) for name in _FACTS} | {
        "tags": dict(entry.tags),
        "cost": None if entry.cost is None else str(entry.cost),
        "lengths": [None if part is None else len(part) for part in (entry.body, entry.events, entry.vector)],
        "rest": _checksum(rest),
    }
    text = _encode(facts).encode()
    return _checksum(text).encode() + text, rest


def unpack(key: str, head: object, rest: object) -> Entry:
    """The entry that was packed; ValueError when a byte of it, or the key, is another."""
    facts = _read(key, head)
    if not isinstance(rest, bytes) or _checksum(rest) != facts.pop("rest"):
        raise ValueError("its answer is damaged")
    body, events, vector = facts.pop("lengths")
    start = body + (events or 0)
    return Entry(
        **facts,
        body=rest[:body],
        events=None if events is None else rest[body:start],
        vector=None if vector is None else rest[start:],
        size=len(rest),
    )


def unpack_head(key: str, head: object) -> Entry:
    """The entry without its body, events and vector; ValueError when a byte of the head, or the key, is another."""
    facts = _read(key, head)
    del facts["rest"]
    size = sum(length or 0 for length in facts.pop("lengths"))
    return Entry(**facts, body=b"", size=size)


def _read(key: str, head: object) -> dict[str, Any]:
    if not isinstance(head, bytes) or _checksum(head[_CHECKSUM:]).encode() != head[:_CHECKSUM]:
        raise ValueError("it is damaged, of another version or of another program")
    facts: dict[str, Any] = json.loads(head[_CHECKSUM:])
    if facts["key"] != key:
        raise ValueError("it was kept under another key")
    if facts["cost"] is not None:
        facts["cost"] = Decimal(facts["cost"])
    return facts


def _checksum(data: bytes) -> str:
    digest = sha256(_FORMAT)  # half the time of blake2b where the processor knows it, which most do
    digest.update(data)
    return digest.hexdigest()[:_CHECKSUM]
