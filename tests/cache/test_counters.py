from __future__ import annotations

import logging
from collections.abc import Mapping

import pytest

from llmkit import MemoryStore, caching
from llmkit.cache.counters import Counters


class Far(MemoryStore):
    blocks = True

    def __init__(self) -> None:
        super().__init__()
        self.fails = False

    def add(self, counts: Mapping[str, int]) -> None:
        if self.fails:
            raise ConnectionError
        super().add(counts)


def test_a_store_in_memory_is_told_at_once() -> None:
    store = MemoryStore()
    Counters(store).add({"hits": 1})
    assert store.counts() == {"hits": 1}


def test_another_one_is_told_now_and_then() -> None:
    store = Far()
    counters = Counters(store)
    for now in (100.0, 101.0, 104.9):
        counters.add({"hits": 1, "misses": 0})
        counters.write_if_due(now)
    assert store.counts()["hits"] == 1
    counters.write_if_due(105.0)
    assert store.counts()["hits"] == 3


def test_nothing_is_lost_when_it_cannot_be_written() -> None:
    store = Far()
    counters = Counters(store)
    counters.add({"hits": 2})
    store.fails = True
    with pytest.raises(ConnectionError):
        counters.write()
    counters.add({"hits": 1})
    store.fails = False
    counters.write()
    counters.write()
    assert store.counts() == {"hits": 3}


def test_the_end_of_the_process_never_fails(caplog: pytest.LogCaptureFixture) -> None:
    store = Far()
    counters = Counters(store)
    counters.add({"hits": 1})
    store.fails = True
    with caplog.at_level(logging.DEBUG, logger="llmkit"):
        counters.close()
    assert "the counters of a cache could not be written: ConnectionError" in caplog.text


def test_a_call_that_is_not_to_be_counted_is_not() -> None:
    store = MemoryStore()
    with caching(count=False):
        Counters(store).add({"hits": 1})
    assert store.counts() == {}


def test_a_forked_child_has_counted_nothing() -> None:
    store = Far()
    counters = Counters(store)
    counters.add({"hits": 1})
    counters.begin()
    counters.write()
    assert store.counts() == {}
