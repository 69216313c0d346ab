from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from cache.stores import FULL, KEY, NOW, entry

from llmkit.cache.entry import Entry
from llmkit.cache.memory import MemoryStore


def sized(number: int, size: int = 10_000) -> Entry:
    return entry(number, body=b"x" * size)


def kept(store: MemoryStore) -> list[int]:
    return [number for number in range(100) if any(sized(number).key == found.key for found in store.entries(now=NOW))]


@pytest.mark.parametrize("most", [0, -1])
def test_a_bound_of_nothing_is_refused(most: int) -> None:
    with pytest.raises(ValueError, match=f"max_bytes={most} must be above 0"):
        MemoryStore(max_bytes=most)


def test_it_does_no_io() -> None:
    assert MemoryStore().blocks is False


def test_a_hit_is_the_very_entry() -> None:
    store = MemoryStore()
    store.put(FULL, now=NOW)
    assert store.get(KEY, now=NOW) is FULL
    assert next(store.entries(now=NOW, bodies=True)) is FULL


def test_those_not_asked_for_longest_make_room() -> None:
    store = MemoryStore(max_bytes=45_000)
    for number in range(4):
        store.put(sized(number), now=NOW)
    assert kept(store) == [0, 1, 2, 3]
    store.get(sized(0).key, now=NOW)
    store.put(sized(4), now=NOW)
    assert kept(store) == [0, 2, 3, 4]
    store.put(sized(2), now=NOW)
    store.put(sized(5, 20_000), now=NOW)
    assert kept(store) == [2, 4, 5]


def test_an_entry_larger_than_all_is_not_kept_and_makes_no_room() -> None:
    store = MemoryStore(max_bytes=45_000)
    store.put(sized(1), now=NOW)
    store.put(sized(2), now=NOW)
    store.put(sized(2, 45_000), now=NOW)
    assert kept(store) == [1]


@pytest.mark.parametrize(
    "large",
    [
        {"events": b"x" * 1000},
        {"vector": b"x" * 1000},
        {"key": "x" * 1000},
        {"operation": "x" * 1000},
        {"model": "x" * 1000},
        {"request_id": "x" * 1000},
        {"partition": "x" * 1000},
        {"marks": "x" * 1000},
        {"question": "x" * 1000},
        {"question": "\N{GRINNING FACE}" * 250},
        {"tags": {"user": "x" * 1000}},
        {"tags": {"x" * 1000: 1}},
        {"tags": {str(number): number for number in range(7)}},
    ],
    ids=[
        "events",
        "vector",
        "key",
        "operation",
        "model",
        "request",
        "partition",
        "marks",
        "question",
        "emoji",
        "tag",
        "name of a tag",
        "tags",
    ],
)
def test_all_that_takes_memory_counts(large: dict[str, object]) -> None:
    store, small = MemoryStore(max_bytes=1_500), replace(FULL, events=None, vector=None, tags={}, size=-1)
    store.put(small, now=NOW)
    assert store.get(KEY, now=NOW) is small
    grown = replace(small, **large, size=-1)
    store.put(grown, now=NOW)
    assert store.get(grown.key, now=NOW) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda number: {},
        lambda number: {
            "model": f"m{number}",
            "request_id": f"req_{number:032x}",
            "tags": {"user": f"u{number}"},
            "expires_at": NOW + number,
            "input_tokens": 1000 + number,
            "cost": Decimal(number),
        },
        lambda number: {"question": f"\N{GRINNING FACE}{number}" * 300},
        lambda number: {"model": f"m{number}" * 300, "request_id": f"r{number}" * 300},
        lambda number: {"tags": {f"t{tag}": f"v{number}{tag}" for tag in range(10)}},
    ],
    ids=["small", "usual", "emoji", "long model", "tags"],
)
def test_the_bound_is_about_the_memory_that_is_taken(change: Callable[[int], dict[str, Any]]) -> None:
    tracemalloc.start()
    store = MemoryStore(max_bytes=500_000)
    for number in range(1_500):
        store.put(replace(entry(number, body=b"%d" % number), **change(number)), now=NOW)
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 250_000 < taken < 510_000


def test_room_is_counted_back_when_entries_go() -> None:
    store = MemoryStore(max_bytes=45_000)
    for turn in range(20):
        store.put(sized(turn), now=NOW)
        assert store.delete([sized(turn).key]) == 1
        store.put(replace(sized(50), expires_at=NOW + 1), now=NOW)
        assert store.get(sized(50).key, now=NOW + 1) is None
    for number in range(4):
        store.put(sized(number), now=NOW)
    assert kept(store) == [0, 1, 2, 3]


def test_expired_entries_go_before_others_once_a_minute() -> None:
    store = MemoryStore(max_bytes=45_000)
    store.put(sized(1), now=NOW)
    store.put(replace(sized(2), expires_at=NOW + 50), now=NOW)
    store.put(replace(sized(3), expires_at=NOW + 70), now=NOW)
    store.put(sized(4), now=NOW + 60)
    store.put(sized(5), now=NOW + 119)
    assert kept(store) == [1, 3, 4, 5]
    store.put(sized(6), now=NOW + 120)
    assert kept(store) == [1, 4, 5, 6]


def test_counts_cannot_be_changed_from_outside() -> None:
    store = MemoryStore()
    store.add({"hits": 1})
    store.counts()["hits"] = 7
    assert store.counts() == {"hits": 1}
