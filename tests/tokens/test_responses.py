from __future__ import annotations

from typing import Any

import pytest
from openai.types.responses import ResponseFunctionToolCall

from llmkit.tokens import TokenCount, count_request, count_text
from llmkit.tokens.tools_text import functions_text

TOOL = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TEXT = functions_text([TOOL], chat=False)[0]
FORMAT = {"format": {"type": "json_schema", "name": "City", "schema": {"type": "object"}}}
FORMAT_TEXT = '# Response Formats\n\n## City\n\n{"type":"object"}'
USER = {"role": "user", "content": "Hello there"}


def n(text: str, model: str = "gpt-4o") -> int:
    return count_text(text, model=model)


def count(given: Any, model: str = "gpt-4o", **more: Any) -> TokenCount:
    counted = count_request({"model": model, "input": given, **more}, operation="responses")
    parts = (counted.messages, counted.tools, counted.response_format, counted.images, counted.priming)
    assert counted.total == sum(parts)
    assert len(counted.per_message) == (1 if isinstance(given, str) else len(given or ()))
    return counted


def call(identity: str, **more: Any) -> dict[str, Any]:
    arguments = '{"city": "Paris"}'
    return {"type": "function_call", "call_id": identity, "name": "get_weather", "arguments": arguments, **more}


def output(identity: str, text: Any = "Sunny") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": identity, "output": text}


@pytest.mark.parametrize(("model", "priming"), [("gpt-4o", 3), ("gpt-4", 2), ("gpt-5", 2), ("o4-mini", 2)])
def test_a_string_is_a_user_message_and_instructions_one_more(model: str, priming: int) -> None:
    counted = count("Hello there", model, instructions="Be brief.")
    assert counted.total == 4 + n("Hello there", model) + 4 + n("Be brief.", model) + priming
    assert counted.per_message == (4 + n("Hello there", model),)
    assert counted.exact
    assert count(None, model).total == priming


def test_messages_may_have_parts_and_an_assistant_a_header() -> None:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
    assert count([USER, said]).per_message == (4 + n("Hello there"), 4 + n("Hi"))
    assert count([USER, said], "gpt-5").per_message == (4 + n("Hello there"), 4 + 2 + n("Hi"))


