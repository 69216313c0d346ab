"""Tables with as many of their columns as the terminal has room for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from rich.cells import cell_len, set_cell_size

from llmkit.cli.output import print_table, terminal
from llmkit.unseen import in_line

T = TypeVar("T")
_GAP = 2
_NAME = 22
"""Characters of the first column for which others make room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Generic[T]):
    """One column of a table of `T`s."""

    title: str
    show: Callable[[T], str]
    text: bool = False
    """It is no number, and goes to the left."""
    rank: int = 0
    """Columns of the highest rank make room first; those of rank 0 stay."""


def print_fitted(columns: Sequence[Column[T]], things: Sequence[T]) -> None:
    """Print a table; its first column is the name, which is cut when it is long."""
    room = terminal().width - _GAP
    cells = {column: [in_line(column.show(thing)) for thing in things] for column in columns}
    widths = {column: max(map(cell_len, (column.title, *shown))) for column, shown in cells.items()}
    name, *others = columns
    for rank in range(max(column.rank for column in columns), 0, -1):
        if min(widths[name], _NAME) + _wide(widths[column] for column in others) <= room:
            break
        others = [column for column in others if column.rank < rank]
    most = max(_NAME, room - _wide(widths[column] for column in others))
    rows = zip([cut(text, most) for text in cells[name]], *(cells[column] for column in others), strict=True)
    numbers = [column.title for column in others if not column.text]
    print_table([column.title for column in (name, *others)], rows, numbers=numbers)


def cut(text: str, most: int) -> str:
    """`text` in so many columns of a terminal, of which some characters take two."""
    return text if cell_len(text) <= most else f"{set_cell_size(text, most - 1).rstrip()}…"


def _wide(widths: Iterable[int]) -> int:
    return sum(_GAP + width for width in widths)
