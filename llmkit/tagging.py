"""Per-call facts that are not the API's: who is calling, for which feature."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar, cast

from llmkit.errors import InvalidTag

P = ParamSpec("P")
R = TypeVar("R")
Tag = str | int | float | bool

_NONE: Mapping[str, Tag] = MappingProxyType({})
_current: ContextVar[Mapping[str, Tag]] = ContextVar("llmkit_tags", default=_NONE)


def current_tags() -> Mapping[str, Tag]:
    """The tags a call made here and now would carry (read-only)."""
    return _current.get()


class tags:
    """Label every call made inside: `with tags(user="alice", feature="search"): ...`.

    Also a decorator for functions and coroutine functions. Inner tags add to outer ones and win over
    them. A stream keeps the tags under which it was asked for.
    """

    def __init__(self, **values: Tag) -> None:
        for name, value in values.items():
            if not isinstance(value, str | int | float):  # pyright: ignore[reportUnnecessaryIsInstance]
                kind = type(value).__name__
                raise InvalidTag(f"tag {name}={value!r} is {kind}; use text, a number or a bool")
        self._values = values
        self._tokens: list[Token[Mapping[str, Tag]]] = []

    def __enter__(self) -> tags:
        merged = MappingProxyType({**_current.get(), **self._values})
        self._tokens.append(_current.set(merged))
        return self

    def __exit__(self, *exception: object) -> None:
        _current.reset(self._tokens.pop())

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Run `function` under these tags."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise InvalidTag(
                f"tags() cannot decorate the generator {function.__qualname__!r}, whose body runs in its "
                "consumer's context; put `with tags(...)` around the API call inside it"
            )
        values = self._values
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def run(*args: P.args, **kwargs: P.kwargs) -> Any:
                with tags(**values):
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", run)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with tags(**values):
                return function(*args, **kwargs)

        return call
