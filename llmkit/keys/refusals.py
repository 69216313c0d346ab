"""Whether a server refused a call because of its key. Pure: no clock, no waiting."""

from __future__ import annotations

from typing import NamedTuple

import openai

from llmkit.retries import QUOTA_CODES, server_wait

_KEY_CODES = QUOTA_CODES | {"invalid_api_key", "account_deactivated"}
_REST = 5.0
"""Seconds that a key rests after a 429 that names no time."""


class Refusal(NamedTuple):
    """Why a key was refused, such as "401 invalid_api_key", and for how many seconds; None: until further notice."""

    because: str
    seconds: float | None

    @property
    def rests(self) -> bool:
        """Whether time alone cures it."""
        return self.seconds is not None


def refusal(error: openai.APIStatusError, *, now: float) -> Refusal | None:
    """What `error` says about the key it was sent with; None when the key is not the reason. `now`: since the epoch.

    A wrong, blocked or spent key (401, 402, the codes of an exhausted quota) is refused until further notice, a
    429 for the time it asks for. A 403 is about the request, and so is a 401 that misses a scope: for the same
    request every key of an account would be refused, and parking them all would stop the other requests.
    """
    status, code = error.status_code, error.code
    if code == "missing_scope" or "missing scopes" in error.message.lower():
        return None
    if code in _KEY_CODES:
        return Refusal(f"{status} {code}", None)
    if status in (401, 402):
        return Refusal(str(status), None)
    if status == 429:
        return Refusal("429", server_wait(error, now=now) or _REST)
    return None
