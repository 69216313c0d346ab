"""`llmkit cache warm`: answers asked for before somebody needs them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from llmkit.cli.options import Json, Store, duration, opened
from llmkit.cli.output import print_json, say
from llmkit.unseen import in_line

if TYPE_CHECKING:
    from llmkit.cache.store import CacheStore
    from llmkit.cache.warming import Warmed

_TTL: Final = 3_600.0
"""That of a Cache for which nothing is said."""
_MOST_BAD_LINES: Final = 10
_INTERRUPTED: Final = 130
"""What shells say of a program that Ctrl-C has ended."""


def warm(
    store: Store,
    requests: Annotated[
        typer.FileBinaryRead,
        typer.Argument(metavar="REQUESTS.jsonl", help="A request a line; - reads them from stdin."),
    ],
    ttl: Annotated[
        float | None,
        typer.Option(
            parser=duration, metavar="TIME", help="How long answers hold: 90s, 15m, 2h or 7d.", show_default="1h"
        ),
    ] = None,
    requests_per_minute: Annotated[
        float | None, typer.Option(min=1, help="Send no more than this.", metavar="N")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Calls at a time.", metavar="N")] = 8,
    create: Annotated[bool, typer.Option("--create", help="Make the SQLite file if it is not there.")] = False,
    as_document: Json = False,
) -> None:
    """Ask the API for the answers that the cache does not have yet.

    A line of the file is the body of a call, `{"model": ..., "messages": [...]}`, or a line of a batch file,
    `{"url": "/v1/responses", "body": {...}}`. "tags" beside it become those of the answer. The API key is that of the
    environment, OPENAI_API_KEY. Exits with 1 when a request failed.
    """
    wanted = _read(requests)
    with opened(store, create=create) as answers:
        answers.counts()  # a store that fails does so before anything is paid for
        _report(
            *_warmed(answers, wanted, ttl or _TTL, concurrency, requests_per_minute),
            asked=len(wanted),
            as_document=as_document,
        )


def _read(lines: Iterable[bytes]) -> list[dict[str, Any]]:
    """The requests, if each of them can be read."""
    from llmkit.cache.wanted import InvalidRequest, read_wanted

    wanted: list[dict[str, Any]] = []
    bad: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            request = json.loads(line)
            read_wanted(request)
            wanted.append(request)
        except json.JSONDecodeError as error:
            bad.append(f"line {number}: it is not JSON: {error.msg} at character {error.pos + 1}")
        except (UnicodeDecodeError, RecursionError):
            bad.append(f"line {number}: it is not JSON in UTF-8")
        except InvalidRequest as error:
            bad.append(f"line {number}: {error}")
    if bad:
        more = [f"... and {len(bad) - _MOST_BAD_LINES:,} more"] if len(bad) > _MOST_BAD_LINES else []
        raise typer.BadParameter(
            "\n".join(["nothing was sent", *map(in_line, bad[:_MOST_BAD_LINES]), *more]), param_hint="REQUESTS"
        )
    return wanted


def _warmed(
    store: CacheStore, wanted: Sequence[dict[str, Any]], ttl: float, concurrency: int, requests_per_minute: float | None
) -> tuple[Warmed, bool]:
    """What came of the requests, and whether that is all: Ctrl-C leaves what was made."""
    import asyncio

    from llmkit.cache.warming import Warmed, warm
    from llmkit.client import AsyncOpenAI
    from llmkit.middleware.cache import Cache
    from llmkit.middleware.retry import Retry

    cache = Cache(store, ttl=ttl, on_error="closed")
    done, whole = Warmed(), False

    async def run(show: Callable[[int], None]) -> None:
        nonlocal whole

        def note(warmed: Warmed) -> None:
            nonlocal done
            done = warmed
            show(warmed.done)

        async with AsyncOpenAI(middleware=[cache, Retry()]) as client:
            await warm(
                client, wanted, concurrency=concurrency, requests_per_minute=requests_per_minute, on_progress=note
            )
        whole = True

    with suppress(KeyboardInterrupt), closing(cache), _bar(len(wanted)) as show:
        asyncio.run(run(show))
    return done, whole


@contextmanager
def _bar(total: int) -> Generator[Callable[[int], None], None, None]:
    """A bar on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("warming"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=total)
        yield lambda done: progress.update(task, completed=done)


def _report(warmed: Warmed, whole: bool, *, asked: int, as_document: bool) -> None:
    """Say what came of the requests, and end with what shells go by."""
    if as_document:
        print_json({**asdict(warmed), "asked": asked, "interrupted": not whole})
    else:
        _print(warmed, whole, asked=asked)
    if not whole or warmed.failed:
        raise typer.Exit(1 if whole else _INTERRUPTED)


def _print(warmed: Warmed, whole: bool, *, asked: int) -> None:
    if not whole:
        say(f"interrupted after {warmed.done:,} of {asked:,} requests; what was made is kept")
    kept = f"{warmed.made:,} made, {warmed.present:,} already there"
    typer.echo(f"{kept}, {warmed.not_kept:,} not kept, {warmed.failed:,} failed")
    for name, count in warmed.errors.items():
        say(f"{count:,} {name}: {warmed.hints[name]}")
