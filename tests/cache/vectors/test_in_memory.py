from __future__ import annotations

import sys
import threading
import tracemalloc

import pytest

from llmkit.cache.vectors import Neighbour, NumpyIndex
from llmkit.cache.vectors.in_memory import InMemoryIndex
from llmkit.cache.vectors.numpy_index import Matrix
from llmkit.errors import LLMKitError


class Watched(Matrix):
    """Says how many vectors are kept in all."""

    kept = 0

    def add(self, key: str, vector: object) -> None:
        if key == "too much":
            raise MemoryError
        super().add(key, vector)  # type: ignore[arg-type]
        Watched.kept += 1

    def drop(self, key: str) -> None:
        super().drop(key)
        Watched.kept -= 1


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> InMemoryIndex:
    monkeypatch.setattr(Watched, "kept", 0)
    return InMemoryIndex(Watched)


def test_what_expires_is_forgotten_in_every_partition_whichever_is_asked_for(index: InMemoryIndex) -> None:
    for number in range(100):
        index.add(f"partition {number}", f"key {number}", [1, number], expires_at=number, now=-1)
    assert Watched.kept == 100
    assert index.search("another", [1, 0], most=1, now=49) == []
    assert Watched.kept == 50
    index.add("another", "key", [1, 0], expires_at=None, now=98)
    assert Watched.kept == 2
    assert index.search("partition 99", [0, 1], most=9, now=98)[0].key == "key 99"


def test_the_end_of_what_was_replaced_or_removed_is_nobodys(index: InMemoryIndex) -> None:
    index.add("p", "longer", [1, 0], expires_at=5, now=0)
    index.add("p", "longer", [1, 0], expires_at=9, now=0)
    index.add("p", "for ever", [0, 1], expires_at=5, now=0)
    index.add("p", "for ever", [0, 1], expires_at=None, now=0)
    index.add("p", "gone", [0, 1], expires_at=5, now=0)
    index.remove(["gone"])
    assert [found.key for found in index.search("p", [1, 0], most=9, now=5)] == ["longer", "for ever"]
    assert [found.key for found in index.search("p", [1, 0], most=9, now=9)] == ["for ever"]


def test_replacing_and_removing_what_ends_in_a_year_takes_no_memory(index: InMemoryIndex) -> None:
    tracemalloc.start()
    try:
        for number in range(5000):
            index.add("p", "same", [1, 0], expires_at=1e7 + number, now=0)
            index.add("p", f"another {number}", [1, 0], expires_at=1e7, now=0)
            index.remove([f"another {number}"])
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 100_000
    assert index.search("p", [1, 0], most=9, now=1e7 + 4998) == [Neighbour("same", 1.0)]
    assert index.search("p", [1, 0], most=9, now=1e7 + 4999) == []


def test_an_addition_that_fails_leaves_nothing_behind(index: InMemoryIndex) -> None:
    with pytest.raises(MemoryError):
        index.add("p", "too much", [1, 0], expires_at=1, now=0)
    assert index.search("p", [1, 0], most=1, now=0) == []
    index.remove(["too much"])
    index.add("p", "a", [1, 0, 0], expires_at=None, now=2)
    assert index.search("p", [1, 0, 0], most=1, now=2) == [Neighbour("a", 1.0)]


def test_threads_that_add_remove_and_search_find_whole_vectors_of_their_own_partitions() -> None:
    index = NumpyIndex()
    wrong: list[object] = []

    def use(thread: int) -> None:
        mine = f"partition {thread % 2}"
        direction = [1.0, 0.0] if thread % 2 else [0.0, 1.0]
        for step in range(300):
            index.add(mine, f"{thread}:{step % 7}", direction, expires_at=step % 3 or None, now=0)
            found = index.search(mine, direction, most=5, now=0)
            wrong.extend(each for each in found if each.score != 1 or int(each.key[0]) % 2 != thread % 2)
            index.remove([f"{thread}:{step % 5}"])

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=use, args=(thread,)) for thread in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert wrong == []


def test_without_numpy_there_is_no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(LLMKitError, match=r"pip install 'llmkit\[semantic\]'"):
        NumpyIndex()
