"""What commands print: tables for people, one JSON document for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from io import TextIOWrapper
from typing import Final, cast

import typer
from rich.console import Console
from rich.table import Table

from llmkit.unseen import in_line

_MOST_FITTED: Final = 1_000
"""Rows whose columns are made to fit the terminal; more take a millisecond each."""


def print_json(document: object) -> None:
    """Print the document, and nothing else goes to stdout."""
    typer.echo(json.dumps(document, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[str] = ()) -> None:
    """Print a table, the columns in `numbers` to the right; the first column is never broken, in long ones none."""
    lines = [tuple(map(in_line, row)) for row in rows]
    if len(lines) > _MOST_FITTED:
        _print_as_wide_as_it_is([columns, *lines], [column in numbers for column in columns])
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        right = column in numbers
        table.add_column(
            column, justify="right" if right else "left", no_wrap=right or column == columns[0], overflow="fold"
        )
    for line in lines:
        table.add_row(*line)
    terminal().print(table)


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print what there is to say of one thing, a line each."""
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        grid.add_row(name, in_line(value))
    terminal().print(grid)


def say(*lines: str) -> None:
    """Print what is no part of what was asked for, a line each: to stderr."""
    for line in lines:
        typer.echo(in_line(line), err=True)


def _print_as_wide_as_it_is(lines: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]

    def shown(line: Sequence[str]) -> str:
        cells = zip(line, widths, right, strict=True)
        return "  ".join(cell.rjust(width) if to else cell.ljust(width) for cell, width, to in cells).rstrip()

    typer.echo("\n".join(map(shown, lines)))


def terminal() -> Console:
    """Where tables are printed; what it has no character for is shown as a question mark."""
    cast("TextIOWrapper", sys.stdout).reconfigure(errors="replace")
    return Console(markup=False, emoji=False, highlight=False)
