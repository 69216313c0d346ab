"""What `llmkit cache stats` says of a cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from llmkit.cli.entries import when
from llmkit.cli.units import dollars, duration, size

if TYPE_CHECKING:
    from llmkit.cache.entry import Entry
    from llmkit.cache.stats import CacheStats

COLUMNS_OF_MODELS: Final = ("model", "entries", "size", "input tokens", "output tokens")
_COUNTED: Final = ("entries", "bytes", "hits", "misses", "shared", "stored", "hit_rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The counters of a store and what is in it."""

    stats: CacheStats
    oldest: float | None
    newest: float | None
    models: Sequence[Mapping[str, Any]]
    """Sums for each, the one with the most entries first."""

    @classmethod
    def of(cls, counts: Mapping[str, int], kept: Sequence[Entry]) -> Summary:
        """The summary of a store, from its counters and its entries."""
        from llmkit.cache.stats import CacheStats

        made = [entry.created_at for entry in kept]
        return cls(
            stats=CacheStats.of(counts, kept),
            oldest=min(made, default=None),
            newest=max(made, default=None),
            models=_by_model(kept),
        )

    def document(self) -> dict[str, Any]:
        """All of it for machines; times in UTC, the money as text, exact."""
        return {
            **{name: getattr(self.stats, name) for name in _COUNTED},
            "saved_input_tokens": self.stats.saved_input_tokens,
            "saved_output_tokens": self.stats.saved_output_tokens,
            "saved_cost": f"{self.stats.saved_cost:f}",
            "oldest": None if self.oldest is None else when(self.oldest),
            "newest": None if self.newest is None else when(self.newest),
            "models": self.models,
        }

    def facts(self, *, now: float) -> Iterator[tuple[str, str]]:
        """The lines above the models."""
        stats = self.stats
        asked = stats.hits + stats.misses
        yield "entries", f"{stats.entries:,}"
        yield "size", size(stats.bytes)
        if self.oldest is not None and self.newest is not None:
            yield "made", f"{duration(now - self.oldest)} to {duration(now - self.newest)} ago"
        yield "hits", f"{stats.hits:,} of {asked:,} calls" + (f", {stats.hit_rate:.1%}" if asked else "")
        yield "shared", f"{stats.shared:,} of the hits waited for an identical call"
        yield "saved", f"{stats.saved_input_tokens:,} input and {stats.saved_output_tokens:,} output tokens"
        yield "", f"{dollars(stats.saved_cost)} of the answers whose price is known"

    def rows(self) -> Iterator[tuple[str, ...]]:
        """The lines of the models."""
        for of in self.models:
            sums = (f"{of['input_tokens']:,}", f"{of['output_tokens']:,}")
            yield of["model"] or "-", f"{of['entries']:,}", size(of["bytes"]), *sums


def _by_model(kept: Sequence[Entry]) -> list[dict[str, Any]]:
    sums: dict[str | None, dict[str, Any]] = {}
    for entry in kept:
        none: dict[str, Any] = {"model": entry.model, "entries": 0, "bytes": 0, "input_tokens": 0, "output_tokens": 0}
        of = sums.setdefault(entry.model, none)
        of["entries"] += 1
        of["bytes"] += entry.size
        of["input_tokens"] += entry.input_tokens
        of["output_tokens"] += entry.output_tokens
    return sorted(sums.values(), key=lambda of: (-of["entries"], of["model"] or ""))
