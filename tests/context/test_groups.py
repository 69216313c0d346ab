from __future__ import annotations

from typing import Any

import pytest

from llmkit.context import InvalidHistory
from llmkit.context.groups import SUMMARY_PREFIX, head_length, spans

U = {"role": "user", "content": "u"}
A = {"role": "assistant", "content": "a"}
S = {"role": "system", "content": "s"}


def call(*ids: str) -> dict[str, Any]:
    function = {"name": "f", "arguments": "{}"}
    return {"role": "assistant", "tool_calls": [{"id": one, "type": "function", "function": function} for one in ids]}


def tool(one: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": one, "content": "r"}


def item(kind: str, one: str | None = None, **more: Any) -> dict[str, Any]:
    return {"type": kind, "call_id": one, **more}


def groups(*items: Any, head: int = 0) -> list[tuple[int, int]]:
    return list(spans(items, head=head))[::-1]


R = {"type": "reasoning", "id": "rs", "summary": []}
M = {"type": "message", "role": "assistant", "id": "msg", "content": []}
REF = {"type": "item_reference", "id": "x"}


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], []),
        ([U, A, S], [(0, 1), (1, 2), (2, 3)]),
        ([U, call("1", "2"), tool("2"), tool("1"), A], [(0, 1), (1, 4), (4, 5)]),
        ([call("1"), tool("1"), call("1"), tool("1")], [(0, 2), (2, 4)]),  # ids that come again
        (
            [{"role": "assistant", "function_call": {"name": "f"}}, {"role": "function", "name": "f"}, U],
            [(0, 2), (2, 3)],
        ),
        ([item("function_call", "1"), U, item("function_call_output", "1")], [(0, 3)]),
        ([R, item("function_call", "1"), item("function_call_output", "1"), R, M], [(0, 3), (3, 5)]),
        ([U, R, R, M, item("custom_tool_call", "1"), item("custom_tool_call_output", "1")], [(0, 1), (1, 6)]),
        ([M, M, M, U, R], [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]),
        ([M, R, R], [(0, 1), (1, 3)]),
        ([item("tool_search_call"), item("tool_search_output"), U], [(0, 2), (2, 3)]),
        (
            [
                {"type": "mcp_approval_request", "id": "9"},
                {"type": "mcp_approval_response", "approval_request_id": "9"},
            ],
            [(0, 2)],
        ),
        (
            [
                item("program", "p"),
                item("function_call", "1", caller={"type": "program", "caller_id": "p"}),
                item("function_call_output", "1"),
                item("program_output", "p"),
            ],
            [(0, 4)],
        ),
        ([item("function_call", "1", caller={"type": "direct"}), item("function_call_output", "1")], [(0, 2)]),
        ([item("function_call", "1", **{"async": True}), U], [(0, 1), (1, 2)]),  # its result may come later
        ([item("web_search_call"), M], [(0, 1), (1, 2)]),
        ([U, REF, REF, item("function_call_output", "1")], [(0, 1), (1, 4)]),  # a reference may be the call
    ],
)
def test_what_belongs_together_is_one_group(items: list[Any], expected: list[tuple[int, int]]) -> None:
    assert groups(*items) == expected


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([U, tool("call_7"), U], r"messages\[1\] is the result of the tool call 'call_7', but no message before"),
        ([U, call("a", "b"), tool("a")], r"messages\[1\] makes the tool call 'b', but no message after it"),
        ([item("function_call", "z")], "'z'"),
        ([R, item("function_call", "z"), M], r"messages\[1\] makes the tool call 'z'"),
    ],
)
def test_a_call_without_its_result_is_named(items: list[Any], says: str) -> None:
    with pytest.raises(InvalidHistory, match=says):
        groups(*items)


def test_the_head_is_the_leading_instructions() -> None:
    compaction = {"type": "compaction", "encrypted_content": "x"}
    summary = {"role": "system", "content": SUMMARY_PREFIX + "..."}
    assert head_length([S, {"role": "developer", "content": "d"}, compaction, U, S]) == 3
    assert head_length([S]) == 1
    assert head_length([S, summary, U]) == 1
    assert head_length([]) == 0
