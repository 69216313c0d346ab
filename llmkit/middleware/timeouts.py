"""Limits on how long a call, the first event of a stream and each event after it may take."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from llmkit.deadlines import Deadlines
from llmkit.figures import check_figures
from llmkit.request import CallNext, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Ends a call that takes too long with `CallTimeout`, which `except openai.APITimeoutError` catches; in seconds.

    Below a Fallback or a Retry the limits hold for each of its attempts, above it for all of them together. An async
    call is stopped when its time is over, and its connection closed. A sync client cannot interrupt a read: there the
    connection's own timeouts are lowered to what is left, and the clock is looked at when an event comes, so that a
    server that falls silent within a stream may be noticed later, and with `between_tokens` alone only by the
    client's own `timeout`; without a Retry in the stack the SDK's waits between its own retries run on. Streams are
    limited where the SDK's stream is read, not in `iter_lines()` and its kin.
    """

    total: float | None = None
    """From here to the end of the call; for a stream to its last event, whatever its reader does in between."""
    first_token: float | None = None
    """Waiting for the first event of a stream, the request included."""
    between_tokens: float | None = None
    """Waiting for each further event of a stream; the time its reader takes for one does not count."""

    def __post_init__(self) -> None:
        given = {"total": self.total, "first_token": self.first_token, "between_tokens": self.between_tokens}
        stated = {name: seconds for name, seconds in given.items() if seconds is not None}
        if not stated:
            raise ValueError("Timeouts() limits nothing; give it total=, first_token= or between_tokens=")
        check_figures(**stated)
        for name, seconds in stated.items():
            if not 0 < seconds < math.inf:
                raise ValueError(f"{name}={seconds!r} must be a number of seconds above 0; leave it out for no limit")

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Run the call as long as it may take."""
        deadlines = Deadlines(
            request.runtime,
            base_url=request.base_url,
            total=self.total,
            first_token=self.first_token if request.stream else None,
            between_tokens=self.between_tokens,
            outer=request.deadlines,
        )
        return await deadlines.opened(lambda: call_next(request.replace(deadlines=deadlines)))
