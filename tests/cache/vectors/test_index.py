"""What every index does, whatever it keeps its vectors in."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from cache.vectors.indexes import KINDS, Model, new_index
from hypothesis import given, settings
from hypothesis import strategies as st

import llmkit.cache.vectors as front_door
from llmkit.cache.vectors import Neighbour, VectorIndex

NOW = 1_700_000_000.0

New = Callable[[], VectorIndex]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def new(kind: str, request: pytest.FixtureRequest) -> New:
    return lambda: new_index(kind, lambda: request.getfixturevalue("redis_8_url"))


@pytest.fixture
def index(new: New) -> VectorIndex:
    return new()


def found(index: VectorIndex, partition: str, vector: list[float], *, most: int = 9, now: float = NOW) -> list[str]:
    return [neighbour.key for neighbour in index.search(partition, vector, most=most, now=now)]


def test_the_nearest_come_first_and_no_more_than_asked_for(index: VectorIndex, kind: str) -> None:
    for key, vector in {"far": [-1, 0], "near": [2, 1], "same": [9, 0], "across": [0, 1]}.items():
        index.add("p", key, vector, expires_at=None, now=NOW)
    assert found(index, "p", [3, 0]) == ["same", "near", "across", "far"]
    assert found(index, "p", [3, 0], most=2) == ["same", "near"]
    (best,) = index.search("p", [3, 0], most=1, now=NOW)
    assert best == Neighbour("same", pytest.approx(1, abs=KINDS[kind]))
    assert type(best.score) is float
    scores = [neighbour.score for neighbour in index.search("p", [3, 0], most=4, now=NOW)]
    assert scores == pytest.approx([1, 2 / math.sqrt(5), 0, -1], abs=KINDS[kind])
    assert all(-1 <= score <= 1 for score in scores)


def test_a_partition_that_is_not_there_has_no_neighbours(index: VectorIndex) -> None:
    assert found(index, "p", [1, 0]) == []


def test_what_is_in_another_partition_is_never_found(index: VectorIndex) -> None:
    index.add("p", "mine", [0, 1], expires_at=None, now=NOW)
    index.add("q", "theirs", [1, 0], expires_at=None, now=NOW)
    assert found(index, "p", [1, 0]) == ["mine"]
    assert found(index, "q", [1, 0]) == ["theirs"]


def test_a_vector_takes_the_place_of_its_keys_earlier_one_also_in_another_partition(index: VectorIndex) -> None:
    index.add("p", "a", [1, 0], expires_at=NOW + 1, now=NOW)
    index.add("p", "b", [1, 1], expires_at=None, now=NOW)
    index.add("p", "a", [0, 1], expires_at=NOW + 9, now=NOW)
    assert found(index, "p", [1, 0]) == ["b", "a"]
    assert found(index, "p", [1, 0], now=NOW + 1) == ["b", "a"]
    index.add("q", "a", [0, 1], expires_at=None, now=NOW)
    assert found(index, "p", [1, 0]) == ["b"]
    assert found(index, "q", [1, 0], now=NOW + 9) == ["a"]


def test_what_has_expired_is_not_found_and_hides_nothing(index: VectorIndex) -> None:
    for number in range(150):
        index.add("p", f"short-lived {number}", [1000, number], expires_at=NOW + 1, now=NOW)
    index.add("p", "alive", [1, 1], expires_at=NOW + 2, now=NOW)
    assert found(index, "p", [1, 0], most=1) == ["short-lived 0"]
    assert found(index, "p", [1, 0], most=1, now=NOW + 1) == ["alive"]
    assert found(index, "p", [1, 0], most=1, now=NOW + 2) == []


def test_what_is_removed_is_not_found_and_other_keys_are_passed_over(index: VectorIndex) -> None:
    keys = [f"key {number}" for number in range(250)]
    for number, key in enumerate(keys):
        index.add("p" if number % 2 else "q", key, [number, 1], expires_at=None, now=NOW)
    index.remove(["nobody's", *keys[10:]])
    assert sorted(found(index, "p", [1, 0])) == keys[1:10:2]
    assert sorted(found(index, "q", [1, 0])) == keys[0:10:2]
    index.remove(iter(keys))
    assert found(index, "p", [1, 0]) == []
    index.add("p", "longer", [1, 0, 0], expires_at=None, now=NOW)
    assert found(index, "p", [1, 0, 0]) == ["longer"]


@pytest.mark.parametrize("vector", [[], [0, 0], [math.nan, 1], [math.inf, 1], [1e200, 1e200]])
def test_a_vector_without_a_direction_is_refused(index: VectorIndex, vector: list[float]) -> None:
    problem = rf"an embedding of {len(vector)} numbers has no direction"
    with pytest.raises(ValueError, match=problem):
        index.add("p", "a", vector, expires_at=None, now=NOW)
    with pytest.raises(ValueError, match=problem):
        index.search("p", vector, most=1, now=NOW)


def test_a_vector_of_another_length_is_refused_and_changes_nothing(index: VectorIndex) -> None:
    index.add("p", "a", [1, 0], expires_at=None, now=NOW)
    problem = "an embedding of 3 numbers cannot be compared with those of 2 in its partition"
    for key in "ab":
        with pytest.raises(ValueError, match=problem):
            index.add("p", key, [1, 0, 0], expires_at=None, now=NOW)
    with pytest.raises(ValueError, match=problem):
        index.search("p", [1, 0, 0], most=1, now=NOW)
    assert found(index, "p", [1, 0]) == ["a"]
    index.add("q", "a", [1, 0, 0], expires_at=None, now=NOW)


PARTITIONS = st.sampled_from("pqr")
VECTORS = st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any)
STEPS = st.one_of(
    st.tuples(
        st.just("add"), PARTITIONS, st.sampled_from("abcdefgh"), VECTORS, st.one_of(st.none(), st.integers(1, 9))
    ),
    st.tuples(st.just("remove"), st.lists(st.sampled_from("abcdefgh"), max_size=3)),
    st.tuples(st.just("search"), PARTITIONS, VECTORS, st.integers(1, 9)),
    st.tuples(st.just("wait"), st.integers(1, 4)),
)


@settings(deadline=None)
@given(steps=st.lists(STEPS, max_size=25))
def test_whatever_is_done_a_search_finds_the_best_of_its_partition_and_nothing_else(
    new: New, kind: str, steps: list[tuple]
) -> None:
    index, model, now = new(), Model(), NOW
    for step in steps:
        match step:
            case "add", partition, key, vector, seconds:
                end = None if seconds is None else now + seconds
                index.add(partition, key, vector, expires_at=end, now=now)
                model.add(partition, key, vector, end)
            case "remove", keys:
                index.remove(keys)
                model.remove(keys)
            case "wait", seconds:
                now += seconds
            case _, partition, vector, most:
                neighbours = index.search(partition, vector, most=most, now=now)
                right = model.scores(partition, vector, now)
                best = sorted(right.values(), reverse=True)[:most]
                assert [n.score for n in neighbours] == pytest.approx(best, abs=KINDS[kind])
                assert [n.score for n in neighbours] == pytest.approx(
                    [right[n.key] for n in neighbours], abs=KINDS[kind]
                )
                assert len({n.key for n in neighbours}) == len(neighbours)


def test_an_index_says_that_it_is_called_in_a_thread_and_whether_it_is_shared(index: VectorIndex, kind: str) -> None:
    assert index.blocks is True
    assert index.shared is (kind == "redis")


def test_the_front_door_has_what_it_names() -> None:
    assert front_door.__all__ == sorted(front_door.__all__)
    assert all(hasattr(front_door, name) for name in front_door.__all__)
    with pytest.raises(AttributeError, match=r"module 'llmkit.cache.vectors' has no attribute 'nothing'"):
        getattr(front_door, "nothing")  # noqa: B009
