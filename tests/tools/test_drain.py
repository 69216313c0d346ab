from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest

from llmkit.tools.drain import STOPPED, ended, take, take_async

closed: list[str] = []


def numbers(last: int | None = None) -> Iterator[int]:
    try:
        yield from itertools.count() if last is None else range(last)
    finally:
        closed.append("sync")


async def anumbers(last: int | None = None) -> AsyncIterator[int]:
    try:
        for number in itertools.count() if last is None else range(last):
            yield number
    finally:
        closed.append("async")


class Plain:
    """An async iterator without aclose."""

    def __init__(self) -> None:
        self.left = 2

    def __aiter__(self) -> Plain:
        return self

    async def __anext__(self) -> int:
        self.left -= 1
        if self.left < 0:
            raise StopAsyncIteration
        return self.left


@pytest.fixture(autouse=True)
def forget() -> None:
    closed.clear()


async def test_a_generator_that_ends_is_taken_whole() -> None:
    for taken in (take(numbers(3), most=100), await take_async(anumbers(3), most=100)):
        assert taken == [0, 1, 2]
        assert not taken.stopped
    assert closed == ["sync", "async"]


async def test_an_endless_generator_is_stopped_and_closed() -> None:
    held, aheld = numbers(), anumbers()  # what nobody holds is closed by Python
    for taken in (take(held, most=10), await take_async(aheld, most=10)):
        assert taken == [0, 1, 2, 3, 4, 5]
        assert taken.stopped
    assert closed == ["sync", "async"]


async def test_iterators_that_cannot_be_closed_are_taken_too() -> None:
    assert take(iter([1, 2]), most=100) == [1, 2]
    assert await take_async(Plain(), most=100) == [1, 0]


@pytest.mark.parametrize("item", ["", b"", None, [], object(), 0])
def test_no_item_is_so_small_that_an_endless_generator_goes_on(item: object) -> None:
    assert len(take(itertools.repeat(item), most=1_000)) <= 1_001


def test_bytes_count_no_more_than_an_image_does() -> None:
    assert len(take(itertools.repeat(bytes(100_000)), most=10_000)) == 3


def test_a_generator_that_raises_is_closed() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError

    with pytest.raises(ValueError):
        take(broken(), most=10)


class Pair(NamedTuple):
    left: int
    right: object


def test_iterators_inside_a_value_become_lists_and_endless_ones_end() -> None:
    assert ended({"a": map(str, [1, 2]), "b": [iter([iter([3])])]}) == {"a": ["1", "2"], "b": [[[3]]]}
    assert ended(Pair(1, iter("ab"))) == [1, ["a", "b"]]
    counted = ended(itertools.count())
    assert counted[:3] == [0, 1, 2]
    assert counted[-1] == STOPPED


async def test_iterators_inside_what_a_generator_yields_are_not_used_up_by_measuring_them() -> None:
    async def rows() -> AsyncIterator[Any]:
        yield {"row": iter([1, 2])}

    assert take(iter([{"row": iter([1, 2])}]), most=100) == [{"row": [1, 2]}]
    assert await take_async(rows(), most=100) == [{"row": [1, 2]}]


@pytest.mark.parametrize("value", [{"a": [1, (2, 3)], "b": {"c": None}}, Pair(1, "a"), [], object(), 5])
def test_a_value_without_iterators_stays_the_same_object(value: object) -> None:
    assert ended(value) is value
