from __future__ import annotations

import threading
from typing import Annotated, Any

import pytest
from openai.types.chat import ChatCompletionFunctionToolParam
from openai.types.responses import FunctionToolParam
from pydantic import AfterValidator, TypeAdapter

from llmkit.tokens import count_tokens
from llmkit.tools.call import ToolCall
from llmkit.tools.definition import declared, tool, tool_of
from llmkit.tools.errors import InvalidTool, UnknownTool
from llmkit.tools.registry import ToolRegistry


def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


async def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@tool(name="minus", timeout=3, needs_approval=True)
def subtract(a: int, b: int) -> int:
    """Subtract."""
    return a - b


def refused(code: str) -> str:
    raise ValueError("not that")


def test_functions_come_back_as_they_were() -> None:
    registry = ToolRegistry()
    assert registry.tool(add) is add
    assert registry.tool(timeout=5, name="times")(multiply) is multiply
    assert registry.names == ["add", "times"]
    assert registry["times"].options.timeout == 5


def test_params_are_what_both_apis_take() -> None:
    registry = ToolRegistry([add, multiply])
    for param in registry.params:
        TypeAdapter(ChatCompletionFunctionToolParam).validate_python(param)
    for param in registry.responses_params:
        TypeAdapter(FunctionToolParam).validate_python(param)
    assert [param["function"]["name"] for param in registry.params] == ["add", "multiply"]
    assert [param["name"] for param in registry.responses_params] == ["add", "multiply"]
    assert ToolRegistry().params == ToolRegistry().responses_params == []


def test_params_follow_the_registry_and_changing_the_list_changes_nothing() -> None:
    registry = ToolRegistry([add])
    registry.params.append({"type": "web_search"})
    assert len(registry.params) == 1
    registry.add(multiply)
    assert len(registry.params) == len(registry.responses_params) == 2


def test_options_win_over_those_of_the_decorator_even_when_they_are_the_default() -> None:
    options = ToolRegistry().add(subtract, timeout=None, needs_approval=False, max_retries=1).options
    assert (options.name, options.timeout, options.needs_approval, options.max_retries) == ("minus", None, False, 1)
    assert ToolRegistry([subtract])["minus"].options.needs_approval


def test_a_tool_may_be_added_under_another_name() -> None:
    registry = ToolRegistry([add])
    renamed = registry.add(registry["add"], name="plus", description="Plus.", strict=None)
    assert (renamed.name, renamed.description, registry["add"].name) == ("plus", "Plus.", "add")
    assert registry.params[1]["function"]["name"] == "plus"
    assert registry.add(registry["add"], name="again").function is add
    with pytest.raises(InvalidTool, match=r"strict=False is too late for the tool 'add'"):
        ToolRegistry().add(registry["add"], strict=not registry["add"].strict)


@tool(show_errors=True)
def open_door(code: Annotated[str, AfterValidator(refused)]) -> None:
    """Open the door."""


@pytest.mark.parametrize("given", [open_door, tool_of(open_door)], ids=["function", "tool"])
async def test_showing_errors_can_be_turned_off_and_on_again(given: Any) -> None:
    for shown, text in ((False, "code: Input is not valid"), (True, "code: Value error, not that")):
        registry = ToolRegistry()
        registry.add(given, show_errors=shown)
        [result] = await registry.dispatch([ToolCall(id="1", name="open_door", arguments='{"code": "1"}')])
        assert result.text == text


@pytest.mark.parametrize("given", [subtract, tool_of(subtract)], ids=["function", "tool"])
def test_a_description_may_be_taken_away(given: Any) -> None:
    added = ToolRegistry().add(given, description="")
    assert "description" not in added.responses_param


class Adder:
    def __call__(self, a: int) -> int:
        return a


@pytest.mark.parametrize(
    ("second", "place"),
    [(add, "test_registry.add"), (Adder(), "test_registry.Adder"), (None, "a declared one")],
    ids=["function", "object", "declared"],
)
def test_a_name_is_given_once_and_both_owners_are_named(second: Any, place: str) -> None:
    registry = ToolRegistry([add])
    if second is None:
        second = declared("add", parameters={})
    with pytest.raises(InvalidTool, match=r"two tools are named 'add': .*test_registry\.add and ") as caught:
        registry.add(second, name="add")
    assert place in str(caught.value).partition(" and ")[2]
    assert registry.names == ["add"]
    with pytest.raises(InvalidTool, match="two tools"):
        registry.add(registry["add"])
    with pytest.raises(InvalidTool, match="two tools"):
        ToolRegistry([add, add])