def test_images_are_parts() -> None:
    image = {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"}
    counted = count([{"role": "user", "content": [image]}])
    assert (counted.images, counted.messages, counted.per_message) == (85, 4, (89,))


def test_tools_are_apart() -> None:
    section = TEXT.removeprefix("namespace functions {\n\n")
    assert count([{"role": "system", "content": "x"}], tools=[TOOL]).tools == 4 + n(TEXT) - 1
    assert count("x", "gpt-5", tools=[TOOL]).tools == 11 + n(section)
    assert count("x", "o4-mini", tools=[TOOL]).tools == 8 + n(section)
    assert count("x", "gpt-5", tools=[TOOL], parallel_tool_calls=False).tools == 11 + n(section) + 78
    assert count("x", "gpt-5", parallel_tool_calls=False).tools == 0


def test_one_required_tool_costs_as_much_as_a_named_one() -> None:
    free = count("x", tools=[TOOL]).tools
    named = {"type": "function", "name": "get_weather"}
    forced = free + n(" to=functions.get_weather") + 4
    assert count("x", tools=[TOOL], tool_choice=named).tools == forced
    assert count("x", tools=[TOOL], tool_choice="required").tools == forced
    two = [TOOL, {**TOOL, "name": "other"}]
    assert count("x", tools=two, tool_choice="required").tools == count("x", tools=two).tools
    assert count("x", "gpt-5", tools=[TOOL], tool_choice=named) == count("x", "gpt-5", tools=[TOOL])


def test_a_response_format() -> None:
    assert count("x", text=FORMAT).response_format == n(FORMAT_TEXT) + 1
    assert count("x", "gpt-5", text=FORMAT).response_format == n(FORMAT_TEXT)
    assert count("x", text=FORMAT).priming == 3
    assert count("x", text={"format": {"type": "text"}}).response_format == 0
    assert count("x", text={"verbosity": "low"}).response_format == 0


@pytest.mark.parametrize(("model", "made", "answered"), [("gpt-4o", 0, 3), ("gpt-5", 4, 5), ("gpt-5.4", 7, 5)])
def test_a_call_and_its_output(model: str, made: int, answered: int) -> None:
    counted = count([USER, call("a"), output("a")], model)
    called = 4 + n(" to=functions.get_weather") + n('{"city":"Paris"}') + made
    assert counted.per_message[1:] == (called, answered + n("functions.get_weather") + n("Sunny"))
    assert counted.exact
    parts = [{"type": "input_text", "text": "Sunny"}]
    assert count([USER, call("a"), output("a", parts)], model) == counted


def test_calls_in_a_row_stay_apart_until_gpt_5_4() -> None:
    items = [USER, call("a"), call("b"), output("a"), output("b")]
    one = 4 + n(" to=functions.get_weather") + n('{"city":"Paris"}')
    assert count(items).per_message[1:3] == (one, one)
    use = '{"recipient_name":"functions.get_weather","parameters":{"city":"Paris"}}'
    merged = 4 + n(" to=multi_tool_use.parallel") + n(f'{{"tool_uses":[{use}, {use}]}}') + 7
    assert count(items, "gpt-5.4").per_message[1:3] == (merged, 0)
    assert count(items, "gpt-5.4").exact


def test_a_call_the_server_has_stored_costs_what_was_sampled() -> None:
    plain, stored = [USER, call("a")], [USER, call("a", id="fc_1")]
    assert count(stored).total == count(plain).total + 3
    assert count(stored).reason == "a stored tool call"
    assert count(stored, store=False) == count(plain)
    assert count(stored, "gpt-5.4").total == count(plain, "gpt-5.4").total
    two = [USER, call("a", id="fc_1"), call("b", id="fc_2")]
    assert count(two).messages == count([USER, call("a"), call("b")]).messages


def test_reasoning_counts_in_a_tool_loop_and_for_good_in_the_latest() -> None:
    item = {"type": "reasoning", "summary": [], "encrypted_content": "x" * 1350}
    assert count([USER, item, call("a"), output("a")], "gpt-5").per_message[1] == 2 + 100
    assert count([item, USER], "gpt-5").per_message[0] == 0
    assert count([item, USER], "gpt-5").exact
    assert count([item, USER], "gpt-5.6").per_message[0] == 2 + 100
    assert count([USER, {"type": "reasoning"}], "gpt-5").per_message[1] == 2
    assert count([USER, item], "gpt-5").reason == "reasoning items"


def test_custom_calls_and_other_items_are_reasons_to_doubt() -> None:
    made = {"type": "custom_tool_call", "call_id": "a", "name": "run", "input": "x"}
    answer = {"type": "custom_tool_call_output", "call_id": "a", "output": "y"}
    counted = count([made, answer, {"type": "item_reference", "id": "i"}, output("nobody")])
    assert counted.per_message[:2] == (4 + n(" to=functions.run") + n("x"), 3 + n("functions.run") + n("y"))
    assert counted.reason == "a custom tool call, item_reference, a tool result without its call"
    assert counted.per_message[2] > 4
    assert count([{"role": "critic", "content": "x"}]).reason == "the role 'critic'"
    assert count([call("a", arguments={"a": 1})]).messages > count([call("a", arguments=None)]).messages


@pytest.mark.parametrize("key", ["previous_response_id", "conversation", "prompt"])
def test_what_is_on_the_server_cannot_be_counted(key: str) -> None:
    assert count("x", **{key: "some_1"}).reason == key
    assert count("x", **{key: None}).exact
    assert count("x", tools=[{"type": "web_search"}]).reason == "web_search tool"


def test_the_sdks_own_items_are_taken() -> None:
    item = ResponseFunctionToolCall.model_validate(call("a"))
    assert count([USER, item, output("a")]) == count([USER, call("a"), output("a")])


CIRCULAR: dict[str, Any] = {"type": "web_search_call"}
CIRCULAR["action"] = CIRCULAR


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ({"input": 5}, TypeError, "input is a int"),
        ({"input": iter([USER])}, TypeError, "input is a list_iterator"),
        ({"input": [5]}, TypeError, r"input\[0\] is a int"),
        ({"input": [{"content": "x"}]}, ValueError, r"input\[0\] has the role None"),
        ({"input": "x", "instructions": 5}, TypeError, "instructions is a int: give a string"),
        ({"input": "x", "text": 5}, TypeError, "text is a int"),
        ({"input": [CIRCULAR]}, ValueError, r"input\[0\] cannot be written as JSON"),
    ],
)
def test_what_cannot_be_counted_is_named(body: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        count_request({"model": "gpt-4o", **body}, operation="responses")
