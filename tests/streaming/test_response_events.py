from __future__ import annotations

from typing import Any

import pytest

from llmkit.streaming.response_events import response_events


def response(*items: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "r", "object": "response", "status": "completed", "output": list(items), **fields}


def told(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The events without their numbers and the word they all begin with."""
    events = list(response_events(answer))
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert all(event["type"].startswith("response.") for event in events)
    names = ("type", "sequence_number")
    return [{"is": event["type"][9:], **{name: event[name] for name in event if name not in names}} for event in events]


def test_a_message_is_told_part_by_part() -> None:
    tokens = [{"token": "Hi", "logprob": -0.5}]
    said = {"type": "output_text", "text": "Hi", "annotations": [{"url": "a"}, {"url": "b"}], "logprobs": tokens}
    no = {"type": "refusal", "refusal": "No"}
    sound = {"type": "output_audio", "data": "AA"}
    item = {"id": "m", "type": "message", "status": "completed", "phase": None, "content": [said, no, sound]}
    answer = response(item, usage={"total_tokens": 3}, completed_at=9, metadata={"a": "b"})
    begun = {**answer, "status": "in_progress", "output": [], "usage": None, "completed_at": None}
    at, second, third = ({"item_id": "m", "output_index": 0, "content_index": index} for index in range(3))
    assert told(answer) == [
        {"is": "created", "response": begun},
        {"is": "in_progress", "response": begun},
        {"is": "output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
        {"is": "content_part.added", **at, "part": {**said, "text": "", "annotations": [], "logprobs": []}},
        {"is": "output_text.delta", **at, "delta": "Hi", "logprobs": tokens},
        {"is": "output_text.done", **at, "text": "Hi", "logprobs": tokens},
        {"is": "output_text.annotation.added", **at, "annotation_index": 0, "annotation": {"url": "a"}},
        {"is": "output_text.annotation.added", **at, "annotation_index": 1, "annotation": {"url": "b"}},
        {"is": "content_part.done", **at, "part": said},
        {"is": "content_part.added", **second, "part": {**no, "refusal": ""}},
        {"is": "refusal.delta", **second, "delta": "No"},
        {"is": "refusal.done", **second, "refusal": "No"},
        {"is": "content_part.done", **second, "part": no},
        {"is": "content_part.added", **third, "part": sound},
        {"is": "content_part.done", **third, "part": sound},
        {"is": "output_item.done", "output_index": 0, "item": item},
        {"is": "completed", "response": answer},
    ]


def test_reasoning_is_told_with_its_summary_and_its_text() -> None:
    summary, thought = {"type": "summary_text", "text": "A"}, {"type": "reasoning_text", "text": "B"}
    item = {"id": "t", "type": "reasoning", "summary": [summary], "content": [thought], "encrypted_content": "x"}
    at = {"item_id": "t", "output_index": 0}
    assert told(response(item))[2:-1] == [
        {"is": "output_item.added", "output_index": 0, "item": {**item, "summary": [], "content": []}},
        {"is": "content_part.added", **at, "content_index": 0, "part": {**thought, "text": ""}},
        {"is": "reasoning_text.delta", **at, "content_index": 0, "delta": "B"},
        {"is": "reasoning_text.done", **at, "content_index": 0, "text": "B"},
        {"is": "content_part.done", **at, "content_index": 0, "part": thought},
        {"is": "reasoning_summary_part.added", **at, "summary_index": 0, "part": {**summary, "text": ""}},
        {"is": "reasoning_summary_text.delta", **at, "summary_index": 0, "delta": "A"},
        {"is": "reasoning_summary_text.done", **at, "summary_index": 0, "text": "A"},
        {"is": "reasoning_summary_part.done", **at, "summary_index": 0, "part": summary},
        {"is": "output_item.done", "output_index": 0, "item": item},
    ]
    silent = {"id": "t", "type": "reasoning", "summary": [], "content": None}
    assert told(response(silent))[2:-1] == [
        {"is": "output_item.added", "output_index": 0, "item": silent},
        {"is": "output_item.done", "output_index": 0, "item": silent},
    ]


@pytest.mark.parametrize(
    ("kind", "field", "event"),
    [
        ("function_call", "arguments", "function_call_arguments"),
        ("custom_tool_call", "input", "custom_tool_call_input"),
        ("mcp_call", "arguments", "mcp_call_arguments"),
        ("code_interpreter_call", "code", "code_interpreter_call_code"),
    ],
)
def test_what_a_tool_is_called_with_is_told_as_text(kind: str, field: str, event: str) -> None:
    item = {"type": kind, "call_id": "c", "name": "f", field: "{}", "status": "completed"}
    at = {"item_id": "", "output_index": 1}
    other = {"id": "ws", "type": "web_search_call", "status": "completed", "action": {"type": "search"}}
    assert told(response(other, item))[2:-1] == [
        {"is": "output_item.added", "output_index": 0, "item": {**other, "status": "in_progress"}},
        {"is": "output_item.done", "output_index": 0, "item": other},
        {"is": "output_item.added", "output_index": 1, "item": {**item, "status": "in_progress", field: ""}},
        {"is": f"{event}.delta", **at, "delta": "{}"},
        {"is": f"{event}.done", **at, field: "{}"},
        {"is": "output_item.done", "output_index": 1, "item": item},
    ]


def test_an_empty_text_has_no_delta_and_others_come_in_the_pieces_asked_for() -> None:
    item = {"id": "m", "type": "message", "content": [{"type": "output_text", "text": "Hello"}]}
    deltas = [event["delta"] for event in response_events(response(item), list) if "delta" in event]
    assert deltas == ["H", "e", "l", "l", "o"]
    item["content"] = [{"type": "output_text", "text": ""}]
    assert [event["type"] for event in response_events(response(item))][3:-2] == [
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
    ]


def test_it_says_how_a_response_began_and_how_it_ended() -> None:
    answer = response(background=True) | {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
    events = told(answer)
    assert [event["is"] for event in events] == ["created", "queued", "in_progress", "incomplete"]
    assert [event["response"]["status"] for event in events] == ["queued", "queued", "in_progress", "incomplete"]
    assert [event["response"]["incomplete_details"] is None for event in events] == [True, True, True, False]
