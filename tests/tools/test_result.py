from __future__ import annotations

from typing import Any

import pytest
from openai.types.chat import ChatCompletionToolMessageParam, ChatCompletionUserMessageParam
from openai.types.responses import ResponseCustomToolCallOutputParam
from openai.types.responses.response_input_param import FunctionCallOutput
from pydantic import TypeAdapter

from llmkit.tools.call import ToolCall
from llmkit.tools.parts import FilePart, ImagePart, Part, TextPart
from llmkit.tools.result import ToolResult

PNG = "data:image/png;base64,iVBORw0KGgo="
CHAT = ToolCall(id="c1", name="look", arguments="{}")
RESPONSES = ToolCall(id="c1", name="look", arguments="{}", api="responses")
TEXT = TextPart(text="hello")
IMAGE = ImagePart(url=PNG, detail="low")


def result(call: ToolCall, *parts: Part) -> ToolResult:
    return ToolResult(call=call, content=parts)


def fits(shape: Any, message: Any) -> bool:
    TypeAdapter(shape).validate_python(message)
    return True


def test_text_answers_a_chat_call_as_a_tool_message() -> None:
    answer = result(CHAT, TEXT, TextPart(text="world"))
    assert answer.message == {"role": "tool", "tool_call_id": "c1", "content": "hello\nworld"}
    assert fits(ChatCompletionToolMessageParam, answer.message)
    assert answer.image_message is None


def test_text_answers_a_responses_call_as_one_string() -> None:
    answer = result(RESPONSES, TEXT, TextPart(text="world"))
    assert answer.message == {"type": "function_call_output", "call_id": "c1", "output": "hello\nworld"}
    assert fits(FunctionCallOutput, answer.message)


def test_a_custom_call_is_answered_by_its_own_item() -> None:
    custom = ToolCall(id="c1", name="look", arguments="{}", kind="custom", api="responses")
    assert result(custom, TEXT).message == {"type": "custom_tool_call_output", "call_id": "c1", "output": "hello"}
    assert fits(ResponseCustomToolCallOutputParam, result(custom, TEXT, IMAGE).message)
    chat = ToolCall(id="c1", name="look", arguments="{}", kind="custom")
    assert result(chat, TEXT).message == {"role": "tool", "tool_call_id": "c1", "content": "hello"}


def test_an_old_function_call_is_answered_by_name() -> None:
    old = ToolCall(id="", name="look", arguments="{}", legacy=True)
    assert result(old, TEXT).message == {"role": "function", "name": "look", "content": "hello"}


def test_images_answer_a_responses_call_as_parts() -> None:
    answer = result(RESPONSES, TEXT, IMAGE, ImagePart(file_id="file-1"), FilePart(file_url="https://x/a.pdf"))
    assert answer.message["output"] == [
        {"type": "input_text", "text": "hello"},
        {"type": "input_image", "detail": "low", "image_url": PNG},
        {"type": "input_image", "detail": "auto", "file_id": "file-1"},
        {"type": "input_file", "file_url": "https://x/a.pdf"},
    ]
    assert fits(FunctionCallOutput, answer.message)
    assert answer.image_message is None


def test_images_follow_a_chat_call_in_a_user_message() -> None:
    answer = result(CHAT, TEXT, IMAGE, FilePart(file_data="data:...", filename="a.pdf"))
    assert answer.message["content"] == "hello\n[image/png, 8 bytes]\n[file a.pdf]"
    assert answer.image_message == {
        "role": "user",
        "content": [
            {"type": "text", "text": "From the result of look (call c1):"},
            {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
            {"type": "file", "file": {"file_data": "data:...", "filename": "a.pdf"}},
        ],
    }
    assert fits(ChatCompletionUserMessageParam, answer.image_message)


@pytest.mark.parametrize(
    ("part", "shape", "words"),
    [
        (ImagePart(file_id="file-1"), {"type": "file", "file": {"file_id": "file-1"}}, "[image file-1]"),
        (
            ImagePart(url="https://x/a.png"),
            {"type": "image_url", "image_url": {"url": "https://x/a.png"}},
            "[image https://x/a.png]",
        ),
        (FilePart(file_id="file-1"), {"type": "file", "file": {"file_id": "file-1"}}, "[file file-1]"),
        (FilePart(file_url="https://x"), {"type": "text", "text": "[file https://x]"}, "[file https://x]"),
        (FilePart(file_data="AAAA"), {"type": "file", "file": {"file_data": "AAAA"}}, "[file without a name]"),
        (ImagePart(url="data:,AAAA"), {"type": "image_url", "image_url": {"url": "data:,AAAA"}}, "[image, 3 bytes]"),
    ],
)
def test_every_part_has_a_chat_shape_and_words(part: Part, shape: object, words: str) -> None:
    answer = result(CHAT, part)
    assert answer.image_message is not None
    assert answer.image_message["content"][1] == shape
    assert answer.text == words


def test_what_was_returned_is_neither_shown_nor_compared() -> None:
    one, two = (ToolResult(call=CHAT, content=(TEXT,), value=value) for value in ("canary-1", "canary-2"))
    assert one == two
    assert "canary" not in repr(one)
