from __future__ import annotations

from typing import Any

import pytest

from llmkit.guidance.pairing import unpaired

USER = {"role": "user", "content": "x"}


def calls(*ids: str) -> dict[str, Any]:
    made = [{"id": i, "type": "function", "function": {"name": "f", "arguments": "{}"}} for i in ids]
    return {"role": "assistant", "content": None, "tool_calls": made}


def result(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "1"}


def called(call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"}


def output(call_id: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": "1"}


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        ([], None),
        ([USER, calls("a", "b"), result("b"), result("a"), USER], None),
        ([USER, calls("a", "b"), result("b"), USER], (1, False)),
        ([USER, calls("a"), USER, result("a")], (1, False)),
        ([USER, calls("a")], (1, False)),
        ([USER, result("a")], (1, True)),
        ([calls("a"), result("a"), USER, result("a")], (3, True)),
        ([calls("a"), result("b")], (1, True)),
        ([{"role": "assistant", "function_call": {"name": "f"}}, {"role": "function", "name": "f"}], None),
        ([{"role": "assistant", "function_call": {"name": "f"}}, USER], None),
    ],
)
def test_in_chat_a_result_stands_right_behind_its_call(messages: list[Any], found: tuple[int, bool] | None) -> None:
    assert unpaired({"messages": messages}) == (None if found is None else ("messages", *found))


@pytest.mark.parametrize(
    ("items", "found"),
    [
        ([USER, called("a"), called("b"), output("b"), output("a")], None),
        ([called("a"), USER, output("a")], None),
        ([USER, called("a"), called("b"), output("b")], (1, False)),
        ([USER, output("a")], (1, True)),
    ],
)
def test_in_responses_a_call_stands_somewhere_before_its_result(
    items: list[Any], found: tuple[int, bool] | None
) -> None:
    assert unpaired({"input": items}) == (None if found is None else ("input", *found))


@pytest.mark.parametrize("held", [{"previous_response_id": "resp_1"}, {"conversation": "conv_1"}])
def test_calls_that_the_server_has_are_not_missed(held: dict[str, str]) -> None:
    assert unpaired({"input": [output("a")], **held}) is None


def test_a_body_without_a_list_of_messages_has_nothing_to_pair() -> None:
    assert unpaired({}) is None
    assert unpaired({"input": "text"}) is None
