from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseCompletedEvent

from llmkit import CallRecord
from llmkit.streaming.facts import answer_text, is_final, is_usage_chunk, note_answer, text_of, view
from llmkit.testing import VirtualClock


def noted(answer: Any) -> CallRecord:
    record = CallRecord(operation="x", model=None, runtime=VirtualClock())
    note_answer(record, view(answer))
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
    assert (record.finish_reasons, record.error_code) == (("failed",), "server_error")


def test_every_choice_has_its_finish_reason() -> None:
    assert noted({"choices": [{"finish_reason": "stop"}, {"finish_reason": "length"}]}).finish_reasons == (
        "stop",
        "length",
    )


def test_a_batch_status_is_not_a_finish_reason() -> None:
    assert noted({"object": "batch", "status": "completed"}).finish_reasons == ()


@pytest.mark.parametrize(
    ("event", "text"),
    [
        ({"choices": [{"delta": {"content": "hi"}}]}, "hi"),
        ({"choices": [{"delta": {"refusal": "no"}}]}, "no"),
        ({"choices": [{"delta": {"tool_calls": [{"function": {"arguments": '{"a"'}}]}}]}, '{"a"'),
        ({"choices": [{"delta": {"tool_calls": [{"function": None}]}}]}, ""),
        ({"choices": [{"text": "old"}]}, "old"),
        ({"choices": []}, ""),
        ({"type": "response.output_text.delta", "delta": "hi"}, "hi"),
        ({"type": "response.created", "response": {}}, ""),
    ],
)
def test_the_text_of_an_event(event: Any, text: str) -> None:
    assert text_of(view(event)) == text


def test_the_text_of_a_responses_answer_has_messages_refusals_and_arguments() -> None:
    output = [
        {"type": "message", "content": [{"text": "blue"}, {"refusal": "no"}]},
        {"type": "function_call", "arguments": "{}"},
        {"type": "reasoning"},
    ]
    assert answer_text(view({"output": output})) == "blue\nno\n{}"
    assert answer_text(view({"data": []})) == ""


def test_a_usage_chunk_is_told_from_azures_first_chunk_and_from_moderation() -> None:
    envelope = {"id": "c", "created": 1, "model": "m", "object": "chat.completion.chunk", "choices": []}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    assert is_usage_chunk(view({**envelope, "usage": usage}))
    assert is_usage_chunk(ChatCompletionChunk.model_validate({**envelope, "usage": usage}))
    assert not is_usage_chunk(view({**envelope, "prompt_filter_results": []}))
    assert not is_usage_chunk(view({**envelope, "usage": usage, "moderation": None}))
    assert is_final(view({"type": "response.incomplete"}))
    assert not is_final(view({"type": "response.output_text.done"}))
