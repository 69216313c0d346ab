"""Replies and histories as plain JSON."""

from __future__ import annotations

from typing import Any

from openai.types.chat import ChatCompletionMessage
from openai.types.responses import ResponseOutputMessage

from llmkit.tools.loop.wire import assistant_message, output_item, plain, sendable


def reply(**fields: Any) -> ChatCompletionMessage:
    message: dict[str, Any] = {"role": "assistant", "content": None, **fields}
    return ChatCompletionMessage.construct(None, **message)


def test_a_message_that_says_nothing_has_a_text() -> None:
    assert assistant_message(reply()) == {"role": "assistant", "content": ""}


def test_a_refusal_and_a_spoken_answer_go_back_as_the_api_wants_them() -> None:
    assert assistant_message(reply(refusal="No.")) == {"role": "assistant", "content": None, "refusal": "No."}
    audio = {"id": "audio_1", "data": "UklGRg==", "expires_at": 1, "transcript": "Hi"}
    assert assistant_message(reply(audio=audio)) == {"role": "assistant", "content": None, "audio": {"id": "audio_1"}}


def test_a_call_keeps_what_its_provider_adds_and_loses_what_the_sdk_adds() -> None:
    function = {"name": "add", "arguments": "{}", "parsed_arguments": {"a": 1}}
    call = {"id": "one", "type": "function", "index": 0, "function": function, "extra_content": {"signature": "x"}}
    custom = {"id": "two", "type": "custom", "custom": {"name": "shout", "input": "hi"}}
    assert assistant_message(reply(tool_calls=[call, custom]))["tool_calls"] == [
        {
            "id": "one",
            "type": "function",
            "function": {"name": "add", "arguments": "{}"},
            "extra_content": {"signature": "x"},
        },
        custom,
    ]


def test_what_may_be_null_in_a_response_only_is_left_out_of_a_request() -> None:
    item = {"type": "function_call", "id": None, "status": None, "call_id": "one", "name": "add", "arguments": "{}"}
    assert output_item(item) == {"type": "function_call", "call_id": "one", "name": "add", "arguments": "{}"}


def test_what_a_parser_added_to_an_answer_is_not_sent() -> None:
    part: dict[str, Any] = {"type": "output_text", "text": "{}", "annotations": []}
    item = {"type": "message", "id": "m", "role": "assistant", "content": [{**part, "parsed": {"a": 1}}]}
    assert output_item(item)["content"] == [part]


def test_plain_copies_everything_down_to_the_leaves() -> None:
    given: dict[str, Any] = {"a": ({"b": 1},), "c": iter("xy"), "d": "text", "e": b"bytes", "f": None}
    copied = plain(given)
    assert copied == {"a": [{"b": 1}], "c": ["x", "y"], "d": "text", "e": b"bytes", "f": None}
    message = ResponseOutputMessage.construct(type="message", id="m", role="assistant", status=None, content=[])
    assert plain([message]) == [{"type": "message", "id": "m", "role": "assistant", "content": []}]


def test_half_a_surrogate_pair_becomes_a_mark() -> None:
    assert sendable({"content": "\ud83d"}) == {"content": "\ufffd"}
    whole = {"content": "\U0001f600"}
    assert sendable(whole) is whole
