"""Copies of request data that is certain to become the same JSON whether or not the SDK walks it."""

from __future__ import annotations

from typing import Any, Final

import pydantic

_LEAVES: Final = frozenset({str, int, float, bool, type(None)})
_READ_BY_PARSE: Final = "configuration_update"
"""Items of this type decide how the SDK's `responses.parse` parses, if they are dicts."""


class NotPlain(Exception):
    """The SDK may turn this value into something else: leave it to the SDK."""


def plain_list(values: list[Any]) -> list[Any]:
    """A deep copy of a list of dicts, texts or the SDK's objects; `NotPlain` when the SDK has to walk it.

    Exact dicts, lists and tuples of texts, numbers, bools and None are plain, and models in a list. What the SDK leaves
    out (`omit`), reads (files), formats (dates), subclasses of the plain types, and iterators are not.
    """
    return [_item(value) if isinstance(value, pydantic.BaseModel) else _copy(value) for value in values]


def _copy(value: Any) -> Any:
    kind = value.__class__
    if kind is dict:
        return {key: item if item.__class__ is str else _copy(item) for key, item in value.items()}
    if kind is list or kind is tuple:
        return [_nested(item) if isinstance(item, pydantic.BaseModel) else _copy(item) for item in value]
    if kind in _LEAVES:
        return value
    raise NotPlain  # also a model as a value of a dict, which the walk iterates over where it expects a list


def _item(model: pydantic.BaseModel) -> Any:
    if getattr(model, "type", None) == _READ_BY_PARSE:
        raise NotPlain
    return _dumped(model)


def _dumped(model: pydantic.BaseModel) -> Any:
    """A model where the SDK expects a dict, dumped as its walk does."""
    return _copy(model.model_dump(mode="json", exclude_unset=True, exclude=getattr(model, "__api_exclude__", None)))


def _nested(model: pydantic.BaseModel) -> Any:
    """A model inside plain data: the walk dumps it in one way where it knows its place, the encoder in another."""
    walked = _dumped(model)
    if walked != model.model_dump(mode="json", exclude_unset=True, by_alias=True):
        raise NotPlain
    return walked
