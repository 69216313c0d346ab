"""The tools of a loop, in whatever form they are given."""

from __future__ import annotations

from typing import Any

import pytest
from tools.loop.loops import Way, all_of, outputs, ways

from llmkit.testing import FakeOpenAI
from llmkit.tools.definition import tool_of
from llmkit.tools.errors import InvalidTool
from llmkit.tools.loop.toolset import Toolset
from llmkit.tools.registry import ToolRegistry

SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}}
CHAT = {"type": "function", "function": {"name": "search", "description": "Find.", "parameters": SCHEMA, "x": 1}}
FLAT = {"type": "function", "name": "search", "description": "Find.", "parameters": SCHEMA, "strict": True, "x": 1}
CHAT_CUSTOM = {"type": "custom", "custom": {"name": "shout"}}


def add(a: int = 1) -> int:
    """Add one."""
    return a + 1


def look() -> str:
    """Look."""
    return "seen"


def test_functions_tools_registries_and_dicts_are_taken_together() -> None:
    registry = ToolRegistry([look])
    tools: list[Any] = [add, registry, CHAT, CHAT_CUSTOM, tool_of(test_a_choice_for_the_api_goes_as_it_is)]
    toolset = Toolset(tools, api="chat")
    assert toolset.registry.names == ["look", "add", "search", "shout", "test_a_choice_for_the_api_goes_as_it_is"]
    assert toolset.params[2:4] == [CHAT, CHAT_CUSTOM]
    assert registry.names == ["look"]
    assert toolset.choice("shout", first=True) == {"type": "custom", "custom": {"name": "shout"}}


def test_a_registry_alone_is_used_as_it_is() -> None:
    registry = ToolRegistry([look])
    assert Toolset(registry, api="chat").registry is registry


def test_a_function_written_for_the_other_api_is_rewritten() -> None:
    [for_chat] = Toolset([FLAT], api="chat").params
    assert for_chat["function"]["name"] == "search"
    assert for_chat["function"]["strict"] is True
    [for_responses] = Toolset([CHAT], api="responses").params
    assert for_responses["name"] == "search"
    assert for_responses["parameters"] == SCHEMA
    assert Toolset([FLAT], api="responses").params == [FLAT]
    assert (
        Toolset([{"type": "function", "name": "f"}], api="chat").params[0]["function"]["parameters"]["properties"] == {}
    )


@ways
async def test_the_settings_of_the_first_registry_hold_for_all(way: Way) -> None:
    def long() -> str:
        """Write."""
        return "word " * 1000

    fake = FakeOpenAI().reply(tool_calls=[("long", {})]).reply("Cut.")
    tools: list[Any] = [long, ToolRegistry([look], max_result_tokens=50)]
    final = (await all_of(way.loop(fake, tools=tools)))[-1]
    assert len(outputs(final.messages)[0]) < 1000


@pytest.mark.parametrize("tools", [add, "add", CHAT, 5, tool_of(add)])
def test_a_tool_that_is_not_in_a_list_is_refused(tools: Any) -> None:
    with pytest.raises(TypeError, match=r"is no list; give tools=\[...\] or a ToolRegistry"):
        Toolset(tools, api="chat")


def test_dicts_that_are_no_tools_are_refused() -> None:
    with pytest.raises(TypeError, match="a dict without a type"):
        Toolset([{"name": "x"}], api="chat")
    with pytest.raises(TypeError, match="a function without a name"):
        Toolset([{"type": "function", "function": {}}], api="chat")
    with pytest.raises(InvalidTool, match="search"):
        Toolset([FLAT, FLAT], api="chat")


def test_a_choice_for_the_api_goes_as_it_is() -> None:
    """Look at the choices."""
    toolset = Toolset([add], api="chat")
    forced = {"type": "function", "function": {"name": "add"}}
    toolset.check_choice(forced)
    assert toolset.choice(forced, first=True) == forced
    assert toolset.choice(forced, first=False) == "auto"
    for choice in (None, "auto", "none"):
        toolset.check_choice(choice)
        assert toolset.choice(choice, first=True) == toolset.choice(choice, first=False) == choice


def test_tools_that_are_allowed_stay_the_only_ones_but_are_no_longer_required() -> None:
    names = [{"type": "function", "name": "add"}]
    flat = {"type": "allowed_tools", "mode": "required", "tools": names}
    nested = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": names}}
    toolset = Toolset([add], api="responses")
    assert toolset.choice(flat, first=True) == flat
    assert toolset.choice(flat, first=False) == {**flat, "mode": "auto"}
    assert toolset.choice(nested, first=False) == {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": names},
    }
