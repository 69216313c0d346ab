from __future__ import annotations

from cli.stored import HOUR, NOW, entry

from llmkit.cli.summary import Summary

COUNTS = {
    "hits": 1_150,
    "misses": 175,
    "shared": 12,
    "stored": 170,
    "saved_input_tokens": 1_234_567,
    "saved_output_tokens": 98_765,
    "saved_nanos": 1_234_567_890,
}


def test_the_facts_are_those_of_the_counters_and_the_entries() -> None:
    kept = [entry("1", created_at=NOW - 50 * HOUR, size=1_000), entry("2", created_at=NOW - 5, size=500)]
    assert list(Summary.of(COUNTS, kept).facts(now=NOW)) == [
        ("entries", "2"),
        ("size", "1.5 kB"),
        ("made", "2d to 5s ago"),
        ("hits", "1,150 of 1,325 calls, 86.8%"),
        ("shared", "12 of the hits waited for an identical call"),
        ("saved", "1,234,567 input and 98,765 output tokens"),
        ("", "$1.2346 of the answers whose price is known"),
    ]


def test_an_empty_cache_has_no_ages_and_no_rate() -> None:
    facts = dict(Summary.of({}, []).facts(now=NOW))
    assert (facts["entries"], facts["hits"]) == ("0", "0 of 0 calls")
    assert "made" not in facts


def test_models_are_summed_up_the_one_with_the_most_entries_first() -> None:
    kept = [
        entry("1", model="gpt-5", size=10),
        entry("2", size=1_000),
        entry("3", size=2_000),
        entry("4", model=None, size=1),
    ]
    summary = Summary.of({}, kept)
    assert list(summary.rows()) == [
        ("gpt-4o", "2", "3.0 kB", "2,400", "68"),
        ("-", "1", "1 B", "1,200", "34"),
        ("gpt-5", "1", "10 B", "1,200", "34"),
    ]
    assert summary.models[1]["model"] is None


def test_the_document_has_it_all() -> None:
    kept = [entry("1", created_at=0.0, size=10), entry("2", created_at=60.0, size=20)]
    assert Summary.of(COUNTS, kept).document() == {
        "entries": 2,
        "bytes": 30,
        "hits": 1_150,
        "misses": 175,
        "shared": 12,
        "stored": 170,
        "hit_rate": 1_150 / 1_325,
        "saved_input_tokens": 1_234_567,
        "saved_output_tokens": 98_765,
        "saved_cost": "1.234567890",
        "oldest": "1970-01-01T00:00:00Z",
        "newest": "1970-01-01T00:01:00Z",
        "models": [{"model": "gpt-4o", "entries": 2, "bytes": 30, "input_tokens": 2_400, "output_tokens": 68}],
    }
    empty = Summary.of({}, []).document()
    assert (empty["oldest"], empty["newest"], empty["models"], empty["hit_rate"]) == (None, None, [], 0.0)
