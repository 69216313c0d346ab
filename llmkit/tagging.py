"""Per-call facts that are not the API's: who is calling, for which feature."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from types import MappingProxyType

from llmkit.errors import InvalidTag
from llmkit.scopes import Scope

Tag = str | int | float | bool

_NONE: Mapping[str, Tag] = MappingProxyType({})
_entered: ContextVar[tuple[Mapping[str, Tag], ...]] = ContextVar("llmkit_tags", default=())


def current_tags() -> Mapping[str, Tag]:
    """The tags a call made here and now would carry (read-only)."""
    entered = _entered.get()
    return entered[-1] if entered else _NONE


class tags(Scope[Mapping[str, Tag]]):
    """Label every call made inside: `with tags(user="alice", feature="search"): ...`.

    Also a decorator for functions and coroutine functions. Inner tags add to outer ones and win over
    them; a tag that is None is left out. A stream keeps the tags under which it was asked for.
    """

    _entered = _entered

    def __init__(self, **values: Tag | None) -> None:
        for name, value in values.items():
            if not isinstance(value, str | int | float | None):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidTag(f"tag {name} is a {type(value).__qualname__}; use text, a number, a bool or None")
        self._values = {name: value for name, value in values.items() if value is not None}

    def _value(self) -> Mapping[str, Tag]:
        return MappingProxyType({**current_tags(), **self._values})


def checked_per(per: str | Iterable[str] | None) -> tuple[str, ...]:
    """The names of tags that keep users apart, in one order; ValueError for what cannot be names of tags."""
    per = () if per is None else per
    names = (per,) if isinstance(per, str) or not isinstance(per, Iterable) else tuple(per)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(f"per={per!r} must be the name of a tag or a tuple of them, each once")
    return tuple(sorted(names))


def chosen(per: Iterable[str], tags: Mapping[str, Tag]) -> dict[str, Tag]:
    """Those of a call's tags that keep users apart; one that the call does not have is left out."""
    return {tag: tags[tag] for tag in per if tag in tags}
