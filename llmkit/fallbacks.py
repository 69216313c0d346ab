"""Which failures another model, or the same one elsewhere, may cure. Pure: no clock, no waiting."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, cast

import openai

from llmkit.errors import CircuitOpen, InvalidResponse, NoUsableKey, RateLimitTimeout
from llmkit.retries import RetryOn, is_one_of

_DEFAULT: Collection[int | type[Exception]] = (
    openai.APIConnectionError,  # timeouts included, llmkit's CallTimeout, too
    InvalidResponse,
    CircuitOpen,
    RateLimitTimeout,
    NoUsableKey,
    404,  # no such model
    408,
    409,
    429,
    *range(500, 600),
)
_OF_THE_ACCOUNT = (401, 403)
_NO_SUCH_MODEL = "model_not_found"
"""The code of a 404, and of a 403 where a project may not use one of the account's models."""

Help = Literal["any", "another client", "none"]


def who_may_help(error: Exception, *, on: RetryOn | None) -> Help:
    """Whom to ask in place of the model that failed with `error`.

    What the account is refused, another model of the same client is refused as well.
    """
    if on is not None:
        return "any" if (on(error) if callable(on) else is_one_of(error, on)) else "none"
    denied = is_one_of(error, _OF_THE_ACCOUNT)
    if denied and cast("openai.APIStatusError", error).code != _NO_SUCH_MODEL:
        return "another client"
    return "any" if denied or is_one_of(error, _DEFAULT) else "none"


def described(error: Exception) -> str:
    """An error by its class and HTTP status: its text may quote the request."""
    status = f" {error.status_code}" if isinstance(error, openai.APIStatusError) else ""
    return type(error).__name__ + status
