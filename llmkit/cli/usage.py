"""`llmkit usage`: what the calls in a ledger used, cost and saved."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from llmkit.cli import periods, usage_options
from llmkit.cli.options import tags_of
from llmkit.cli.output import print_json, say
from llmkit.cli.usage_options import ledger_of

if TYPE_CHECKING:
    from sqlite3 import Connection

    from llmkit.usage.report.figures import Filter, Report

_REFRESH = 10
"""Seconds after which a page that is served asks for news."""
_PORT = 8_765
_MOST = 100
"""Groups of a breakdown, in a document and on a page."""


def usage(
    given: usage_options.Argument = None,
    ledger: usage_options.Ledger = None,
    table: usage_options.Table = None,
    since: usage_options.Since = "30d",
    until: usage_options.Until = None,
    model: usage_options.Model = None,
    operation: usage_options.Operation = None,
    outcome: usage_options.Outcome = None,
    tag: usage_options.Tag = None,
    by: usage_options.By = None,
    top: usage_options.Top = 10,
    as_document: usage_options.Json = False,
    html: usage_options.Html = None,
    export: usage_options.Export = None,
    serve: usage_options.Serve = False,
    port: usage_options.Port = None,
) -> None:
    """What your calls used, cost and saved: by day, by model, by user, by feature.

    Prints tables, unless it is to make something else of the calls. Costs are in US dollars, times in UTC.
    """
    name, printed = ledger_of(given or ledger, table), as_document or not (html or export or serve)
    if by is not None and not printed:
        raise typer.BadParameter("it is for what is printed; leave it out, or add --json", param_hint="--by")
    if port is not None and not serve:
        raise typer.BadParameter("it is of --serve; leave it out, or add that", param_hint="--port")
    chosen = {"model": model, "operation": operation, "outcome": outcome, "tags": tags_of(tag)}
    asked = _Asked(ledger=name, table=table, since=since, until=until, chosen=chosen, top=top, by=by)
    asked.filter()  # what is no time is a usage error, wherever the figures go
    if html is not None:
        asked.write_page(html)
    if export is not None:
        asked.export(export)
    if printed:
        _print(asked, as_document=as_document)
    if serve:
        asked.serve(_PORT if port is None else port)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What was asked for, to be answered as of now."""

    ledger: str
    table: str | None
    since: str
    until: str | None
    chosen: dict[str, Any]
    top: int
    by: str | None

    def filter(self) -> Filter:
        from llmkit.usage.report.details import when
        from llmkit.usage.report.figures import Filter

        now = time.time()
        try:
            first = periods.since(self.since, now=now)
            last = now if self.until is None else periods.until(self.until, now=now)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        if first is not None and first >= last:
            raise typer.BadParameter(f"--since {self.since} is not before the end of the period, {when(last)}")
        return Filter(since=first, until=None if first is None and self.until is None else last, **self.chosen)

    def report(self) -> Report:
        from llmkit.usage.report.query import report

        wanted, step = self.filter(), periods.STEPS.get(self.by or "")
        with self._opened(wanted) as connection:
            return report(connection, wanted, top=self.top, most=max(self.top, _MOST), step=step)

    def nothing(self) -> str:
        """What to do when no call fits."""
        from llmkit.usage.report.opening import is_postgres

        with self._opened(self.filter()) as connection:
            some = connection.execute("SELECT 1 FROM calls LIMIT 1").fetchone()
        whole = not is_postgres(self.ledger) or (self.since == "all" and self.until is None)
        return (
            "no call fits; leave out a filter, or --since all" if some or not whole else "the ledger has no calls yet"
        )

    def page(self, *, refresh: int | None = None) -> str:
        from llmkit.usage.report.opening import name_of
        from llmkit.usage.report.page import page

        return page(self.report(), made_at=time.time(), name=name_of(self.ledger), refresh=refresh)

    def write_page(self, path: Path) -> None:
        from llmkit.usage.report.page_file import write_page

        html = self.page()
        try:
            write_page(path, html)
        except OSError as error:
            _fail(f"{path} cannot be written: {error.strerror}")
        say(f"wrote {path}")

    def serve(self, port: int) -> None:
        from llmkit.usage.report.serve import serve

        self.page()  # a ledger that cannot be read is reported here, and not in a browser
        serve(lambda: self.page(refresh=_REFRESH), port=port)

    def export(self, path: Path) -> None:
        from llmkit.usage.export import export_calls
        from llmkit.usage.report.picked import calls

        wanted = self.filter()
        with self._opened(wanted) as connection:
            try:
                count = export_calls(calls(connection, wanted), path)
            except (ValueError, OSError) as error:
                _fail(str(error))
        say(f"wrote {count:,} calls to {path}")

    def _opened(self, wanted: Filter) -> AbstractContextManager[Connection]:
        from llmkit.usage.report.opening import opened

        since = -math.inf if wanted.since is None else wanted.since
        until = math.inf if wanted.until is None else wanted.until
        return opened(self.ledger, since=since, until=until, table=self.table or "calls")


def _print(asked: _Asked, *, as_document: bool) -> None:
    from llmkit.cli import usage_tables
    from llmkit.cli.usage_overview import print_overview
    from llmkit.usage.report.figures import as_json

    report, by, top = asked.report(), asked.by, asked.top
    known = ("day", "hour", "error", *usage_tables.breakdowns(report))
    if as_document and by is None:
        print_json(as_json(report))
    elif not (as_document or report.totals.calls):
        _fail(asked.nothing())
    elif by is None:
        print_overview(report)
        usage_tables.print_all(report, most=top)
    elif by not in known:
        _fail(f"no call has a tag {by!r}; there are {', '.join(known)}")
    elif as_document:
        print_json(as_json(usage_tables.one_of(report, by)))
    else:
        usage_tables.print_one(report, by, most=top)


def _fail(text: str) -> NoReturn:
    say(f"Error: {text}")
    raise typer.Exit(1)
