"""The command line, `llmkit` or `python -m llmkit`, for those who have installed its extra."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command of `sys.argv`; exits with 0, with 1 when it failed, with 2 when it was called wrongly."""
    try:
        from llmkit.cli.app import app
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        sys.exit("The command line needs typer and rich: pip install 'llmkit[cli]'")
    app()
