"""What the model and the log are told of a failure: never more than they need."""

from __future__ import annotations

import logging
from typing import Final

from llmkit.tools.errors import InvalidArguments, ToolError

logger = logging.getLogger("llmkit")

_RETRIED_NEVER: Final = (InvalidArguments, ToolError)


class TimedOut(Exception):
    """A tool took longer than it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"took longer than {seconds:g} s")


class Denied(Exception):
    """A call was not approved; the text is the reason."""


class NoData(Exception):
    """A tool returned what is not JSON data; the text names its type."""


def worth_another(error: Exception) -> bool:
    """Whether a tool that asked for retries is called again after this."""
    return not isinstance(error, _RETRIED_NEVER)


def describe(name: str, error: Exception, *, show_errors: bool) -> tuple[str, str]:
    """The kind of a failure, and what the model reads of it; logs what the developer must know."""
    if isinstance(error, InvalidArguments):
        return error.kind, _said(error)
    if isinstance(error, TimedOut):
        logger.warning("tool %s %s", name, error)
        return "timeout", f"Error: {name} {error}"
    if isinstance(error, Denied):
        reason = str(error)
        return "denied", f"Error: {name} was not allowed to run" + (f": {reason}" if reason else "")
    if isinstance(error, NoData):
        logger.warning("tool %s returned a %s, which is not JSON data", name, error)
        return "invalid_result", f"Error: {name} returned a {error}, which is not JSON data"
    if isinstance(error, ToolError):
        return "exception", f"Error: {_said(error)}"
    log_failure("tool", name, error)
    said = f": {_said(error)}" if show_errors else ""
    return "exception", f"Error: {name} failed ({type(error).__name__}{said})"


def log_failure(what: str, name: str, error: BaseException) -> None:
    """Log the class of an exception and the place it was raised at, not its text."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    at = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place else "an unknown place"
    logger.warning("%s %s failed with %s at %s", what, name, type(error).__name__, at)


def _said(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a __str__ can be broken, too
        return type(error).__name__
