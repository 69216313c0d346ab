"""Fields of many deltas laid over each other, whatever they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from openai import BaseModel

from llmkit.streaming.surrogates import joined

_REPEATED = frozenset({"id", "index", "type", "format", "role", "name"})
"""Text under these names is set, not continued."""


class _Text(list[str]):
    """Text in its pieces."""


class _Items(dict[object, Any]):
    """A list, by the entries' own `index` where they have one."""


class _Fields(dict[str, Any]):
    """An object."""


class Merged:
    """Fields that later values replace, objects being merged; with `continues`, text and lists go on where they were.

    Linear in what is added; None never replaces a value.
    """

    def __init__(self, *, continues: bool) -> None:
        self._continues = continues
        self._fields = _Fields()

    def add(self, fields: Iterable[tuple[str, Any]]) -> None:
        """Take in the fields of one delta."""
        for name, value in fields:
            if value is not None:
                self._fields[name] = self._merged(name, self._fields.get(name), value)
            elif name not in self._fields:
                self._fields[name] = None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain data, which is the caller's own."""
        return {name: _plain(value) for name, value in self._fields.items()}

    def _merged(self, name: str, before: Any, value: Any) -> Any:
        if isinstance(value, BaseModel):
            value = value.to_dict()
        if isinstance(value, Mapping):
            return self._merged_object(before, cast("Mapping[str, Any]", value))
        if not self._continues:
            return value
        if isinstance(value, list):
            return self._extended(before, cast("list[object]", value))
        if not isinstance(value, str) or name in _REPEATED:
            return value
        text = before if isinstance(before, _Text) else _Text()
        text.append(value)
        return text

    def _merged_object(self, before: Any, value: Mapping[str, Any]) -> _Fields:
        merged = before if isinstance(before, _Fields) else _Fields()
        for name, item in value.items():
            if item is not None or name not in merged:
                merged[name] = self._merged(name, merged.get(name), item)
        return merged

    def _extended(self, before: Any, entries: list[object]) -> _Items:
        items = before if isinstance(before, _Items) else _Items()
        for entry in entries:
            index: object = cast("dict[str, Any]", entry).get("index") if isinstance(entry, dict) else None
            key = object() if index is None else index
            items[key] = self._merged("index", items.get(key), entry)  # a text in a list is an entry of its own
        return items


def _plain(value: Any) -> Any:
    if isinstance(value, _Text):
        return joined("".join(value))
    if isinstance(value, _Items):
        return [_plain(item) for item in value.values()]
    if isinstance(value, _Fields):
        return {name: _plain(item) for name, item in value.items()}
    return value
