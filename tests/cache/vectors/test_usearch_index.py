from __future__ import annotations

import sys

import numpy as np
import pytest

from llmkit.cache.vectors import UsearchIndex
from llmkit.cache.vectors.numpy_index import Matrix
from llmkit.cache.vectors.unit import unit
from llmkit.cache.vectors.usearch_index import Graph, GrowingRows
from llmkit.errors import LLMKitError


def test_a_partition_becomes_a_graph_when_it_outgrows_comparing() -> None:
    rows = GrowingRows(2, compare_up_to=3)
    kinds = []
    for number in range(5):
        rows.add(str(number), unit([1, number]))
        kinds.append(type(rows._rows))
    assert kinds == [Matrix, Matrix, Matrix, Graph, Graph]
    assert [found.key for found in rows.nearest(unit([1, 0]), 9)] == ["0", "1", "2", "3", "4"]


def test_a_graph_finds_nearly_all_that_comparing_finds_also_after_many_removals() -> None:
    numbers = np.random.default_rng(1)
    index = UsearchIndex(compare_up_to=100)
    kept: dict[str, np.ndarray] = {}
    for number in range(1500):
        vector = numbers.standard_normal(32)
        kept[str(number)] = vector / np.linalg.norm(vector)
        index.add("p", str(number), vector.tolist(), expires_at=None, now=0)
        if number % 3:
            gone = next(iter(kept))
            del kept[gone]
            index.remove([gone])
    keys, vectors = list(kept), np.array(list(kept.values()))
    right = 0
    for wanted in numbers.standard_normal((200, 32)):
        scores = vectors @ (wanted / np.linalg.norm(wanted))
        (found,) = index.search("p", wanted.tolist(), most=1, now=0)
        assert found.score == pytest.approx(scores[keys.index(found.key)], abs=0.004)
        right += found.key == keys[int(scores.argmax())]
    assert right >= 190


def test_a_size_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"compare_up_to=0 must be 1 vector or more"):
        UsearchIndex(compare_up_to=0)


def test_without_usearch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(LLMKitError, match=r"pip install 'llmkit\[usearch\]'"):
        UsearchIndex()
