from __future__ import annotations

import math
import sys
from array import array

import numpy as np
import pytest

from llmkit.cache.vectors.unit import load, refuse_length, unit
from llmkit.errors import LLMKitError


@pytest.mark.parametrize("vector", [[3, 4], (3.0, 4.0), array("f", [3, 4]), np.array([3, 4], dtype=np.float16)])
def test_a_vector_is_brought_to_length_one_from_whatever_holds_it(vector: list[float]) -> None:
    made = unit(vector)
    assert made.dtype == np.float32
    assert made.tolist() == np.array([0.6, 0.8], dtype=np.float32).tolist()


def test_the_callers_vector_stays_as_it_is() -> None:
    given = np.array([3.0, 4.0])
    unit(given)  # type: ignore[arg-type]
    assert given.tolist() == [3, 4]


def test_numbers_that_float32_cannot_square_are_no_problem() -> None:
    assert unit([3e30, 4e30]).tolist() == unit([3e-30, 4e-30]).tolist() == unit([3, 4]).tolist()


@pytest.mark.parametrize("vector", [[], [0.0], [0, -0.0], [1, math.nan], [-math.inf], [1e308, 1e308]])
def test_a_vector_without_a_direction_is_refused(vector: list[float]) -> None:
    with pytest.raises(ValueError, match=rf"of {len(vector)} numbers has no direction: .* zero, or not finite"):
        unit(vector)


def test_several_embeddings_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one list of numbers, not an array of shape \(1, 2\)"):
        unit([[1, 2]])  # type: ignore[list-item]


def test_lengths_that_differ_are_named_with_what_to_do() -> None:
    refuse_length(2, 2)
    with pytest.raises(ValueError, match=r"of 3 numbers .* with those of 2 .* must always give vectors of one length"):
        refuse_length(3, 2)


def test_without_numpy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(LLMKitError, match=r"pip install 'llmkit\[semantic\]'"):
        load()
