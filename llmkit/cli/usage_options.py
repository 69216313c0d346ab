"""The options of `llmkit usage`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, get_args

import typer

from llmkit.cli.options import not_empty

_CALLS = "Which calls"
_OUTPUT = "What to make of them"


def ledger_of(name: str | None, table: str | None) -> str:
    """The ledger that was named, if it can be one."""
    from llmkit.usage.report.opening import is_postgres

    if name is None:
        raise typer.BadParameter("name one, such as usage.db, or set LLMKIT_LEDGER", param_hint="LEDGER")
    if is_postgres(name):
        _check_postgres(name, table)
    elif "://" in name:  # with a password, perhaps
        raise typer.BadParameter(
            "a ledger is a file or a postgresql:// URL; this is another kind of URL", param_hint="LEDGER"
        )
    elif table is not None:
        raise typer.BadParameter("only a postgresql:// ledger has one to choose", param_hint="--table")
    elif os.path.exists(name) and not os.path.isfile(name):
        raise typer.BadParameter(f"{name} is no file", param_hint="LEDGER")
    return name


def _check_postgres(url: str, table: str | None) -> None:
    from llmkit.usage.postgres_server import PostgresServer
    from llmkit.usage.postgres_table import Table

    try:
        Table(table or "calls")
        PostgresServer(url, timeout=1)  # which connects only when it is asked something
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _outcome(name: str | None) -> str | None:
    from llmkit.record import Outcome

    if name is not None and name not in get_args(Outcome):
        raise typer.BadParameter(f"{name!r} is none; there are {', '.join(get_args(Outcome))}")
    return name


def _not_stdout(path: Path | None) -> Path | None:
    if path == Path("-"):
        raise typer.BadParameter("a page goes to a file, such as report.html")
    return path


Argument = Annotated[
    str | None, typer.Argument(callback=not_empty, metavar="LEDGER", help="The same as --ledger.", show_default=False)
]
Ledger = Annotated[
    str | None,
    typer.Option(
        callback=not_empty,
        envvar="LLMKIT_LEDGER",
        metavar="LEDGER",
        help="The file of a LedgerSink, or the postgresql:// URL of a PostgresSink.",
    ),
]
Table = Annotated[
    str | None,
    typer.Option("--table", callback=not_empty, metavar="NAME", help="Of a PostgresSink that has another than calls."),
]
Since = Annotated[
    str,
    typer.Option(
        metavar="TIME",
        help="From then on: 7d (today and six days before), 24h, 2026-11-01, 2026-11-01T13:30 or all.",
        rich_help_panel=_CALLS,
    ),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Until then; a date is meant with all of its day.", rich_help_panel=_CALLS),
]
Model = Annotated[
    str | None,
    typer.Option(callback=not_empty, metavar="NAME", help="To this model.", rich_help_panel=_CALLS),
]
Operation = Annotated[
    str | None,
    typer.Option(
        callback=not_empty, metavar="NAME", help="Such as chat.completions or embeddings.", rich_help_panel=_CALLS
    ),
]
Outcome = Annotated[
    str | None,
    typer.Option(
        callback=_outcome,
        metavar="NAME",
        help="That ended so: ok, cached, cut, cancelled, refused or failed.",
        rich_help_panel=_CALLS,
    ),
]
Tag = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="NAME=VALUE", help="With this tag; may be repeated.", rich_help_panel=_CALLS),
]
By = Annotated[
    str | None,
    typer.Option(
        callback=not_empty,
        metavar="WHAT",
        help="Print one table alone: by day, hour, model, operation, key, error, or a tag such as user.",
        rich_help_panel=_OUTPUT,
    ),
]
Top = Annotated[
    int,
    typer.Option(
        min=1,
        max=100_000,
        metavar="N",
        help="Lines of a table; how many of the dearest calls.",
        rich_help_panel=_OUTPUT,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=_OUTPUT)]
Html = Annotated[
    Path | None,
    typer.Option(callback=_not_stdout, metavar="FILE", help="Write a page to look at.", rich_help_panel=_OUTPUT),
]
Export = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the calls: a .csv, .jsonl or .parquet file.", rich_help_panel=_OUTPUT),
]
Serve = Annotated[
    bool,
    typer.Option("--serve", help="Show the page on localhost, always up to date.", rich_help_panel=_OUTPUT),
]
Port = Annotated[
    int | None,
    typer.Option(
        min=0, max=65_535, metavar="N", help="Of --serve, or else 8765; 0 takes a free one.", rich_help_panel=_OUTPUT
    ),
]
