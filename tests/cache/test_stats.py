from __future__ import annotations

from decimal import Decimal

from llmkit.cache.entry import Entry
from llmkit.cache.stats import CacheStats, saved_by


def entry(**changed: object) -> Entry:
    facts: dict[str, object] = {"key": "k", "operation": "responses", "model": "m", "body": b"12345", "created_at": 0.0}
    return Entry(**facts | changed)  # type: ignore[arg-type]


def test_what_nobody_has_counted_is_nothing() -> None:
    stats = CacheStats.of({}, [])
    assert stats.hit_rate == 0
    assert stats.saved_cost == 0
    assert (stats.hits, stats.misses, stats.shared, stats.stored, stats.entries, stats.bytes) == (0,) * 6


def test_counters_and_entries_are_added_up() -> None:
    counts = {"hits": 3, "misses": 1, "shared": 2, "stored": 1, "saved_nanos": 1_500_000_000, "saved_input_tokens": 7}
    stats = CacheStats.of(counts, [entry(), entry(events=b"123", vector=b"12")])
    assert stats.hit_rate == 0.75
    assert stats.saved_cost == Decimal("1.5")
    assert (stats.shared, stats.stored, stats.saved_input_tokens) == (2, 1, 7)
    assert (stats.entries, stats.bytes) == (2, 15)


def test_a_hit_saves_what_the_answer_was_billed() -> None:
    made = entry(input_tokens=5, output_tokens=7, cost=Decimal("0.000000123"))
    assert saved_by(made) == {"hits": 1, "saved_input_tokens": 5, "saved_output_tokens": 7, "saved_nanos": 123}
    assert saved_by(entry())["saved_nanos"] == 0
