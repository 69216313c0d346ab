"""Counts are written out as the rules say: constants, and N of the text a model is shown."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessage

from llmkit.tokens import TokenCount, count_request, count_text, count_tokens

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "What is the weather in Paris?"}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TOOLS_TEXT = (
    "namespace functions {\n\n// Current weather.\ntype get_weather = (_: { city: string }) => any;\n\n"
    "} // namespace functions"
)
HEADER = "# Tools\n\n## functions\n\n"
FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "City", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}},
}
FORMAT_TEXT = '# Response Formats\n\n## City\n\n{"type":"object","properties":{"a":{"type":"string"}}}'


def n(text: str, model: str = "gpt-4o") -> int:
    return count_text(text, model=model)


def call(identity: str, arguments: str = '{"city": "Paris"}', name: str = "get_weather") -> dict[str, Any]:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}


def assistant(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def result(identity: str, content: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content}


def count(*messages: Any, model: str = "gpt-4o", **more: Any) -> TokenCount:
    counted = count_request({"model": model, "messages": messages, **more}, operation="chat.completions")
    parts = (counted.messages, counted.tools, counted.response_format, counted.images, counted.priming)
    assert counted.total == int(counted) == sum(parts)
    assert sum(counted.per_message) == counted.messages + counted.images
    assert len(counted.per_message) == len(messages)
    assert counted.exact == (counted.reason is None)
    return counted


@pytest.mark.parametrize(
    ("model", "priming", "header"), [("gpt-4o", 3, 0), ("gpt-4", 3, 0), ("gpt-5", 2, 2), ("o3-mini", 2, 0)]
)
def test_a_message_costs_four_and_its_text(model: str, priming: int, header: int) -> None:
    for _ in range(2):  # counted, then remembered
        counted = count(SYSTEM, USER, {"role": "assistant", "content": "Sunny"}, model=model)
        figures = [4 + n(text, model) for text in ("Be brief.", USER["content"], "Sunny")]
        figures[2] += header
        assert counted.per_message == tuple(figures)
        assert counted.priming == priming
        assert counted.exact


def test_content_parts_are_one_text_and_images_part_them() -> None:
    text = {"type": "text", "text": "Hel"}
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
    assert count({"role": "user", "content": [text, {"type": "text", "text": "lo"}]}).messages == 4 + n("Hello")
    counted = count({"role": "user", "content": (text, image, "lo")})
    assert counted.messages == 4 + n("Hel") + n("lo")
    assert counted.images == 85
    assert counted.exact


def test_images_need_no_object_around_their_url() -> None:
    image = {"type": "image_url", "image_url": "https://example.com/a.png"}
    counted = count({"role": "user", "content": [image]})
    assert (counted.images, counted.reason) == (85 + 8 * 170, "an image of unknown size")


def test_other_content_is_a_reason_to_doubt() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    odd = {"type": ["x"]}
    counted = count({"role": "user", "content": [audio, audio, odd]}, {"role": "assistant", "audio": {"id": "a"}})
    assert counted.reason == "input_audio content, ['x'] content, audio"


def test_a_name_costs_itself_and_a_colon() -> None:
    assert count({**USER, "name": "bob"}).messages == count(USER).messages + n(":bob")
    assert count(assistant(call("a"), name="bob")).messages == count(assistant(call("a"))).messages + n(":bob")


def test_a_refusal_is_text() -> None:
    assert count({"role": "assistant", "content": None, "refusal": "No."}).messages == 4 + n("No.")
    assert count({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}).messages == 4 + n("No.")


@pytest.mark.parametrize(("model", "extra"), [("gpt-4o", 0), ("gpt-5", 6), ("o3-mini", 0)])
def test_a_call_and_its_result(model: str, extra: int) -> None:
    for _ in range(2):
        counted = count(USER, assistant(call("a")), result("a", "Sunny"), model=model)
        made = 4 + n(" to=functions.get_weather") + n('{"city":"Paris"}') + extra
        assert counted.per_message[1:] == (made, 6 + n("get_weather") + n("Sunny"))
        assert counted.exact


def test_arguments_that_are_not_json_stay_and_text_beside_a_call_is_a_message() -> None:
    counted = count(assistant(call("a", "{oops"), content="Looking."))
    assert counted.messages == 4 + n("Looking.") + 4 + n(" to=functions.get_weather") + n("{oops")
    assert count(assistant(call("a", {"a": 1}))).messages > count(assistant(call("a", ""))).messages  # type: ignore[arg-type]
    deep = "[" * 5000
    assert count(assistant(call("a", deep))).messages > n(deep)


def test_the_legacy_shape_of_calls_and_tools_counts_the_same() -> None:
    legacy = {"role": "assistant", "content": None, "function_call": call("a")["function"]}
    answer = {"role": "function", "name": "get_weather", "content": "Sunny"}
    old = count(USER, legacy, answer, functions=[WEATHER["function"]], function_call={"name": "get_weather"})
    choice = {"type": "function", "function": {"name": "get_weather"}}
    new = count(USER, assistant(call("a")), result("a", "Sunny"), tools=[WEATHER], tool_choice=choice)
    assert old == new


def test_calls_made_together_are_one_and_so_are_their_results() -> None:
    uses = '{"tool_uses":[{"recipient_name":"functions.get_weather","parameters":{"city":"Paris"}},'
    uses += '{"recipient_name":"functions.now","parameters":{}}]}'
    made = 4 + n(" to=multi_tool_use.parallel") + n(uses)
    results = json.dumps([{"sky": "blau"}, "Zwölf"], ensure_ascii=False)
    listed = 6 + n("multi_tool_use.parallel") + n(results)
    both = assistant(call("a"), call("b", "{}", "now"))
    for _ in range(2):
        counted = count(both, result("a", '{"sky":"blau"}'), result("b", "Zwölf"), USER, {**USER, "name": "x"})
        assert counted.per_message[:3] == (made, listed, 0)
        assert count(both, result("a", '{"sky":"blau"}'), result("b", "Zwölf")).per_message == (made, listed, 0)
    assert count(both, model="gpt-5").messages == made + 6
    assert count(both, USER).per_message[0] == made


def test_some_models_see_joined_results_in_ascii() -> None:
    both = assistant(call("a"), call("b"))
    for model, ascii_only in (("gpt-4o", False), ("gpt-4o-mini", True)):
        text = json.dumps(["ö", "3"], ensure_ascii=ascii_only)
        counted = count(both, result("a", "ö"), result("b", "3"), model=model)
        assert counted.per_message[1] == 6 + n("multi_tool_use.parallel") + n(text)


def test_a_result_in_parts_is_counted_on_its_own() -> None:
    parts = [{"type": "text", "text": "Sunny"}]
    counted = count(assistant(call("a"), call("b")), result("a", parts), result("b", parts))
    assert counted.per_message[1:] == (6 + n("get_weather") + n("Sunny"),) * 2


def test_a_result_without_its_call_is_a_reason_to_doubt() -> None:
    counted = count(result("nobody", "Sunny"))
    assert (counted.messages, counted.reason) == (6 + n("Sunny"), "a tool result without its call")
    assert not count(result([], "Sunny")).exact  # type: ignore[arg-type]


def test_custom_tools_are_called_with_text() -> None:
    made = {"id": "a", "type": "custom", "custom": {"name": "run", "input": "x = 1"}}
    assert count(assistant(made)).messages == 4 + n(" to=functions.run") + n("x = 1")
    assert count(assistant({"id": "a"})).messages == 4 + n(" to=functions.None")


def test_tools_continue_the_system_message() -> None:
    counted = count(SYSTEM, USER, tools=[WEATHER])
    assert counted.tools == n(f"Be brief.\n\n{HEADER}{TOOLS_TEXT}") - n("Be brief.") - 1
    assert count({"role": "system", "content": ["Be brief."]}, USER, tools=[WEATHER]) == counted


def test_tools_without_a_system_message_are_one() -> None:
    counted = count(USER, tools=[WEATHER])
    assert counted.tools == 4 + n(HEADER + TOOLS_TEXT) - 1
    assert count(tools=[WEATHER]).tools == counted.tools


@pytest.mark.parametrize(("model", "fixed"), [("gpt-5", 93), ("gpt-5.4", 93), ("o4-mini", 12)])
def test_harmony_tools_are_a_section(model: str, fixed: int) -> None:
    section = TOOLS_TEXT.removeprefix("namespace functions {\n\n")
    assert count(USER, tools=[WEATHER], tool_choice="none", model=model).tools == fixed + n(section)
    joined = n("Be brief.\n\n") - n("Be brief.") - 1
    assert count(SYSTEM, USER, tools=[WEATHER], model=model).tools == fixed + n(section) + joined


def test_custom_tools_are_a_section_in_every_family() -> None:
    tool = {"type": "custom", "custom": {"name": "run", "format": {"type": "grammar", "definition": "a: b"}}}
    text = "type run = (FREEFORM) => any;\n\n} // namespace functions"
    assert count(USER, tools=[tool], model="gpt-5").tools == 93 + 13 + n(text) + 35 + n("// a: b")
    assert count(USER, tools=[tool]).tools == 13 + n(text) + 35 + n("// a: b")


@pytest.mark.parametrize(
    ("choice", "extra"),
    [
        ("auto", 0),
        ("required", 0),
        (None, 0),
        ("none", 1),
        ({"type": "function", "function": {"name": "get_weather"}}, 5 + 4),
        ({"type": "allowed_tools"}, 0),
    ],
)
def test_a_choice_of_tool(choice: Any, extra: int) -> None:
    assert n(" to=functions.get_weather") == 5
    assert count(USER, tools=[WEATHER], tool_choice=choice).tools == count(USER, tools=[WEATHER]).tools + extra
    assert count(USER, tool_choice=choice).tools == 0


def test_a_response_format_follows_the_tools() -> None:
    counted = count(SYSTEM, USER, {"role": "assistant", "content": "Paris"}, response_format=FORMAT)
    assert counted.response_format == n(f"Be brief.\n\n{FORMAT_TEXT}") - n("Be brief.")
    assert counted.priming == 3 + 2 + n("City")
    assert counted.per_message[2] == 4 + n("Paris") + 2 + n("City")
    with_tools = count(SYSTEM, USER, tools=[WEATHER], response_format=FORMAT)
    joined = f"Be brief.\n\n{HEADER}{TOOLS_TEXT}"
    assert with_tools.response_format == n(f"{joined}\n\n{FORMAT_TEXT}") - n(joined)
    assert with_tools.priming == 3
    assert count(USER, response_format=FORMAT).response_format == 4 + n(FORMAT_TEXT)


def test_a_response_format_of_harmony_is_a_section() -> None:
    counted = count(SYSTEM, USER, {"role": "assistant", "content": "Paris"}, response_format=FORMAT, model="gpt-5")
    assert counted.response_format == n(FORMAT_TEXT) + 4
    assert counted.priming == 2
    assert counted.per_message[2] == 4 + 2 + n("Paris") + 2 + n("City")


def test_json_mode_costs_nothing() -> None:
    assert count(USER, response_format={"type": "json_object"}) == count(USER)


def test_a_format_may_lack_its_name() -> None:
    assert count(USER, response_format={"type": "json_schema", "json_schema": {"schema": {}}}).response_format > 4


def test_the_sdks_own_messages_are_taken() -> None:
    plain = assistant(call("a"))
    given = ChatCompletionMessage.model_validate(plain)
    assert count(USER, given, result("a", "1")) == count(USER, plain, result("a", "1"))
    tool_call = given.tool_calls[0] if given.tool_calls else None
    assert count({"role": "assistant", "tool_calls": [tool_call]}) == count(plain)


def test_what_only_the_server_knows_is_a_reason_to_doubt() -> None:
    assert count(USER, web_search_options={}).reason == "web search"
    assert count(USER, tools=[{"type": "mcp", "server_label": "x"}]).reason == "mcp tool"
    assert count(USER, model="nobody-1").reason == "an unknown model"
    assert count({"role": "critic", "content": "x"}).reason == "the role 'critic'"
    bounded = {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}}
    assert count(USER, tools=[{"type": "function", "function": {"name": "f", "parameters": bounded}}]).reason == (
        "a tool's schema"
    )


def test_an_edit_in_place_is_noticed() -> None:
    message = {"role": "user", "content": "one"}
    messages = [SYSTEM, message]
    before = count_tokens(messages, model="gpt-4o")
    message["content"] = "one two three"
    assert count_tokens(messages, model="gpt-4o").total == before.total - n("one") + n("one two three")


CIRCULAR: dict[str, Any] = {"type": "object"}
CIRCULAR["properties"] = {"a": CIRCULAR}
DEEP: dict[str, Any] = {"type": "string"}
for _ in range(600):
    DEEP = {"type": "object", "properties": {"a": DEEP}}


@pytest.mark.parametrize("schema", [CIRCULAR, DEEP, {"enum": [{1, 2}]}, {"default": object()}])
def test_schemas_that_are_not_json_are_value_errors(schema: Any) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": schema}, **schema}}}]
    with pytest.raises(ValueError, match="tools cannot be written as JSON"):
        count(USER, tools=tools)
    form = {"type": "json_schema", "json_schema": {"name": "f", "schema": schema}}
    with pytest.raises(ValueError, match="the schema of the response format cannot be written as JSON"):
        count(USER, response_format=form)


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        (iter([USER]), "messages is a list_iterator: give a list"),
        (["hi"], r"messages\[0\] is a str: give a dict"),
        ([USER, 5], r"messages\[1\] is a int"),
        ([USER, ChatCompletionMessage], r"messages\[1\] is a "),
        ([{"role": "user", "content": iter("ab")}], r"messages\[0\].content is a str_"),
        ([{"role": "user", "content": 5}], r"messages\[0\].content is a int: give a string"),
        ([{"role": "user", "content": [5]}], r"a part of messages\[0\].content is a int"),
        ([{"role": "user", "content": [{"type": "text"}]}], r"the text of a part of messages\[0\].content is a None"),
        ([{"role": "assistant", "tool_calls": 5}], r"the tool_calls of messages\[0\] is a int"),
        ([{"role": "assistant", "tool_calls": [5]}], r"a tool call of messages\[0\] is a int"),
        ([{"role": "assistant", "function_call": 5}], r"the function_call of messages\[0\] is a int"),
    ],
)
def test_what_cannot_be_counted_is_named(messages: Any, error: str) -> None:
    with pytest.raises(TypeError, match=error):
        count_tokens(messages, model="gpt-4o")


@pytest.mark.parametrize("role", [None, [], 5])
def test_a_message_needs_a_role(role: Any) -> None:
    with pytest.raises(ValueError, match=r"messages\[0\] has the role .*: give one of assistant, developer"):
        count({"role": role, "content": "x"})


def test_empty_is_the_priming() -> None:
    assert count().total == 3
    assert count_request({"model": "gpt-4o"}, operation="chat.completions").total == 3
    assert count({"role": "assistant", "content": None}).messages == 4
