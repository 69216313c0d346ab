"""Taking what a generator yields, up to what a result may have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from pydantic_core import to_json

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
            taken.append(item)
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
            taken.append(item)
            size += _length(item)
            if size > most:
                taken.stopped = True
                break
    finally:
        if close := getattr(items, "aclose", None):
            await close()
    return taken


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
