"""Taking what an iterator yields, up to what a result may have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from operator import is_not
from typing import Any, Final

from pydantic_core import to_json

STOPPED: Final = "... stopped here: there is more than a result may have"
_LEAVES: Final = frozenset({str, int, float, bool, type(None)})
_INSIDE: Final = 200_000
"""Characters that are taken from an iterator inside a result."""
_UNKNOWN: Final = 16
"""Characters that an item counts for whose length nobody can tell before it is sent."""
_IMAGE: Final = 4_000
"""Characters that bytes count for at most: they may be an image, which costs its tokens whatever its bytes."""


class Taken(list[Any]):
    """The items that were taken; `stopped` says that there may be more."""

    stopped = False


def take(items: Iterator[Any], *, most: int) -> Taken:
    """Items for at least `most` characters, or all there are."""
    taken, size = Taken(), 0
    try:
        for item in items:
            taken.append(item := ended(item))
            size += _length(item)
            if size > most:
                taken.stopped = True
                break
    finally:
        if close := getattr(items, "close", None):
            close()
    return taken


async def take_async(items: AsyncIterator[Any], *, most: int) -> Taken:
    """Items for at least `most` characters, or all there are."""
    taken, size = Taken(), 0
    try:
        async for item in items:
            taken.append(item := ended(item))
            size += _length(item)
            if size > most:
                taken.stopped = True
                break
    finally:
        if close := getattr(items, "aclose", None):
            await close()
    return taken


def ended(value: Any) -> Any:
    """The value with its iterators as lists, for pydantic would take all of an endless one."""
    is_dict = issubclass(type(value), dict)
    if not is_dict and not issubclass(type(value), (list, tuple)):
        if not issubclass(type(value), Iterator):
            return value
        taken = take(value, most=_INSIDE)
        return [*taken, STOPPED] if taken.stopped else taken
    inner: Any = value.values() if is_dict else value
    if _LEAVES.issuperset(map(type, inner)):
        return value
    items = [each if type(each) in _LEAVES else ended(each) for each in inner]
    if not any(map(is_not, items, inner)):
        return value
    return dict(zip(value, items, strict=True)) if is_dict else items


def _length(item: Any) -> int:
    """About the characters an item takes; never 0, so that endless ones end."""
    if isinstance(item, str):
        return len(item) + 3
    if issubclass(type(item), (bytes, bytearray, memoryview)):
        return min(len(item), _IMAGE) + 3
    try:
        return len(to_json(item)) + 1
    except Exception:  # noqa: BLE001 - whatever is wrong with it is told when it is sent
        return _UNKNOWN
