from __future__ import annotations

import asyncio
import pickle
from collections import UserDict
from typing import Any

import pytest

from llmkit import LLMKitError
from llmkit.context import (
    ContextLengthExceeded,
    DropOldest,
    Group,
    InvalidHistory,
    MiddleOut,
    Summarize,
    TruncateLongest,
    trim_body,
    trim_messages,
)
from llmkit.tokens import count_request

MODEL = "gpt-4o-mini"
SYSTEM = {"role": "system", "content": "Be brief."}


def turns(count: int, words: int = 20) -> list[dict[str, Any]]:
    """A system message, `count` turns of two messages each and a question; about `words` tokens a message."""
    said = [
        {"role": role, "content": f"{role} {number}:" + " word" * words}
        for number in range(count)
        for role in ("user", "assistant")
    ]
    return [SYSTEM, *said, {"role": "user", "content": "And now?"}]


def total(messages: Any, **body: Any) -> int:
    return count_request({"model": MODEL, "messages": messages, **body}, operation="chat.completions").total


def trim(messages: Any, max_tokens: Any, **more: Any) -> list[Any]:
    return trim_messages(messages, max_tokens=max_tokens, model=MODEL, **more)


def test_the_oldest_messages_go_and_the_budget_is_used() -> None:
    history = turns(50)
    result = trim(history, 500)
    assert result == [SYSTEM, *history[-(len(result) - 1) :]]
    assert 460 < total(result) <= 500


def test_tools_and_response_format_are_counted() -> None:
    history = turns(50)
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
    tools = [{"type": "function", "function": {"name": "f", "description": "Does it. " * 20, "parameters": schema}}]
    form = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
    result = trim(history, 500, tools=tools, response_format=form)
    assert total(result, tools=tools, response_format=form) <= 500
    assert len(result) < len(trim(history, 500, tools=tools)) < len(trim(history, 500))
    text = trim_messages(
        history[1:], max_tokens=500, model="gpt-5", operation="responses", response_format={"name": "r", **form}
    )
    assert len(text) < len(history)


def test_nothing_to_trim() -> None:
    assert trim([], 10) == []
    assert trim([SYSTEM], 50) == [SYSTEM]
    assert trim_body({"model": "gpt-5", "prompt": {"id": "p"}}, max_tokens=9, operation="responses") == {
        "model": "gpt-5",
        "prompt": {"id": "p"},
    }


def test_the_body_is_copied_with_new_messages() -> None:
    body = {"model": MODEL, "messages": turns(50), "temperature": 0}
    result = trim_body(body, max_tokens=500, operation="chat.completions", strategy=DropOldest())
    assert result == {**body, "messages": trim(body["messages"], 500)}
    assert len(body["messages"]) == 102  # type: ignore[arg-type]


def test_a_string_as_input_stays_a_string() -> None:
    body = {"model": "gpt-5", "input": "word " * 500}
    assert trim_body(body, max_tokens=600, operation="responses") == body
    cut = trim_body(body, max_tokens=100, operation="responses", strategy=TruncateLongest(32))
    assert "tokens cut" in cut["input"]
    assert count_request(cut, operation="responses").total <= 100
    with pytest.raises(ContextLengthExceeded, match="current turn 50"):
        trim_body(body, max_tokens=100, operation="responses")


def test_what_cannot_fit_is_refused_with_its_sizes() -> None:
    history = [
        SYSTEM,
        *turns(3)[1:-1],
        {"role": "user", "content": "word " * 300},
        {"role": "assistant", "content": ""},
    ]
    with pytest.raises(ContextLengthExceeded) as caught:
        trim(history, 100)
    sizes = caught.value.sizes
    assert sizes is not None
    assert (sizes.max_tokens, sizes.head, sizes.largest_index) == (100, 7, 7)
    assert sizes.needed == total([SYSTEM, *history[-2:]])
    for words in (
        "max_tokens=100",
        "system and developer messages 7",
        "messages[7] with 30",
        "TruncateLongest(), with a smaller",
    ):
        assert words in str(caught.value)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.sizes) == (str(caught.value), sizes)
    assert isinstance(copy, LLMKitError)
    assert isinstance(copy, ValueError)


@pytest.mark.parametrize(
    ("messages", "largest"),
    [([], None), ([SYSTEM], 0), ([SYSTEM, {"role": "user", "content": "Now, and in full?"}], 1)],
)
def test_a_budget_below_the_head_is_refused(messages: list[Any], largest: int | None) -> None:
    with pytest.raises(ContextLengthExceeded) as caught:
        trim(messages, 1)
    assert caught.value.sizes is not None
    assert caught.value.sizes.largest_index == largest
    assert ("The largest" in str(caught.value)) == (largest is not None)


ORPHAN = {"role": "tool", "tool_call_id": "call_9", "content": "r"}


@pytest.mark.parametrize("padding", [3, 300])
def test_an_invalid_history_that_fits_comes_back_as_it_was(padding: int) -> None:
    history = [*turns(padding)[:-1], ORPHAN]
    assert trim(history, 100_000) == history
    with pytest.raises(InvalidHistory, match=r"'call_9'.*put its call back"):
        trim(history, 60)


