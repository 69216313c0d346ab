from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import llmkit
from llmkit.tagging import checked_per, chosen, current_tags


def test_inner_tags_add_to_outer_ones_and_win() -> None:
    with llmkit.tags(user="alice", feature="search"):
        with llmkit.tags(user="bob"):
            assert dict(current_tags()) == {"user": "bob", "feature": "search"}
        assert current_tags()["user"] == "alice"
    assert dict(current_tags()) == {}


def test_one_instance_can_be_entered_twice() -> None:
    label = llmkit.tags(user="alice")
    with label, label:
        assert current_tags()["user"] == "alice"
    assert dict(current_tags()) == {}


async def test_one_instance_serves_many_tasks_at_once() -> None:
    label = llmkit.tags(user="alice")

    async def enter(rounds: int) -> dict[str, Any]:
        with label:
            for _ in range(rounds):
                await asyncio.sleep(0)
            return dict(current_tags())

    assert await asyncio.gather(enter(1), enter(3), enter(2)) == [{"user": "alice"}] * 3


def test_a_tag_that_is_none_is_left_out() -> None:
    with llmkit.tags(user=None, feature="search"):
        assert dict(current_tags()) == {"feature": "search"}


async def test_tags_decorate_an_object_with_an_async_call() -> None:
    class Job:
        async def __call__(self) -> dict[str, Any]:
            return dict(current_tags())

    assert await llmkit.tags(feature="search")(Job())() == {"feature": "search"}


def test_tags_decorate_a_function() -> None:
    @llmkit.tags(feature="search")
    def run(extra: int) -> tuple[dict[str, Any], int]:
        return dict(current_tags()), extra

    assert run(2) == ({"feature": "search"}, 2)
    assert run.__name__ == "run"


async def test_tags_decorate_a_coroutine_function_and_concurrent_calls_stay_apart() -> None:
    @llmkit.tags(feature="search")
    async def run(user: str) -> dict[str, Any]:
        with llmkit.tags(user=user):
            await asyncio.sleep(0)
            return dict(current_tags())

    assert await asyncio.gather(run("a"), run("b")) == [
        {"feature": "search", "user": "a"},
        {"feature": "search", "user": "b"},
    ]


def test_generators_are_refused_because_their_tags_would_leak() -> None:
    def generate() -> Iterator[int]:
        yield 1

    async def generate_async() -> AsyncIterator[int]:
        yield 1

    for function in (generate, generate_async):
        with pytest.raises(TypeError, match=function.__name__):
            llmkit.tags(user="a")(function)


def test_a_tag_that_is_no_scalar_is_refused_by_name() -> None:
    with pytest.raises(llmkit.InvalidTag, match="tag user is a list"):
        llmkit.tags(user=["a"])  # type: ignore[arg-type]


def test_current_tags_cannot_be_changed() -> None:
    with llmkit.tags(user="a"), pytest.raises(TypeError):
        current_tags()["user"] = "b"  # type: ignore[index]


@pytest.mark.parametrize(
    ("per", "expected"),
    [(None, ()), ("user", ("user",)), (("user", "feature"), ("feature", "user")), (["feature"], ("feature",))],
)
def test_the_order_of_the_tags_does_not_matter(per: Any, expected: tuple[str, ...]) -> None:
    assert checked_per(per) == expected


@pytest.mark.parametrize("per", [("user", "user"), ("user", 1), "", ("",), 5, [["user"]]])
def test_what_cannot_be_tags_is_refused(per: Any) -> None:
    with pytest.raises(ValueError, match=r"per=.* must be the name of a tag"):
        checked_per(per)


def test_only_the_tags_that_are_named_are_chosen() -> None:
    assert chosen(("feature", "user"), {"user": "alice", "team": "x"}) == {"user": "alice"}
