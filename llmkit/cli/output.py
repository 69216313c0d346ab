"""What commands print: tables for people, one JSON document for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import typer
from rich.console import Console
from rich.table import Table

from llmkit.cli.units import printable


def print_json(document: object) -> None:
    """Print the document, and nothing else goes to stdout."""
    typer.echo(json.dumps(document, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[str] = ()) -> None:
    """Print a table, the columns in `numbers` to the right; the first column is never broken."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        right = column in numbers
        table.add_column(
            column, justify="right" if right else "left", no_wrap=right or column == columns[0], overflow="fold"
        )
    for row in rows:
        table.add_row(*map(printable, row))
    _console().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print what there is to say of one thing, a line each."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(name, printable(value))
    _console().print(grid)


def say(text: str) -> None:
    """Print a line that is no part of what was asked for: to stderr."""
    typer.echo(printable(text), err=True)


def _console() -> Console:
    return Console(markup=False, emoji=False, highlight=False)
