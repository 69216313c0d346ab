"""An API key that never shows itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

_LABEL = 4
"""The most characters of a key that are ever shown."""


class InvalidKeys(ValueError):
    """What was given as API keys cannot be; the text says where, and quotes nothing."""


class Key:
    """An API key; `label` is all of it that may be shown, `reveal()` is for the header of a request alone."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def label(self) -> str:
        """The last four characters at most, and never more than a quarter of the key: "...wxyz"."""
        shown = min(_LABEL, len(self._text) // 4)
        return "..." + self._text[len(self._text) - shown :]

    def reveal(self) -> str:
        """The key itself."""
        return self._text

    def is_in(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers was sent with this key."""
        return headers.get("authorization") == f"Bearer {self._text}" or headers.get("api-key") == self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"Key({self.label})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Key:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("an API key is not pickled: it would be readable there")


def checked_keys(given: Iterable[tuple[str, object]], *, source: str) -> tuple[Key, ...]:
    """The keys of (where, text) pairs, each once; `InvalidKeys` says where something is that cannot be a key."""
    keys = tuple(dict.fromkeys(_checked(where, text) for where, text in given))
    if not keys:
        raise InvalidKeys(f"no API key comes from {source}")
    return keys


def _checked(where: str, text: object) -> Key:
    if not isinstance(text, str):
        raise InvalidKeys(f"{where} is of type {type(text).__name__}; an API key is text")
    if not text.strip():
        raise InvalidKeys(f"{where} is blank")
    if not (text.isascii() and text.isprintable()) or not {" ", ","}.isdisjoint(text):
        raise InvalidKeys(f"{where} has blanks, commas, line ends or other characters that no API key has")
    return Key(text)
