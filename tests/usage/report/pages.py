"""Reports to make pages of, and pages read as a browser reads them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from usage.report import ledgers

from llmkit.usage.report.figures import Filter, Report
from llmkit.usage.report.query import report

NOON = 1_795_262_400.0
"""21 November 2026, 12:00 UTC."""
VOID = {"meta", "link", "br"}


class Figure(NamedTuple):
    """A figure of a page and where it is."""

    of: str
    name: str
    figure: str
    value: str
    shown: str


class Page(HTMLParser):
    """What is on a page; raises AssertionError when an element is not closed as it was opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.figures: list[Figure] = []
        self.text = ""
        self._open: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), attrs
        if tag not in VOID:
            self._open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open and "data-figure" in self._open[-1][1]:
            found = self._open[-1][1]
            assert found["value"] is not None
            of, name = self._nearest("data-of"), self._nearest("data-name")
            self.figures.append(Figure(of, name, str(found["data-figure"]), found["value"], data))

    def values(self, of: str) -> dict[tuple[str, str], str]:
        """The exact values of a part, by row and figure."""
        return {(each.name, each.figure): each.value for each in self.figures if each.of == of}

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    def _nearest(self, attribute: str) -> str:
        return next((str(attrs[attribute]) for _, attrs in reversed(self._open) if attribute in attrs), "")


def reported(path: Path | str, wanted: Filter = Filter(), **how: Any) -> Report:  # noqa: B008
    """The report of a ledger."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        return report(connection, wanted, **how)


@cache
def a_month() -> Report:
    """400 calls of an office, up to `NOON`."""
    return _of(calls=400)


@cache
def nothing() -> Report:
    """No calls at all."""
    return _of(calls=0)


def _of(*, calls: int) -> Report:
    with TemporaryDirectory() as folder:
        ledgers.write(f"{folder}/usage.db", ledgers.month(calls=calls, until=NOON))
        return reported(f"{folder}/usage.db")