def test_what_is_invalid_may_go_with_the_oldest_messages() -> None:
    history = [SYSTEM, ORPHAN, *turns(5)[1:]]
    kept = trim(turns(5), 150)
    assert 2 < len(kept) < 8
    assert trim(history, 150) == kept
    history = [SYSTEM, ORPHAN, *turns(40)[1:]]
    assert trim(history, 300) == trim(turns(40), 300)
    assert trim(history, 100_000) == history
    with pytest.raises(InvalidHistory, match="call_9"):
        trim(history, 300, strategy=MiddleOut())


def test_the_last_group_is_the_current_turn_when_there_is_no_user() -> None:
    said = [{"role": "assistant", "content": f"{n}" + " word" * 20} for n in range(9)]
    assert trim(said, 40) == said[-1:]


def test_results_of_calls_that_the_server_holds_are_never_dropped() -> None:
    result = {"type": "function_call_output", "call_id": "call_1", "output": "r"}
    items = [*turns(10)[1:-1], result, {"role": "user", "content": "Go on."}]
    body = {"model": "gpt-5", "input": items, "previous_response_id": "resp_1"}
    assert trim_body(body, max_tokens=30, operation="responses")["input"] == items[-2:]
    assert trim_body({**body, "input": [*items[1:2] * 9, result]}, max_tokens=30, operation="responses")["input"] == [
        result
    ]
    called = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    both = [*items[:4], called, *items[4:]]
    assert trim_body({**body, "input": both}, max_tokens=30, operation="responses")["input"] == items[-1:]


def test_other_mappings_are_messages_too() -> None:
    history = [UserDict(message) for message in turns(20)]
    result = trim(history, 200)
    assert result == [history[0], *history[-(len(result) - 1) :]]
    assert (
        "tokens cut"
        in trim([UserDict(role="user", content="word " * 99)], 60, strategy=TruncateLongest(32))[0]["content"]
    )


def keep_all(groups: Any, budget: int) -> Any:
    return list(groups)


def test_a_strategy_of_ones_own() -> None:
    def every_second(groups: Any, budget: int) -> list[Group]:
        assert groups[-1].current
        assert not groups[0].current
        with pytest.raises(IndexError, match="of 41"):
            groups[41]
        with pytest.raises(IndexError, match="of 41"):
            groups[-42]
        return [*reversed(groups[-1:-12:-2])][::-1]

    history = turns(20)
    assert trim(history, 200, strategy=every_second) == [SYSTEM, *history[-11::2]]


def test_a_strategy_that_shrinks_too_slowly_is_not_asked_for_ever() -> None:
    asked: list[int] = []

    def one_less(groups: Any, budget: int) -> list[Group]:
        asked.append(budget)
        return groups[len(asked) :]

    with pytest.raises(ContextLengthExceeded, match="although asked again with less"):
        trim(turns(60), 200, strategy=one_less)
    assert len(asked) < 30
    assert asked == sorted(asked, reverse=True)


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        (keep_all, "keep_all at .* kept more than max_tokens=200, although asked again"),
        (lambda groups, budget: [], "dropped the current turn"),
        (lambda groups, budget: groups[:-1], "dropped the current turn"),
        (lambda groups, budget: [groups[-1], groups[-1]], "a group twice"),
    ],
)
def test_a_strategy_that_breaks_its_promise(strategy: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        trim(turns(20), 200, strategy=strategy)


@pytest.mark.parametrize("strategy", [lambda groups, budget: None, lambda groups, budget: ["a message"]])
def test_a_strategy_that_returns_no_groups(strategy: Any) -> None:
    with pytest.raises(TypeError, match="return the groups to keep"):
        trim(turns(20), 200, strategy=strategy)


async def waits(groups: Any, budget: int) -> Any:
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"max_tokens": 0}, ValueError, "max_tokens=0"),
        ({"max_tokens": -5}, ValueError, "max_tokens=-5"),
        ({"max_tokens": 1.5}, TypeError, "max_tokens=1.5"),
        ({"max_tokens": True}, TypeError, "max_tokens=True"),
        ({"messages": "hello"}, TypeError, "messages='hello' is a str; give a list"),
        ({"messages": iter(())}, TypeError, "give a list"),
        ({"strategy": "middle"}, TypeError, r"strategy='middle' is no strategy; use DropOldest\(\)"),
        ({"strategy": MiddleOut}, TypeError, r"pass an instance: MiddleOut\(\)"),
        ({"strategy": waits}, TypeError, "is no strategy"),
        ({"strategy": Summarize(None, "m")}, TypeError, "await summarize_messages"),  # type: ignore[arg-type]
        ({"operation": "embeddings"}, ValueError, "operation='embeddings'"),
        ({"messages": [{"type": "function_call", "call_id": "1"}]}, ValueError, "role"),
    ],
)
def test_a_wrong_argument_is_named(wrong: dict[str, Any], error: type[Exception], says: str) -> None:
    arguments: dict[str, Any] = {"messages": turns(1), "max_tokens": 10, "model": MODEL, **wrong}
    with pytest.raises(error, match=says):
        trim_messages(arguments.pop("messages"), **arguments)


def test_only_the_newest_messages_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0

    def counting(body: Any, *, operation: str) -> Any:
        nonlocal counted
        counted += len(body["messages"])
        return count_request(body, operation=operation)

    monkeypatch.setattr("llmkit.context.trim.count_request", counting)
    result = trim(turns(5_000), 8_000)
    assert len(result) > 250
    assert counted < 4 * len(result)
