"""Whatever the SDK takes, as dicts, lists and strings; anything else is a TypeError that names it."""

from __future__ import annotations

import json
import marshal
from collections.abc import Mapping
from typing import Any, TypeGuard


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Say whether `value` is a mapping."""
    return type(value) is dict or isinstance(value, Mapping)  # the first is many times as fast


def is_list(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Say whether `value` is a list or tuple."""
    return isinstance(value, (list, tuple))


def plain_mapping(value: object, where: str, index: int | None = None) -> Mapping[str, Any]:
    """Return a mapping for a mapping or one of the SDK's objects; `where` (and `index`) name it in the TypeError."""
    if is_mapping(value):
        return value
    dump = getattr(value, "model_dump", None)
    if dump is None or isinstance(value, type):
        name = where if index is None else f"{where}[{index}]"
        raise TypeError(f"{name} is a {type(value).__name__}: give a dict or one of the SDK's objects")
    dumped: Mapping[str, Any] = dump(exclude_none=True)
    return dumped


def listed(value: object, where: str, index: int | None = None) -> list[Any] | tuple[Any, ...]:
    """Return a list or tuple as it is, and None as an empty one; `where` (and `index`) name it in the TypeError."""
    if is_list(value):
        return value
    if value is None:
        return ()
    where = where if index is None else f"{where}[{index}]"
    raise TypeError(f"{where} is a {type(value).__name__}: give a list (an iterator would be used up by counting it)")


def packed(value: Any, where: str) -> bytes:
    """Return the content of plain data as bytes, to remember it by; a ValueError says that it is not plain data.

    Version 2 of marshal writes equal data as equal bytes.
    """
    try:
        return marshal.dumps(value, 2)
    except ValueError:
        pass  # a subclass of dict or str, say, which is plain all the same once it has been JSON
    try:
        return marshal.dumps(json.loads(json.dumps(value)), 2)
    except (TypeError, ValueError, RecursionError):
        raise not_json(where) from None


def not_json(where: str) -> ValueError:
    """Return the error for what cannot become JSON."""
    return ValueError(
        f"{where} cannot be written as JSON: use dicts, lists, strings and numbers, nested less, no cycles"
    )


def compact(text: str) -> str:
    """Return JSON text without the white space between its parts; text that is not JSON stays as it is."""
    try:
        return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def embedded(text: str) -> Any:
    """Return what a JSON object or list in `text` holds, and any other text as it is."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if value is None or isinstance(value, (str, int, float)) else value
