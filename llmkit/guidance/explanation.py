"""What is said about an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Advice(NamedTuple):
    """One reading of an error, in sentences that never contain a key, a prompt, an answer or the server's words."""

    kind: str
    what: str
    why: str
    todo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """An error as data: what happened, why, and what to do next; made by `llmkit.explain`."""

    kind: str
    """"context_length", "quota", "rate_limit", "model_not_found", "read_timeout", "tls", ...; "unknown" for an error
    that is neither the API's nor llmkit's. An error of llmkit's own has the name of its class, "circuit_open"."""
    what: str
    why: str
    todo: str
    retryable: bool = False
    """Whether the same request may succeed at another attempt."""
    retry_after: float | None = None
    """The wait in seconds that the server asks for."""
    request_id: str | None = None
    """The server's; quote it to support."""
