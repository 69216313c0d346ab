"""What a call may do with a cache, said around it."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from llmkit.figures import check_figures
from llmkit.scopes import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Caching:
    """What holds for a call."""

    read: bool = True
    write: bool = True
    ttl: float | None = None
    """Seconds; None: as the cache says."""
    count: bool = True
    """Whether the call is in the counters."""


_entered: ContextVar[tuple[Caching, ...]] = ContextVar("llmkit_caching", default=())
_DEFAULT = Caching()


def current_caching() -> Caching:
    """What holds for a call made here and now."""
    entered = _entered.get()
    return entered[-1] if entered else _DEFAULT


class caching(Scope[Caching]):
    """Say what the calls made inside may do with a cache: `with caching(ttl=60): ...`; also a decorator.

    `read=False` asks the API anew and keeps its answer in place of the old one; `read=False, write=False` leaves the
    cache alone. `ttl` is in seconds. `count=False` leaves the calls out of the counters. What an inner one does not say
    stays as the outer one says.
    """

    _entered = _entered

    def __init__(
        self,
        *,
        read: bool | None = None,
        write: bool | None = None,
        ttl: float | None = None,
        count: bool | None = None,
    ) -> None:
        check_figures(ttl=ttl)
        if ttl is not None and not ttl > 0:
            raise ValueError(f"ttl={ttl!r} must be above 0 seconds; caching(write=False) keeps nothing")
        given: dict[str, Any] = {"read": read, "write": write, "ttl": ttl, "count": count}
        self._given = {name: value for name, value in given.items() if value is not None}

    def _value(self) -> Caching:
        return replace(current_caching(), **self._given)
