"""An answer as it is kept, and which of them are meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from llmkit.tagging import Tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One answer of the API. Times are seconds since the epoch."""

    key: str
    """"chat.completions:gpt-4o-mini:" and a digest of the request, behind the cache's namespace if it has one."""
    operation: str
    model: str | None
    """The model asked for."""
    body: bytes = field(repr=False)
    """The answer's JSON, as the API gives it without `stream`."""
    events: bytes | None = field(default=None, repr=False)
    """The server-sent events as they came, when the answer was streamed."""
    created_at: float
    expires_at: float | None = None
    """None: never."""
    request_id: str | None = None
    """The `x-request-id` of the call that was paid for."""
    tags: Mapping[str, Tag] = field(default_factory=dict[str, Tag])
    """Those of `llmkit.tags` when it was made."""
    input_tokens: int = 0
    output_tokens: int = 0
    """What the server billed; a hit saves it."""
    cost: Decimal | None = None
    """In USD; None when it is not known."""
    partition: str | None = None
    vector: bytes | None = field(default=None, repr=False)
    """Of a `SemanticCache`: what else must be equal, and the embedding of the text, float32 in little-endian order."""
    marks: str | None = None
    """Of a `SemanticCache`: the JSON of the fingerprint by which its guards know the text."""
    question: str | None = field(default=None, repr=False)
    """The text itself, only with `explain=True`."""
    size: int = -1
    """Bytes of the answer and of the vector; known also where they have been left out."""

    def __post_init__(self) -> None:
        if self.size < 0:
            object.__setattr__(self, "size", len(self.body) + len(self.events or b"") + len(self.vector or b""))

    def expired(self, *, now: float) -> bool:
        """Whether it may no longer be served."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which entries are meant: those for which all that is given holds."""

    key: str | None = None
    prefix: str | None = None
    """How the key begins."""
    model: str | None = None
    tags: Mapping[str, Tag] = field(default_factory=dict[str, Tag])
    older_than: float | None = None
    """Seconds since the answer was made."""

    def has(self, entry: Entry, *, now: float) -> bool:
        """Whether `entry` is one of them."""
        return (
            self.key in (None, entry.key)
            and entry.key.startswith(self.prefix or "")
            and self.model in (None, entry.model)
            and all(entry.tags.get(tag) == value for tag, value in self.tags.items())
            and (self.older_than is None or now - entry.created_at > self.older_than)
        )
