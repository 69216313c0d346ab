from __future__ import annotations

from typing import Any

import pytest

from llmkit import caching
from llmkit.cache.per_call import Caching, current_caching


def test_what_is_not_said_is_the_default() -> None:
    assert current_caching() == Caching(read=True, write=True, ttl=None)


def test_inner_ones_add_to_outer_ones() -> None:
    with caching(ttl=60, read=False):
        with caching(write=False):
            assert current_caching() == Caching(read=False, write=False, ttl=60)
        with caching(read=True):
            assert current_caching() == Caching(read=True, write=True, ttl=60)
        assert current_caching() == Caching(read=False, write=True, ttl=60)
    assert current_caching() == Caching()


def test_it_is_also_a_decorator() -> None:
    @caching(ttl=5)
    def look() -> Caching:
        return current_caching()

    assert look().ttl == 5
    assert current_caching().ttl is None


async def test_it_decorates_coroutine_functions() -> None:
    @caching(read=False)
    async def look() -> Caching:
        return current_caching()

    assert not (await look()).read


@pytest.mark.parametrize(
    ("options", "message"),
    [({"ttl": 0}, "ttl=0 must be above 0 seconds"), ({"ttl": "1"}, "ttl='1' is of type str"), ({"ttl": -1}, "ttl=-1")],
)
def test_a_ttl_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        caching(**options)
