"""What a cache has done, and what that saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from llmkit.cache.entry import Entry

_NANO = -9


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """The counters of a store since it was made, and what is in it now."""

    hits: int
    """Answers given from the store; `shared` ones included."""
    misses: int
    """Answers that had to be asked for."""
    shared: int
    """Calls that waited for the answer to an identical one."""
    stored: int
    entries: int
    bytes: int
    saved_input_tokens: int
    saved_output_tokens: int
    saved_cost: Decimal
    """In USD, of the answers whose price is known."""

    @property
    def hit_rate(self) -> float:
        """Hits among all that was looked up, 0 to 1."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0

    @classmethod
    def of(cls, counts: Mapping[str, int], entries: Iterable[Entry]) -> CacheStats:
        """The stats of a store, from its counters and its entries."""
        sizes = [entry.size for entry in entries]
        return cls(
            hits=counts.get("hits", 0),
            misses=counts.get("misses", 0),
            shared=counts.get("shared", 0),
            stored=counts.get("stored", 0),
            entries=len(sizes),
            bytes=sum(sizes),
            saved_input_tokens=counts.get("saved_input_tokens", 0),
            saved_output_tokens=counts.get("saved_output_tokens", 0),
            saved_cost=Decimal(counts.get("saved_nanos", 0)).scaleb(_NANO),
        )


def saved_by(entry: Entry) -> dict[str, int]:
    """The counters to add to for an answer given from the store."""
    nanos = 0 if entry.cost is None else int(entry.cost.scaleb(-_NANO))
    return {
        "hits": 1,
        "saved_input_tokens": entry.input_tokens,
        "saved_output_tokens": entry.output_tokens,
        "saved_nanos": nanos,
    }
