"""The Responses API of the fake: the response object, and its full sequence of events."""

from __future__ import annotations

from collections.abc import Iterator

from llmkit.streaming.response_events import response_events as streamed
from llmkit.streaming.sse import event_bytes
from llmkit.testing.fake.records import CREATED, JSONObject, Turn, merged
from llmkit.tokens import count_text

_ECHOED: JSONObject = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
"""Request fields that a response repeats, with the API's defaults."""

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Chat's finish reasons under the names the Responses API gives them."""


def created_body(turn: Turn) -> JSONObject:
    """The answer to a request without `stream`: the finished response, or a queued one in the background."""
    return _started(turn) if turn.body.get("background") else response_body(turn)


def response_body(turn: Turn) -> JSONObject:
    """The finished response."""
    final = {"status": _status(turn), "output": list(_items(turn)), "usage": _usage(turn)}
    if _status(turn) == "incomplete":
        final["incomplete_details"] = {"reason": _INCOMPLETE[turn.reply.finish_reason or ""]}
    return _started(turn) | final


def response_events(turn: Turn) -> Iterator[bytes]:
    """The answer as server-sent events, numbered from 0."""
    return map(event_bytes, streamed(response_body(turn), turn.pieces))


def _items(turn: Turn) -> Iterator[JSONObject]:
    if parts := _parts(turn):
        message: JSONObject = {"id": f"msg_fake_{turn.number}", "type": "message", "role": "assistant"}
        yield message | {"status": _status(turn), "content": parts}
    for index, call in enumerate(turn.reply.tool_calls, start=1):
        number = f"{turn.number}_{index}"
        yield {
            "id": f"fc_fake_{number}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_fake_{number}",
            "name": call.name,
            "arguments": call.arguments,
        }


def _parts(turn: Turn) -> list[JSONObject]:
    parts: list[JSONObject] = []
    if turn.reply.text is not None:
        parts.append({"type": "output_text", "annotations": [], "logprobs": [], "text": turn.reply.text})
    if turn.reply.refusal is not None:
        parts.append({"type": "refusal", "refusal": turn.reply.refusal})
    return parts


def _status(turn: Turn) -> str:
    return "incomplete" if turn.reply.finish_reason in _INCOMPLETE else "completed"


def _started(turn: Turn) -> JSONObject:
    echoed: JSONObject = {
        key: default if turn.body.get(key) is None else turn.body[key] for key, default in _ECHOED.items()
    }
    started: JSONObject = {
        "id": f"resp_fake_{turn.number}",
        "object": "response",
        "created_at": CREATED,
        "model": turn.model,
        "status": "queued" if turn.body.get("background") else "in_progress",
        "background": bool(turn.body.get("background")),
        "error": None,
        "incomplete_details": None,
        "output": [],
        "service_tier": "default",
        "usage": None,
    }
    return started | echoed


def _usage(turn: Turn) -> JSONObject:
    rule: JSONObject = {
        "input_tokens": turn.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": count_text(turn.reply.generated_text, model=turn.model),
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    usage = merged(rule, turn.reply.usage)
    return {"total_tokens": usage["input_tokens"] + usage["output_tokens"]} | usage
