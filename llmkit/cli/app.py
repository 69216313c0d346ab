"""The typer app: its commands, and how an error ends them."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import llmkit
from llmkit.cli.cache import cache
from llmkit.cli.output import say
from llmkit.cli.usage import usage


class Commands(TyperGroup):
    """Prints an error of the API's or llmkit's with what to do about it, without a traceback, and exits with 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        said = _Said()
        logger = logging.getLogger("llmkit")
        logger.addHandler(said)
        try:
            return super().invoke(ctx)
        except Exception as error:
            if not _is_expected(error):
                raise
            notes = "\n".join(getattr(error, "__notes__", ()))
            say(f"Error: {error}", *notes.splitlines())
            raise typer.Exit(1) from None
        finally:
            logger.removeHandler(said)


class _Said(logging.Handler):
    """Prints what llmkit logs, but for the failures of Redis, which are the command's own error already."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a line."""
        if record.module != "redis_server":
            say(record.getMessage())


def _is_expected(error: Exception) -> bool:
    openai = sys.modules.get("openai")  # importing it takes most of a second; who has not cannot raise its errors
    return openai is not None and isinstance(error, openai.OpenAIError)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"llmkit {llmkit.__version__}")
        raise typer.Exit


def start(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Tools around the calls that your programs make with llmkit."""


app = typer.Typer(
    name="llmkit",
    cls=Commands,
    callback=start,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(cache)
app.command()(usage)