def test_registries_merge_into_a_new_one_with_the_settings_of_the_first() -> None:
    one, two = ToolRegistry([add], timeout=7), ToolRegistry([multiply, subtract])
    for merged in (one | two, one.merge(two), ToolRegistry([one, two], timeout=7)):
        assert merged.names == ["add", "multiply", "minus"]
        assert merged.limits.timeout == 7
    assert one.names == ["add"]
    with pytest.raises(InvalidTool, match="two tools"):
        one.merge(one)


def test_a_subset_has_the_named_tools_and_the_settings() -> None:
    registry = ToolRegistry([add, multiply], timeout=7)
    part = registry.subset("multiply")
    assert (part.names, part.limits) == (["multiply"], registry.limits)
    with pytest.raises(UnknownTool, match="there is no tool 'divide'; the tools are add, multiply"):
        registry.subset("divide")


def test_a_registry_is_read_like_a_collection() -> None:
    registry = ToolRegistry([add, multiply])
    assert "add" in registry
    assert 7 not in registry
    assert len(registry) == 2
    assert [tool.name for tool in registry] == registry.names
    with pytest.raises(LookupError, match="'ad'"):
        registry["ad"]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"max_concurrency": 0}, "max_concurrency=0 leaves room for nothing"),
        ({"max_result_tokens": 0}, "max_result_tokens=0 leaves room for nothing"),
        ({"timeout": 0}, "timeout=0 leaves no time"),
        ({"timeout": float("nan")}, "timeout=nan leaves no time"),
    ],
)
def test_impossible_settings_are_named(settings: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ToolRegistry(**settings)


def test_the_cost_of_the_tools_is_what_they_add_to_a_request() -> None:
    registry = ToolRegistry([add, multiply])
    messages = [{"role": "user", "content": "What is 2 + 2?"}]
    with_tools = count_tokens(messages, model="gpt-4o", tools=registry.params).total
    assert registry.count_tokens("gpt-4o") == with_tools - count_tokens(messages, model="gpt-4o").total > 0
    assert ToolRegistry().count_tokens("gpt-4o") == 0


async def test_a_message_is_answered_by_messages_in_the_order_of_its_calls() -> None:
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}},
        {"id": "c2", "type": "function", "function": {"name": "multiply", "arguments": '{"a":3,"b":4}'}},
    ]
    registry = ToolRegistry([add, multiply])
    assert await registry.run({"role": "assistant", "content": None, "tool_calls": calls}) == [
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
        {"role": "tool", "tool_call_id": "c2", "content": "12"},
    ]
    assert await registry.run({"role": "assistant", "content": "Hi"}) == []


async def test_who_approves_one_run_wins_over_who_approves_all() -> None:
    registry = ToolRegistry([subtract], approve=lambda call: False)
    call = ToolCall(id="c", name="minus", arguments='{"a":3,"b":1}')
    assert registry.approve is not None
    assert (await registry.dispatch([call]))[0].error == "denied"
    assert (await registry.dispatch([call], approve=lambda call: True))[0].text == "2"


def test_tools_may_be_added_from_many_threads_while_others_read() -> None:
    registry = ToolRegistry()

    def fill(start: int) -> None:
        for index in range(start, start + 50):
            registry.declare(f"t{index}", parameters={})
            assert len(registry.params) >= 1

    threads = [threading.Thread(target=fill, args=(start,)) for start in range(0, 200, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(registry) == len(registry.params) == 200


@pytest.mark.parametrize("tools", [len, "add", 3, declared("add", parameters={})])
def test_what_is_no_list_of_tools_is_named(tools: Any) -> None:
    with pytest.raises(TypeError, match=r"tools=.* is no list; give ToolRegistry\(\[...\]\)"):
        ToolRegistry(tools)


def test_a_hook_that_cannot_be_called_is_named() -> None:
    with pytest.raises(TypeError, match="approve='pay' cannot be called"):
        ToolRegistry(approve="pay")  # type: ignore[arg-type]
