"""`llmkit cache`: what is in a cache, how it does, and what of it is to go."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from llmkit.cli import units
from llmkit.cli.entries import COLUMNS, NUMBERS, answer_of, as_json, facts, matching, meant_by, row, short_names
from llmkit.cli.options import Json, Model, OlderThan, Prefix, Store, Tag, not_empty, opened, tags_of
from llmkit.cli.output import print_facts, print_json, print_table, say
from llmkit.cli.summary import COLUMNS_OF_MODELS, Summary
from llmkit.cli.warm import warm
from llmkit.unseen import printable

if TYPE_CHECKING:
    from llmkit.cache.store import CacheStore

cache = typer.Typer(
    name="cache", no_args_is_help=True, help="Look into a cache of answers, drop some of them, fill it beforehand."
)
_MOST_CANDIDATES = 10

Key = Annotated[
    str,
    typer.Argument(
        callback=not_empty, metavar="KEY", help="The key, or a beginning of it or of its digest that no other has."
    ),
]


@cache.command()
def stats(store: Store, as_document: Json = False) -> None:
    """What the cache holds, how often it has answered, and what that saved."""
    with opened(store) as answers:
        summary = Summary.of(answers.counts(), list(answers.entries(now=time.time())))
    if as_document:
        print_json(summary.document())
        return
    print_facts(summary.facts(now=time.time()))
    if summary.models:
        typer.echo()
        print_table(COLUMNS_OF_MODELS, summary.rows(), numbers=COLUMNS_OF_MODELS[1:])


@cache.command("list")
def list_entries(
    store: Store,
    model: Model = None,
    tag: Tag = None,
    prefix: Prefix = None,
    older_than: OlderThan = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many, the newest.")] = 50,
    as_document: Json = False,
) -> None:
    """The answers in the cache, newest first, without their text."""
    from llmkit.cache.entry import Selection

    selection, now = Selection(model=model, prefix=prefix, older_than=older_than), time.time()
    with opened(store) as answers:
        kept = list(answers.entries(now=now))
    found = list(matching(kept, selection, tags=tags_of(tag), now=now))
    shown = found[: -limit - 1 : -1]
    if as_document:
        print_json({"total": len(found), "entries": [as_json(entry) for entry in shown]})
        return
    if not found:
        typer.echo("no entries")
        return
    names = short_names((entry.key for entry in shown), among=(entry.key for entry in kept))
    print_table(COLUMNS, (row(entry, names[entry.key], now=now) for entry in shown), numbers=NUMBERS)
    if len(shown) < len(found):
        say(f"{len(shown):,} of {units.entries(len(found))}; --limit {len(found)} shows all")


@cache.command()
def show(
    key: Key,
    store: Store,
    answer: Annotated[bool, typer.Option("--answer", help="Print the answer's text, too.")] = False,
    as_document: Json = False,
) -> None:
    """All that is known of one answer."""
    with opened(store) as answers:
        found = answers.get(_only(key, answers), now=time.time())
    if found is None:
        _fail("it is there no longer, or cannot be read")
    text = {"answer": answer_of(found)} if answer else {}
    if as_document:
        print_json({**as_json(found), "streamed": found.events is not None, **text})
        return
    print_facts(facts(found, now=time.time()))
    if answer:
        typer.echo("\n" + printable(text["answer"]))


@cache.command()
def invalidate(
    store: Store,
    key: Annotated[
        str | None,
        typer.Argument(callback=not_empty, metavar="KEY", help="A key, or a beginning of it that no other has."),
    ] = None,
    model: Model = None,
    tag: Tag = None,
    prefix: Prefix = None,
    older_than: OlderThan = None,
    everything: Annotated[bool, typer.Option("--all", help="All answers.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_document: Json = False,
) -> None:
    """Drop the answers for which all that is given holds."""
    from llmkit.cache.entry import Selection

    tags = tags_of(tag)
    if (any(given is not None for given in (key, model, prefix, older_than)) or bool(tags)) is everything:
        raise typer.BadParameter("say which answers: KEY, --model, --tag, --prefix or --older-than, or only --all")
    now = time.time()
    with opened(store) as answers:
        whole = None if key is None else _only(key, answers)
        selection = Selection(key=whole, model=model, prefix=prefix, older_than=older_than)
        found = [entry.key for entry in matching(answers.entries(now=now), selection, tags=tags, now=now)]
        dropped = answers.delete(found) if found and (yes or _agreed(len(found))) else 0
    if as_document:
        print_json({"matched": len(found), "dropped": dropped})
    else:
        typer.echo(f"dropped {units.entries(dropped)}")


def _agreed(count: int) -> bool:
    """Ask on a terminal; who has none must have said --yes."""
    if not _can_ask():
        raise typer.BadParameter(f"it would drop {units.entries(count)}; say --yes where nobody can be asked")
    return typer.confirm(f"Drop {units.entries(count)}?", err=True)


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _only(text: str, answers: CacheStore) -> str:
    """The one key that is meant; the candidates, and the end, when there are several."""
    keys = meant_by(text, (entry.key for entry in answers.entries(now=time.time())))
    if not keys:
        _fail(f"no key begins with {text!r}")
    if len(keys) == 1:
        return keys[0]
    more = [f"... and {len(keys) - _MOST_CANDIDATES:,} more"] if len(keys) > _MOST_CANDIDATES else []
    candidates = (f"  {line}" for line in [*keys[:_MOST_CANDIDATES], *more])
    return _fail(f"{len(keys):,} keys begin with {text!r}:", *candidates)


def _fail(*lines: str) -> NoReturn:
    say(f"Error: {lines[0]}", *lines[1:])
    raise typer.Exit(1)


cache.command()(warm)
