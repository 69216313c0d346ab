"""Options that several commands have, and what is made of them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from llmkit.cli.units import parse_duration

if TYPE_CHECKING:
    from llmkit.cache.store import CacheStore

Store = Annotated[
    str,
    typer.Option(
        "--store",
        envvar="LLMKIT_CACHE",
        metavar="URL",
        help="Where the answers are: cache.db, sqlite:/folder/file or redis://host:6379/0.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def duration(text: str) -> float:
    """The parser of options such as "2h"."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def not_empty(text: str | None) -> str | None:
    """The callback of options whose text, were it that of a variable that is not set, would mean everything."""
    if text == "":
        raise typer.BadParameter("it is empty")
    return text


Model = Annotated[
    str | None,
    typer.Option(callback=not_empty, metavar="NAME", help="Only answers that this model was asked for."),
]
Tag = Annotated[
    list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="Only answers with this tag; may be repeated.")
]
Prefix = Annotated[str | None, typer.Option(callback=not_empty, metavar="TEXT", help="Only keys that begin so.")]
OlderThan = Annotated[
    float | None, typer.Option(parser=duration, metavar="TIME", help="Only older answers: 90s, 15m, 2h or 7d.")
]


@contextmanager
def opened(url: str, *, create: bool = False) -> Generator[CacheStore, None, None]:
    """The store of `--store`, closed in the end."""
    from llmkit.cache.opening import open_store  # the SDK comes with it, for which `--help` shall not wait

    try:
        store = open_store(url, create=create)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--store") from None
    try:
        yield store
    finally:
        close = getattr(store, "close", None)
        if close is not None:
            close()


def tags_of(given: list[str] | None) -> dict[str, str]:
    """The names and values of `--tag user=alice`."""
    tags: dict[str, str] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{text!r} has no name and value; write user=alice", param_hint="--tag")
        tags[name] = value
    return tags
