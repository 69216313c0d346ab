"""The successful answers of the fake API on the wire: whole, streamed, or broken off."""

from __future__ import annotations

import httpx2

from llmkit.testing.fake.records import Answer, Turn, json_bytes
from llmkit.testing.fake.routes import Operation

_REQUEST_LIMIT = 10_000
_TOKEN_LIMIT = 2_000_000


def answer(operation: Operation, turn: Turn) -> Answer:
    """The answer to a request, streamed when it asks for that."""
    if operation.events is not None and turn.body.get("stream"):
        parts = tuple(operation.events(turn))
        kept = parts if turn.reply.drop_after is None else parts[:-1][: turn.reply.drop_after]
        kind = "text/event-stream; charset=utf-8"
    else:
        made = operation.body(turn)
        parts = (made if isinstance(made, bytes) else json_bytes(made),)
        kept = parts if turn.reply.drop_error is None else (parts[0][: len(parts[0]) // 2],)
        kind = "application/octet-stream" if isinstance(made, bytes) else "application/json"
    headers = _headers(turn) | {"content-type": kind}
    return Answer(headers=httpx2.Headers(headers), parts=kept, error=turn.reply.drop_error)


def _headers(turn: Turn) -> dict[str, str]:
    return {
        "openai-organization": "org-fake",
        "openai-processing-ms": "12",
        "openai-version": "2020-10-01",
        "x-ratelimit-limit-requests": str(_REQUEST_LIMIT),
        "x-ratelimit-limit-tokens": str(_TOKEN_LIMIT),
        "x-ratelimit-remaining-requests": str(_REQUEST_LIMIT - 1),
        "x-ratelimit-remaining-tokens": str(max(0, _TOKEN_LIMIT - turn.prompt_tokens)),
        "x-ratelimit-reset-requests": "6ms",
        "x-ratelimit-reset-tokens": "1ms",
        "x-request-id": f"req_fake_{turn.number}",
    }
