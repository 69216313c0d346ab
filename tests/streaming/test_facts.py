from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseCompletedEvent

from llmkit import CallRecord
from llmkit.streaming.facts import answer_text, glance, is_final, is_usage_chunk, note_answer
from llmkit.testing import VirtualClock

KEYS = [
    "choices",
    "delta",
    "message",
    "content",
    "refusal",
    "tool_calls",
    "function",
    "arguments",
    "text",
    "index",
    "finish_reason",
    "usage",
    "prompt_tokens",
    "input_tokens",
    "prompt_tokens_details",
    "cached_tokens",
    "type",
    "object",
    "status",
    "error",
    "code",
    "response",
    "data",
    "id",
    "model",
    "output",
    "output_index",
    "incomplete_details",
    "reason",
    "moderation",
]


def noted(answer: Any) -> CallRecord:
    record = CallRecord(operation="x", model=None, runtime=VirtualClock())
    note_answer(record, answer)
    return record


def test_chat_and_responses_usage_come_under_one_set_of_names() -> None:
    chat = {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    responses = {
        "input_tokens": 9,
        "output_tokens": 5,
        "total_tokens": 14,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens_details": {"reasoning_tokens": 2},
    }
    for usage in (chat, responses):
        record = noted({"usage": usage})
        assert (record.input_tokens, record.output_tokens, record.total_tokens) == (9, 5, 14)
        assert (record.cached_tokens, record.reasoning_tokens) == (4, 2)


def test_embeddings_have_no_output_and_a_missing_total_is_the_sum() -> None:
    assert noted({"usage": {"prompt_tokens": 8, "total_tokens": 8}}).output_tokens == 0
    assert noted({"usage": {"input_tokens": 3, "output_tokens": 4}}).total_tokens == 7


@pytest.mark.parametrize("usage", [{"type": "duration", "seconds": 3}, {}, "free", 3])
def test_usage_without_tokens_stays_unknown(usage: Any) -> None:
    assert noted({"usage": usage}).input_tokens is None


def test_an_event_that_carries_a_response_is_read_through_it() -> None:
    response = {"id": "resp_1", "object": "response", "model": "gpt-5-2025", "status": "completed"}
    record = noted({"type": "response.completed", "response": response})
    assert (record.response_id, record.response_model, record.finish_reasons) == (
        "resp_1",
        "gpt-5-2025",
        ("completed",),
    )


def test_json_that_the_sdk_knows_no_model_for_is_read_inside_its_models() -> None:
    usage = {"input_tokens": 3, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 2}}
    event = ResponseCompletedEvent.construct(type="response.completed", response={"id": "resp_1", "usage": usage})
    record = CallRecord(operation="responses", model=None, runtime=VirtualClock())
    note_answer(record, event)
    assert (record.response_id, record.input_tokens, record.cached_tokens) == ("resp_1", 3, 2)


def test_a_response_that_failed_says_why() -> None:
    failed = {"object": "response", "status": "failed", "error": {"code": "server_error", "message": "sorry"}}
    record = noted({"type": "response.failed", "response": failed})
    assert (record.finish_reasons, record.error, record.error_code) == (("failed",), "APIError", "server_error")
    assert noted({"object": "response", "status": "failed"}).error == "APIError"
    assert noted({"object": "batch", "error": {"code": "x"}}).error is None


def test_every_choice_has_its_finish_reason() -> None:
    choices = [{"index": 0, "finish_reason": "stop"}, {"index": 1, "finish_reason": "length"}]
    assert noted({"choices": choices}).finish_reasons == ("stop", "length")


def test_a_reason_that_comes_twice_counts_once() -> None:
    record, reasons = CallRecord(operation="x", model=None, runtime=VirtualClock()), dict[int, str]()
    for _ in range(2):
        note_answer(record, {"choices": [{"index": 0, "finish_reason": "stop"}]}, reasons)
    assert record.finish_reasons == ("stop",)


@pytest.mark.parametrize("status", ["queued", "in_progress"])
def test_a_response_that_has_not_ended_has_no_finish_reason(status: str) -> None:
    assert noted({"object": "response", "status": status}).finish_reasons == ()


def test_an_assistants_event_is_read_through_its_run() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    run = {"object": "thread.run", "id": "run_of_test_facts", "status": "completed", "usage": usage}
    assert noted({"event": "thread.run.completed", "data": run}).total_tokens == 7


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_no_json_at_all_makes_reading_fail(data: Any) -> None:
    noted(data)
    note_answer(CallRecord(operation="x", model=None, runtime=VirtualClock()), data, {})
    texts, news = glance(data)
    assert isinstance(texts, list)
    assert news in (True, False)
    assert isinstance(answer_text(data), str)
    assert is_final(data) in (True, False)
    assert is_usage_chunk(data) in (True, False)


def test_a_batch_status_is_not_a_finish_reason() -> None:
    assert noted({"object": "batch", "status": "completed"}).finish_reasons == ()


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"choices": [{"delta": {"content": "hi"}}]}, [(0, "hi")]),
        ({"choices": [{"index": 1, "delta": {"refusal": "no"}}]}, [(1, "no")]),
        ({"choices": [{"delta": {"tool_calls": [{"function": {"arguments": '{"a"'}}]}}]}, [(0, '{"a"')]),
        ({"choices": [{"delta": {"tool_calls": [{"function": None}]}}]}, []),
        ({"choices": [{"text": "old"}]}, [(0, "old")]),
        ({"choices": []}, []),
        ({"type": "response.output_text.delta", "output_index": 2, "delta": "hi"}, [(2, "hi")]),
        ({"type": "response.audio.delta", "delta": "AAAA"}, []),
        ({"type": "response.created", "response": {}}, []),
    ],
)
def test_the_texts_of_an_event(event: Any, text: list[tuple[int, str]]) -> None:
    assert glance(event)[0] == text


def test_the_text_of_a_responses_answer_has_messages_refusals_and_arguments() -> None:
    output = [
        {"type": "message", "content": [{"text": "blue"}, {"refusal": "no"}]},
        {"type": "function_call", "arguments": "{}"},
        {"type": "reasoning"},
    ]
    assert answer_text({"output": output}) == "blueno\n{}"
    assert answer_text({"data": []}) == ""


def test_a_usage_chunk_is_told_from_azures_first_chunk_and_from_moderation() -> None:
    envelope = {"id": "c", "created": 1, "model": "m", "object": "chat.completion.chunk", "choices": []}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    assert is_usage_chunk({**envelope, "usage": usage})
    assert is_usage_chunk(ChatCompletionChunk.model_validate({**envelope, "usage": usage}))
    assert not is_usage_chunk({**envelope, "prompt_filter_results": []})
    assert not is_usage_chunk({**envelope, "usage": usage, "moderation": None})
    assert is_final({"type": "response.incomplete"})
    assert not is_final({"type": "response.output_text.done"})
