from __future__ import annotations

import json
import types
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessage, ParsedChatCompletionMessage
from openai.types.responses import Response, ResponseFunctionToolCall

from llmkit.testing import FakeOpenAI
from llmkit.tools.call import ToolCall, calls_in

MADE: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
MESSAGE: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [MADE]}
ITEM: dict[str, Any] = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "c1",
    "name": "add",
    "arguments": '{"a":1}',
    "status": "completed",
}
CHAT_CALL = ToolCall(id="c1", name="add", arguments='{"a":1}')
RESPONSES_CALL = ToolCall(id="c1", name="add", arguments='{"a":1}', api="responses")


@pytest.mark.parametrize(
    "message",
    [
        MESSAGE,
        ChatCompletionMessage.model_validate(MESSAGE),
        ParsedChatCompletionMessage[None].model_validate(MESSAGE),
        {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "tool_calls"}]},
        [MADE],
        types.MappingProxyType(MESSAGE),
        MADE,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_chat_call_is_found_in_every_shape_a_message_comes_in(message: object) -> None:
    assert calls_in(message) == [CHAT_CALL]


RESPONSES: list[Any] = [
    [ITEM],
    ITEM,
    ResponseFunctionToolCall.model_validate(ITEM),
    {"output": [{"type": "reasoning", "id": "r", "summary": []}, ITEM]},
    ({"type": "message", "role": "assistant", "content": []}, ITEM),
]


@pytest.mark.parametrize("message", RESPONSES, ids=lambda value: type(value).__name__)
def test_a_responses_call_is_found_in_every_shape_an_answer_comes_in(message: object) -> None:
    assert calls_in(message) == [RESPONSES_CALL]


async def test_whole_answers_of_the_sdk_are_taken() -> None:
    fake = FakeOpenAI()
    fake.reply(tool_calls=[("add", {"a": 1}), ("add", {"a": 2})]).reply(tool_calls=[("add", {"a": 1})])
    async with fake.async_client() as client:
        chat = await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hi"}])
        response = await client.responses.create(model="gpt-4o", input="Hi")
    assert isinstance(chat, ChatCompletion)
    assert isinstance(response, Response)
    assert [(call.name, json.loads(call.arguments), call.api) for call in calls_in(chat)] == [
        ("add", {"a": 1}, "chat"),
        ("add", {"a": 2}, "chat"),
    ]
    [call] = calls_in(response)
    assert (call.id, call.api) == (response.output[0].call_id, "responses")  # type: ignore[union-attr]


def test_free_text_of_a_custom_tool_becomes_an_argument() -> None:
    chat = {
        "role": "assistant",
        "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sql", "input": 'é"'}}],
    }
    item = {"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": 'é"'}
    for message, api in ((chat, "chat"), ([item], "responses")):
        [call] = calls_in(message)
        assert (call.kind, call.api, call.name, json.loads(call.arguments)) == ("custom", api, "sql", {"input": 'é"'})


def test_an_old_function_call_is_marked_as_such() -> None:
    message = {"role": "assistant", "function_call": {"name": "add", "arguments": "{}"}}
    assert calls_in(message) == [ToolCall(id="", name="add", arguments="{}", legacy=True)]


@pytest.mark.parametrize(("given", "text"), [(None, ""), ({"é": 1}, '{"é": 1}'), ("{oops", "{oops")])
def test_arguments_are_text_even_where_a_server_sends_none_or_decodes_them(given: object, text: str) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": given}}
    assert calls_in({"tool_calls": [call]})[0].arguments == text


def test_calls_with_the_same_id_are_one_and_calls_without_stay_apart() -> None:
    made = [{**MADE, "id": id} for id in ("a", None, "b", "a", "", 7)]
    assert [call.id for call in calls_in({"tool_calls": made})] == ["a", "", "b", "", "7"]


@pytest.mark.parametrize(("name", "text"), [(None, ""), (7, "7"), ({"a": 1}, '{"a": 1}')])
def test_a_name_is_always_text(name: object, text: str) -> None:
    assert calls_in([{**ITEM, "name": name}])[0].name == text


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Hi"},
        types.MappingProxyType({"role": "assistant", "content": "Hi"}),
        {"choices": []},
        {"output": []},
        [],
        {"type": "function_call_output", "call_id": "c", "output": "text"},
        ChatCompletionMessage(role="assistant", content="Hi"),
    ],
)
def test_nothing_is_found_where_nothing_was_called(message: object) -> None:
    assert calls_in(message) == []


@pytest.mark.parametrize("message", [None, "text", 7, object(), b"{}"])
def test_any_other_type_is_named(message: object) -> None:
    with pytest.raises(TypeError, match=f"from a {type(message).__name__}: give an assistant message"):
        calls_in(message)


@pytest.mark.parametrize("messages", [[MESSAGE], [{"type": "function", "name": "add", "parameters": {}}]])
def test_a_history_and_a_list_of_tools_are_refused(messages: object) -> None:
    with pytest.raises(TypeError, match="give the last assistant message"):
        calls_in(messages)
