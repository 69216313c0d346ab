"""Errors that llmkit raises itself. Their messages are guidance already; here they become data."""

from __future__ import annotations

import inspect
import re

from llmkit.errors import InvalidResponse, LLMKitError
from llmkit.guidance.explanation import Advice

_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_TODO = {
    "ContextLengthExceeded": 'Send fewer or shorter messages, or let Context(on_overflow="trim") drop the oldest.',
    "InvalidHistory": "Append the missing result, or remove the call or result that stands alone.",
    "RateLimitTimeout": "Give RateLimit a longer timeout or a higher limit, or make fewer calls at a time.",
    "CircuitOpen": "Wait until the circuit closes, or put a Fallback around the CircuitBreaker.",
    "BudgetExceeded": "Wait for the budget's next period, or raise it.",
    "LedgerUnavailable": "Give SQLiteLedger a file of its own that this process may write, in a folder that exists.",
    "NoUsableKey": "Add a key to the KeyRing, or wait until one is taken up again.",
    "RedisUnavailable": "Start the Redis server, or correct its address, database or password.",
    "CallTimeout": "Give Timeouts more seconds, ask for less, or ask with stream=True.",
    "StreamInterrupted": "Send the request again, or go on from what arrived (.partial).",
    "MiddlewareError": "Correct the middleware that the message names.",
}
"""By the name of the class, for most of them are defined above this module."""


def explain_own(error: LLMKitError) -> Advice:
    """The reading of an error by its class and its message."""
    names = [cls.__name__ for cls in type(error).__mro__]
    todo = next((_TODO[name] for name in names if name in _TODO), "Do what its message says.")
    why = " ".join((inspect.getdoc(type(error)) or "").partition("\n\n")[0].split())
    return Advice(_CAPITAL.sub("_", names[0]).lower(), str(error), why, todo)


def explain_invalid(error: InvalidResponse) -> Advice:
    """The reading of an answer that the server called a success."""
    what = f"The server called it a success, but in its {error.operation} answer {error.missing} is missing or wrong."
    if error.content_type == "text/html":
        why = "A web page came in its place: a login page, a proxy's, or base_url is the address of a web site."
        return Advice("invalid_response", what, why, "Check base_url (is /v1 missing?) and the proxy variables.")
    return Advice(
        "invalid_response",
        what,
        "The server is not quite OpenAI-compatible, failed halfway, or a proxy cut the answer short.",
        "Try again; if it stays, take it to whoever runs the server, with the request id.",
    )
