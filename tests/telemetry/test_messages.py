from __future__ import annotations

import json
from typing import Any

from openai.types.chat import ChatCompletion

from llmkit.telemetry.messages import content_of


def asked(body: dict[str, Any]) -> Any:
    return json.loads(content_of(body, None)["gen_ai.input.messages"])


def answered(answer: object) -> Any:
    return json.loads(content_of({}, answer)["gen_ai.output.messages"])


def text(content: str) -> dict[str, str]:
    return {"type": "text", "content": content}


def test_a_chat_with_tools_keeps_roles_and_parts() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}], "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rainy"},
        {"role": "assistant", "refusal": "No."},
    ]
    assert asked({"messages": messages}) == [
        {"role": "system", "parts": [text("Be brief.")]},
        {"role": "user", "parts": [text("Weather?")], "name": "ann"},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "call_1", "name": "weather", "arguments": {"city": "Paris"}}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": "rainy"}]},
        {"role": "assistant", "parts": [text("No.")]},
    ]


def test_images_sounds_and_files_are_named_and_not_copied() -> None:
    parts = [
        {"type": "image_url", "image_url": {"url": "https://x.test/cat.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_image", "image_url": "https://x.test/dog.png"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "input_file", "file_id": "file-2"},
        {"type": "hologram"},
    ]
    assert asked({"messages": [{"role": "user", "content": parts}]})[0]["parts"] == [
        {"type": "uri", "modality": "image", "uri": "https://x.test/cat.png"},
        {"type": "blob", "modality": "image", "content": ""},
        {"type": "uri", "modality": "image", "uri": "https://x.test/dog.png"},
        {"type": "blob", "modality": "audio", "content": ""},
        {"type": "file", "modality": "document", "file_id": "file-1"},
        {"type": "file", "modality": "document", "file_id": "file-2"},
        {"type": "hologram"},
    ]


def test_the_items_of_a_responses_call_become_messages() -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather?"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Look it up."}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{broken"},
        {"type": "function_call_output", "call_id": "c1", "output": "rainy"},
        {"type": "web_search_call", "id": "ws_1"},
    ]
    body = {"input": items, "instructions": "Be brief."}
    assert json.loads(content_of(body, None)["gen_ai.system_instructions"]) == [text("Be brief.")]
    assert asked(body) == [
        {"role": "user", "parts": [text("Weather?")]},
        {"role": "assistant", "parts": [{"type": "reasoning", "content": "Look it up."}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c1", "name": "weather", "arguments": "{broken"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "rainy"}]},
        {"role": "assistant", "parts": [{"type": "web_search_call"}]},
    ]


def test_a_plain_text_is_the_users() -> None:
    assert asked({"input": "Hi"}) == asked({"prompt": "Hi"}) == [{"role": "user", "parts": [text("Hi")]}]


def test_each_choice_of_an_answer_is_a_message_with_its_reason() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    answer = ChatCompletion.model_validate(
        {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "gpt-4o",
            "choices": [
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "One"}},
                {"index": 1, "finish_reason": "tool_calls", "message": {"role": "assistant", "tool_calls": [call]}},
            ],
        }
    )
    assert answered(answer) == [
        {"role": "assistant", "parts": [text("One")], "finish_reason": "stop"},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "c1", "name": "f", "arguments": None}],
            "finish_reason": "tool_call",
        },
    ]


def test_a_text_completion_has_no_message_but_is_one() -> None:
    assert answered({"choices": [{"text": "Hi", "finish_reason": None}]}) == [
        {"role": "assistant", "parts": [text("Hi")], "finish_reason": "error"}
    ]


def test_the_items_of_a_response_are_one_message() -> None:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
    called = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    cut = {"reason": "max_output_tokens"}
    assert answered({"output": [said]})[0]["finish_reason"] == "stop"
    assert answered({"output": [said], "incomplete_details": cut})[0]["finish_reason"] == "length"
    assert answered({"output": [said], "incomplete_details": {"reason": "content_filter"}})[0] == {
        "role": "assistant",
        "parts": [text("Hi")],
        "finish_reason": "content_filter",
    }
    assert answered({"output": [said, called]})[0]["finish_reason"] == "tool_call"


def test_what_is_not_known_is_not_told() -> None:
    assert content_of({"input": [1, 2], "instructions": 3}, {"data": []}) == {}
    assert content_of({}, None) == {}


def test_half_a_surrogate_pair_is_made_exportable() -> None:
    told = content_of({"input": "a\ud83d"}, None)["gen_ai.input.messages"]
    assert told.encode()
    assert "a?" in told
