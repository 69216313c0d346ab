"""Legacy completions of the fake API."""

from __future__ import annotations

from collections.abc import Iterator

from llmkit.testing.fake.chat import chat_usage
from llmkit.testing.fake.records import CREATED, JSONObject, Turn, choice_count, usage_chunks


def completion_body(turn: Turn) -> JSONObject:
    """The answer to a request without `stream`."""
    choices = [
        _choice(index, turn.reply.text or "", turn.reply.finish_reason or "stop")
        for index in range(choice_count(turn.body))
    ]
    return _head(turn) | {"choices": choices, "usage": chat_usage(turn)}


def completion_events(turn: Turn) -> Iterator[bytes]:
    """The answer as server-sent events."""
    return usage_chunks(turn, _chunks(turn), chat_usage(turn))


def _head(turn: Turn) -> JSONObject:
    return {
        "id": f"cmpl-fake-{turn.number}",
        "object": "text_completion",
        "created": CREATED,
        "model": turn.model,
    }


def _choice(index: int, text: str, finish_reason: str | None) -> JSONObject:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}


def _chunks(turn: Turn) -> Iterator[JSONObject]:
    for index in range(choice_count(turn.body)):
        for piece in turn.pieces(turn.reply.text or ""):
            yield _head(turn) | {"choices": [_choice(index, piece, None)]}
        yield _head(turn) | {"choices": [_choice(index, "", turn.reply.finish_reason or "stop")]}
