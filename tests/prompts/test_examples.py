from __future__ import annotations

from typing import Any

import pytest

from llmkit.context import InvalidHistory
from llmkit.prompts import few_shot

CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a":2,"b":2}'}}
WITH_A_TOOL: list[dict[str, Any]] = [
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "1", "content": "4"},
    {"role": "assistant", "content": "4"},
]


def test_pairs_and_turns_with_tools_become_messages_after_the_instructions() -> None:
    messages = few_shot([("Hi", "Hello."), WITH_A_TOOL], system="Be brief.")
    assert messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        *WITH_A_TOOL,
    ]
    messages[4]["tool_calls"][0]["id"] = "changed"
    assert CALL["id"] == "1"
    assert few_shot([]) == []


@pytest.mark.parametrize(
    ("example", "error", "words"),
    [
        ("no", TypeError, r"examples\[1\] is a text"),
        (("a", 1), TypeError, r"examples\[1\] is neither"),
        (("a", "b", "c"), TypeError, r"examples\[1\] is neither"),
        ([], ValueError, "must begin with a user message"),
        (WITH_A_TOOL[1:], ValueError, "must begin with a user message"),
        (WITH_A_TOOL[:3], ValueError, "end with the assistant's answer"),
        (WITH_A_TOOL[:2], ValueError, "end with the assistant's answer"),
        ([*WITH_A_TOOL[:2], WITH_A_TOOL[3]], InvalidHistory, "tool call '1'"),
        ([WITH_A_TOOL[0], *WITH_A_TOOL[2:]], InvalidHistory, "tool call '1'"),
    ],
)
def test_an_example_that_no_history_could_have_is_named(example: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        few_shot([("Hi", "Hello."), example])
