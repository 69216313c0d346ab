"""Settings that hold for the calls made inside a `with` block or a decorated function."""

from __future__ import annotations

import functools
import inspect
from abc import abstractmethod
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Generic, ParamSpec, Self, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Scope(Generic[T]):
    """A context manager and decorator; inner ones add to outer ones. One instance may be entered by many at once."""

    _entered: ContextVar[tuple[T, ...]]
    """What is in force, the innermost last."""

    @abstractmethod
    def _value(self) -> T:
        """What is in force inside, where the scope is entered now."""

    def __enter__(self) -> Self:
        # No token is kept: one instance may be entered by many tasks and threads at once.
        self._entered.set((*self._entered.get(), self._value()))
        return self

    def __exit__(self, *exception: object) -> None:
        self._entered.set(self._entered.get()[:-1])

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Run `function` inside."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            name = type(self).__name__
            raise TypeError(
                f"{name}() cannot decorate the generator {function.__qualname__!r}, whose body runs in its consumer's "
                f"context; put `with {name}(...)` around the API call inside it"
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
