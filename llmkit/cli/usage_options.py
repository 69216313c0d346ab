"""The options of `llmkit usage`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llmkit.cli.options import not_empty

_CALLS = "Which calls"
_OUTPUT = "What to make of them"

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
        callback=not_empty,
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
        help="One table alone: by day, hour, model, operation, key, error, or a tag such as user.",
        rich_help_panel=_OUTPUT,
    ),
]
Top = Annotated[
    int,
    typer.Option(min=1, max=100_000, metavar="N", help="At most so many lines in a table.", rich_help_panel=_OUTPUT),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=_OUTPUT)]
Html = Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page to look at.", rich_help_panel=_OUTPUT)]
Export = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write the calls: a .csv, .jsonl or .parquet file.", rich_help_panel=_OUTPUT),
]
Serve = Annotated[
    bool,
    typer.Option("--serve", help="Show the page on localhost, always up to date.", rich_help_panel=_OUTPUT),
]
Port = Annotated[
    int,
    typer.Option(min=0, max=65_535, metavar="N", help="Of --serve; 0 takes a free one.", rich_help_panel=_OUTPUT),
]
