"""Where keys come from: the program itself, an environment variable, a file, a function."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

from llmkit.keys.key import InvalidKeys, Key, checked_keys

Keys: TypeAlias = "str | Iterable[str]"
"""What a function gives: a key or several."""


class Source(Protocol):
    """Something that knows the keys of a ring."""

    @property
    def name(self) -> str:
        """How log messages call it."""
        ...

    @property
    def every(self) -> float:
        """Seconds between two looks."""
        ...

    @property
    def blocks(self) -> bool:
        """Whether `read` does I/O."""
        ...

    @property
    def is_async(self) -> bool:
        """Whether what `read` returns must be awaited."""
        ...

    def read(self) -> Sequence[Key] | Awaitable[Sequence[Key]] | None:
        """The keys; None when they are those of the last time. May raise anything."""
        ...


class Given:
    """Keys given once and for all."""

    name = "the KeyRing's own arguments"
    every = float("inf")
    blocks = is_async = False

    def __init__(self, texts: Sequence[str]) -> None:
        given = ((f"key {number} of the ring", text) for number, text in enumerate(texts, 1))
        self._keys = checked_keys(given, source=self.name)
        if len(self._keys) < len(texts):
            twice = next(number for number, text in enumerate(texts, 1) if text in texts[: number - 1])
            raise InvalidKeys(f"key {twice} of the ring was given before; leave one of them out")

    def read(self) -> Sequence[Key]:
        """The keys."""
        return self._keys


class Environment:
    """Keys of an environment variable, with commas, spaces or line ends between them."""

    every = 0.0
    blocks = is_async = False

    def __init__(self, variable: str) -> None:
        self.name = f"the environment variable {variable}"
        self._variable = variable
        self._seen: Key | None = None

    def read(self) -> Sequence[Key] | None:
        """The keys, when the variable has changed."""
        text = os.environ.get(self._variable)
        if not text:
            raise InvalidKeys(f"{self.name} is {'not set' if text is None else 'empty'}")
        if self._seen == Key(text):
            return None
        parts = filter(None, re.split(r"[\s,]+", text))
        given = ((f"key {number} of {self.name}", part) for number, part in enumerate(parts, 1))
        keys = checked_keys(given, source=self.name)
        self._seen = Key(text)
        return keys


class File:
    """Keys of a file, one a line; what follows a # is a comment."""

    blocks = True
    is_async = False

    def __init__(self, path: str | os.PathLike[str], *, every: float) -> None:
        self.name = f"the file {os.fspath(path)}"
        self.every = every
        self._path = Path(path)
        self._seen: tuple[int, ...] | None = None

    def read(self) -> Sequence[Key] | None:
        """The keys, when the file is another one or has changed."""
        with self._path.open("rb") as file:
            facts = os.fstat(file.fileno())  # taken before the text: a change in between is seen the next time
            seen = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns)
            if seen == self._seen:
                return None
            lines = self._text(file.read()).splitlines()
        texts = (line.partition("#")[0].strip() for line in lines)
        given = ((f"line {number} of {self.name}", text) for number, text in enumerate(texts, 1) if text)
        keys = checked_keys(given, source=self.name)
        self._seen = seen
        return keys

    def _text(self, content: bytes) -> str:
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:  # it holds what it could not read
            raise InvalidKeys(f"{self.name} is not UTF-8 text") from None


class Function:
    """Keys of a function, such as a client of a secret manager; it gives one key or several."""

    def __init__(self, function: Callable[[], Keys | Awaitable[Keys]], *, every: float) -> None:
        if not callable(function):
            raise TypeError(f"a KeyRing asks a function for its keys, not a {type(function).__name__}")
        name = getattr(function, "__qualname__", type(function).__qualname__)
        self.name = f"the function {name}"
        self.every = every
        call = vars(type(function)).get("__call__")
        self.is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
        self.blocks = not self.is_async
        self._function = function

    def read(self) -> Sequence[Key] | Awaitable[Sequence[Key]]:
        """The keys, or what to await for them."""
        given = self._function()
        return self._awaited(given) if inspect.isawaitable(given) else self._checked(given)

    async def _awaited(self, given: Awaitable[Any]) -> Sequence[Key]:
        return self._checked(await given)

    def _checked(self, given: Any) -> Sequence[Key]:
        if not isinstance(given, str | Iterable):
            raise InvalidKeys(f"{self.name} returned a {type(given).__name__}, not a key or a list of keys")
        texts = [given] if isinstance(given, str) else cast("Iterable[object]", given)
        keys = ((f"key {number} of {self.name}", text) for number, text in enumerate(texts, 1))
        return checked_keys(keys, source=self.name)
