"""Per-call facts that are not the API's: who is calling, for which feature."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar, cast

from llmkit.errors import InvalidTag

P = ParamSpec("P")
R = TypeVar("R")
Tag = str | int | float | bool

_NONE: Mapping[str, Tag] = MappingProxyType({})
_entered: ContextVar[tuple[Mapping[str, Tag], ...]] = ContextVar("llmkit_tags", default=())


def current_tags() -> Mapping[str, Tag]:
    """The tags a call made here and now would carry (read-only)."""
    entered = _entered.get()
    return entered[-1] if entered else _NONE


class tags:
    """Label every call made inside: `with tags(user="alice", feature="search"): ...`.

    Also a decorator for functions and coroutine functions. Inner tags add to outer ones and win over
    them; a tag that is None is left out. A stream keeps the tags under which it was asked for.
    """

    def __init__(self, **values: Tag | None) -> None:
        for name, value in values.items():
            if not isinstance(value, str | int | float | None):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidTag(f"tag {name} is a {type(value).__qualname__}; use text, a number, a bool or None")
        self._values = {name: value for name, value in values.items() if value is not None}

    def __enter__(self) -> tags:
        # No token is kept: one instance may be entered by many tasks and threads at once.
        _entered.set((*_entered.get(), MappingProxyType({**current_tags(), **self._values})))
        return self

    def __exit__(self, *exception: object) -> None:
        _entered.set(_entered.get()[:-1])

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Run `function` under these tags."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise InvalidTag(
                f"tags() cannot decorate the generator {function.__qualname__!r}, whose body runs in its consumer's "
                "context; put `with tags(...)` around the API call inside it"
            )
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):

            @functools.wraps(function)
            async def run(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self:
                    return await cast("Any", function)(*args, **kwargs)

            return cast("Callable[P, R]", run)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return call
