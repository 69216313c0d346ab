"""The Responses API of the fake: the response object, and its full sequence of events."""

from __future__ import annotations

from collections.abc import Iterator

from llmkit.testing.fake.records import CREATED, JSONObject, Turn, json_bytes, merged
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
    final = {"status": _status(turn), "output": [item for item, _ in _items(turn)], "usage": _usage(turn)}
    if _status(turn) == "incomplete":
        final["incomplete_details"] = {"reason": _INCOMPLETE[turn.reply.finish_reason or ""]}
    return _started(turn) | final


def response_events(turn: Turn) -> Iterator[bytes]:
    """The answer as server-sent events, numbered from 0."""
    for number, event in enumerate(_events(turn)):
        payload = event | {"sequence_number": number}
        yield f"event: {event['type']}\n".encode() + b"data: " + json_bytes(payload) + b"\n\n"


def _events(turn: Turn) -> Iterator[JSONObject]:
    started = _started(turn)
    yield {"type": "response.created", "response": started}
    if turn.body.get("background"):
        yield {"type": "response.queued", "response": started}
    yield {"type": "response.in_progress", "response": started | {"status": "in_progress"}}
    for index, (item, empty) in enumerate(_items(turn)):
        yield {"type": "response.output_item.added", "output_index": index, "item": empty}
        place: JSONObject = {"item_id": item["id"], "output_index": index}
        yield from _message_events(turn, item, place) if "content" in item else _call_events(turn, item, place)
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{_status(turn)}", "response": response_body(turn)}


def _message_events(turn: Turn, item: JSONObject, place: JSONObject) -> Iterator[JSONObject]:
    for index, part in enumerate(item["content"]):
        at = place | {"content_index": index}
        field = "text" if part["type"] == "output_text" else "refusal"
        yield at | {"type": "response.content_part.added", "part": part | {field: ""}}
        extra: JSONObject = {"logprobs": []} if field == "text" else {}
        for piece in turn.pieces(part[field]):
            yield at | extra | {"type": f"response.{part['type']}.delta", "delta": piece}
        yield at | extra | {"type": f"response.{part['type']}.done", field: part[field]}
        yield at | {"type": "response.content_part.done", "part": part}


def _call_events(turn: Turn, item: JSONObject, place: JSONObject) -> Iterator[JSONObject]:
    event = "response.function_call_arguments"
    for piece in turn.pieces(item["arguments"]):
        yield place | {"type": f"{event}.delta", "delta": piece}
    yield place | {"type": f"{event}.done", "name": item["name"], "arguments": item["arguments"]}


def _items(turn: Turn) -> Iterator[tuple[JSONObject, JSONObject]]:
    """Each output item as it ends and as it starts."""
    parts = _parts(turn)
    if parts:
        message: JSONObject = {"id": f"msg_fake_{turn.number}", "type": "message", "role": "assistant"}
        done = message | {"status": _status(turn), "content": parts}
        yield done, done | {"status": "in_progress", "content": []}
    for index, call in enumerate(turn.reply.tool_calls, start=1):
        number = f"{turn.number}_{index}"
        done = {
            "id": f"fc_fake_{number}",
            "type": "function_call",
            "status": "completed",
            "call_id": f"call_fake_{number}",
            "name": call.name,
            "arguments": call.arguments,
        }
        yield done, done | {"status": "in_progress", "arguments": ""}


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
