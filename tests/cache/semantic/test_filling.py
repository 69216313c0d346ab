from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from threading import Event, Thread
from typing import Any

import pytest

from llmkit import MemoryStore
from llmkit.cache.entry import Entry
from llmkit.cache.semantic.filling import Filling, bytes_of, numbers_of
from llmkit.cache.vectors import NumpyIndex

ENTRY = Entry(
    key="k",
    operation="responses",
    model="m",
    body=b"{}",
    created_at=1_000.0,
    partition="p",
    vector=bytes_of([1.0, 0.0]),
)


class Shared(NumpyIndex):
    shared = True


def found(index: NumpyIndex, now: float = 1_000.0) -> list[str]:
    return [neighbour.key for neighbour in index.search("p", [1.0, 0.0], most=9, now=now)]


def test_a_vector_is_kept_as_float32_in_little_endian_order() -> None:
    assert bytes_of([1.0, -2.0]) == b"\x00\x00\x80?\x00\x00\x00\xc0"
    assert list(numbers_of(bytes_of([0.5, 0.25]))) == [0.5, 0.25]


def test_an_index_is_filled_from_the_store_and_follows_it_every_five_seconds() -> None:
    store, index = MemoryStore(), NumpyIndex()
    filling = Filling(index, store)
    store.put(ENTRY, now=1_000)
    filling.follow(now=1_000)
    assert found(index) == ["k"]
    store.put(replace(ENTRY, key="j", created_at=1_001.0), now=1_001)
    filling.follow(now=1_004.9)
    assert found(index) == ["k"]
    filling.follow(now=1_005)
    assert sorted(found(index)) == ["j", "k"]


def test_entries_without_a_vector_are_passed_over() -> None:
    store, index = MemoryStore(), NumpyIndex()
    store.put(replace(ENTRY, vector=None), now=1_000)
    store.put(replace(ENTRY, key="j", partition=None), now=1_000)
    Filling(index, store).follow(now=1_000)
    assert found(index) == []


def test_what_is_in_the_index_already_is_not_added_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store, index, added = MemoryStore(), NumpyIndex(), list[str]()
    monkeypatch.setattr(index, "add", lambda partition, key, *_, **__: added.append(key))
    filling = Filling(index, store)
    store.put(ENTRY, now=1_000)
    filling.add(ENTRY, now=1_000)
    for now in (1_000.0, 1_010.0, 1_020.0):
        filling.follow(now=now)
    assert added == ["k"]
    store.put(replace(ENTRY, created_at=1_021.0), now=1_021)
    filling.follow(now=1_030)
    assert added == ["k", "k"]


def test_an_index_that_processes_share_is_not_filled() -> None:
    store, index = MemoryStore(), Shared()
    store.put(ENTRY, now=1_000)
    filling = Filling(index, store)
    filling.follow(now=1_000)
    assert found(index) == []
    filling.add(ENTRY, now=1_000)
    assert found(index) == ["k"]


def test_a_thread_that_comes_while_another_fills_goes_on_with_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    store, index, began, go = MemoryStore(), NumpyIndex(), Event(), Event()
    filling = Filling(index, store)
    store.put(ENTRY, now=1_000)
    entries = store.entries

    def slow(**options: Any) -> Iterator[Entry]:
        began.set()
        go.wait(10)
        return entries(**options)

    monkeypatch.setattr(store, "entries", slow)
    thread = Thread(target=lambda: filling.follow(now=1_000))
    thread.start()
    assert began.wait(10)
    filling.follow(now=1_000)
    assert found(index) == []
    go.set()
    thread.join()
    assert found(index) == ["k"]


def test_a_long_list_is_read_a_bit_with_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmkit.cache.semantic.filling._SHARE", 0.0)
    store, index = MemoryStore(), NumpyIndex()
    for number in range(3):
        store.put(replace(ENTRY, key=f"k{number}", created_at=1_000.0 + number), now=1_010)
    filling = Filling(index, store)
    for count in (1, 2, 3, 3):
        filling.follow(now=1_010)
        assert len(found(index, now=1_010)) == count


def test_a_store_that_fails_while_it_is_read_is_read_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    store, index = MemoryStore(), NumpyIndex()
    store.put(ENTRY, now=1_000)
    filling = Filling(index, store)

    def failing(**_: Any) -> Iterator[Entry]:
        yield ENTRY
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(store, "entries", failing)
        with pytest.raises(ConnectionError):
            filling.follow(now=1_000)
    store.put(replace(ENTRY, key="j", created_at=999.0), now=1_000)
    filling.follow(now=1_005)
    assert sorted(found(index)) == ["j", "k"]


def test_a_vector_of_another_length_is_passed_over_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    store, index = MemoryStore(), NumpyIndex()
    store.put(ENTRY, now=1_000)
    store.put(replace(ENTRY, key="odd", vector=bytes_of([1.0]), created_at=1_001.0), now=1_001)
    store.put(replace(ENTRY, key="j", created_at=1_002.0), now=1_002)
    Filling(index, store).follow(now=1_002)
    assert sorted(found(index)) == ["j", "k"]
    assert "the answer odd cannot be found by its meaning: an embedding of 1 numbers" in caplog.text


def test_vectors_of_answers_that_are_gone_are_dropped_when_they_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmkit.cache.semantic.filling._SPARE", 10)
    store, index = MemoryStore(), NumpyIndex()
    filling = Filling(index, store)
    for number in range(12):
        entry = replace(ENTRY, key=f"k{number}")
        store.put(entry, now=1_000)
        filling.add(entry, now=1_000)
        store.delete([f"k{number - 2}"])
    assert len(index.search("p", [1.0, 0.0], most=99, now=1_000)) == 12
    filling.follow(now=1_000)
    assert sorted(found(index)) == ["k10", "k11"]


def test_a_clock_that_is_set_back_has_the_store_read_from_its_beginning() -> None:
    store, index = MemoryStore(), NumpyIndex()
    filling = Filling(index, store)
    filling.follow(now=10_000)
    store.put(ENTRY, now=1_000)
    filling.follow(now=1_000)
    assert found(index) == ["k"]
