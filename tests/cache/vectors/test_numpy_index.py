from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest

from llmkit.cache.vectors import NumpyIndex
from llmkit.cache.vectors.numpy_index import Matrix
from llmkit.cache.vectors.unit import unit


def test_scores_are_exact_and_the_order_is_that_of_sorting_all() -> None:
    random_numbers = np.random.default_rng(1)
    vectors = random_numbers.standard_normal((500, 16))
    index = NumpyIndex()
    for number, vector in enumerate(vectors):
        index.add("p", str(number), vector.tolist(), expires_at=None, now=0)
    wanted = random_numbers.standard_normal(16)
    right = vectors @ wanted / np.linalg.norm(vectors, axis=1) / np.linalg.norm(wanted)
    for most in (1, 2, 499, 500, 501):
        found = index.search("p", wanted.tolist(), most=most, now=0)
        assert [int(each.key) for each in found] == np.argsort(-right)[:most].tolist()
        assert [each.score for each in found] == pytest.approx(np.sort(right)[::-1][:most], abs=1e-6)


def test_the_array_doubles_when_it_is_full_and_shrinks_when_it_is_a_quarter_full() -> None:
    rows, numbers = Matrix(2), random.Random(1)
    sizes = set()
    for number in range(9):
        rows.add(str(number), unit([1, number]))
        sizes.add(len(rows.vectors.base))  # type: ignore[arg-type]
    assert sizes == {1, 2, 4, 8, 16}
    left = {str(number) for number in range(9)}
    while left:
        key = numbers.choice(sorted(left))
        left.remove(key)
        rows.drop(key)
        assert len(rows) == len(left)
        assert len(rows.vectors.base) <= max(4 * len(left), 2)  # type: ignore[arg-type]
        assert set(rows.keys) == left
        assert all((row == unit([1, int(key)])).all() for key, row in zip(rows.keys, rows.vectors, strict=True))


def test_a_partition_of_one_vector_takes_little_more_than_the_vector() -> None:
    index = NumpyIndex()
    vector = [1.0] * 256
    tracemalloc.start()
    try:
        for number in range(1000):
            index.add(f"partition {number}", f"key {number}", vector, expires_at=number, now=-1)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used / 1000 < 256 * 4 + 1200
