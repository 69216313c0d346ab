from __future__ import annotations

import copy
import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.tokens import chat, count_tokens, memory
from llmkit.tokens.prefix import MOST_PREFIXES, Prefixes


@pytest.fixture(autouse=True)
def own_prefixes(monkeypatch: pytest.MonkeyPatch) -> Prefixes:
    prefixes = Prefixes()
    monkeypatch.setattr(chat, "PREFIXES", prefixes)
    return prefixes


def fresh(messages: list[Any], **options: Any) -> tuple[int, ...]:
    """The count with nothing remembered of earlier histories."""
    kept, chat.PREFIXES = chat.PREFIXES, Prefixes()
    try:
        return figures(messages, **options)
    finally:
        chat.PREFIXES = kept


def figures(messages: list[Any], **options: Any) -> tuple[int, ...]:
    count = count_tokens(messages, **{"model": "gpt-4o", **options})
    return (count.total, *count.per_message)


def turn(number: int) -> list[Any]:
    """A user's message, two calls made together, their results, and an answer."""
    calls = [
        {
            "id": f"c{number}-{index}",
            "type": "function",
            "function": {"name": "look_up", "arguments": json.dumps({"n": number, "i": index})},
        }
        for index in range(2)
    ]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": f"result {number}"} for call in calls]
    return [
        {"role": "user", "content": f"Question {number}?"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        *results,
        {"role": "assistant", "content": f"Answer {number}."},
    ]


def history(turns: int) -> list[Any]:
    return [{"role": "system", "content": "Be brief."}, *(message for n in range(turns) for message in turn(n))]


def test_a_growing_history_counts_as_it_would_from_scratch(own_prefixes: Prefixes) -> None:
    messages = history(8)
    for number in range(8, 20):
        for message in turn(number):
            messages.append(message)
            assert figures(messages) == fresh(messages)
    assert own_prefixes.find(own_prefixes._kept[0][0], messages) is not None


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 40), st.sampled_from(["content", "arguments", "name", "role", "delete"]), st.integers(0, 5))
def test_an_edit_anywhere_is_noticed(at: int, what: str, extra: int) -> None:
    messages = history(9)
    figures(messages)
    message = messages[at]
    if what == "delete":
        del messages[at]
    elif what == "role":
        message["name"] = "somebody"
    elif message.get("tool_calls"):
        message["tool_calls"][1]["function"]["arguments" if what == "arguments" else "name"] = "changed entirely"
    else:
        message["content"] = "something else, and longer than before"
    messages += history(extra)[1:]
    assert figures(messages) == fresh(messages)


def test_figures_of_another_model_or_format_are_not_taken_over() -> None:
    messages = history(9)
    schema = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}
    for options in ({}, {"model": "gpt-5"}, {"model": "gpt-4"}, {"response_format": schema}, {}):
        assert figures(messages, **options) == fresh(messages, **options)


def test_what_is_kept_is_a_copy_and_bounded(own_prefixes: Prefixes) -> None:
    for number in range(MOST_PREFIXES + 5):
        messages = [{"role": "system", "content": f"Be {number}."}, *history(9)[1:]]
        figures(messages)
    assert len(own_prefixes._kept) == MOST_PREFIXES
    before = copy.deepcopy(own_prefixes._kept[0][1].messages)
    messages[2]["tool_calls"].clear()
    assert own_prefixes._kept[0][1].messages == before


def test_the_longest_known_beginning_is_taken(own_prefixes: Prefixes) -> None:
    short, long = history(8), history(12)
    figures(short)
    key = own_prefixes._kept[0][0]
    figures([*short, {"role": "user", "content": "another way"}])
    figures(long)
    for _ in range(2):
        found = own_prefixes.find(key, history(14))
        assert found is not None
        assert len(found.messages) > len(short)
        own_prefixes._kept.reverse()  # whatever the order


@pytest.mark.parametrize("messages", [history(2), tuple(history(9)), [*history(9), {"role": "odd", "content": "x"}]])
def test_short_odd_and_unlisted_histories_are_counted_anew(own_prefixes: Prefixes, messages: Any) -> None:
    assert figures(messages) == fresh(messages)
    assert own_prefixes.find((), messages) is None


def test_a_history_of_more_text_than_is_worth_holding_is_not_kept(
    own_prefixes: Prefixes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmkit.tokens.prefix.MOST_CHARACTERS", 100)
    figures(history(9))
    assert own_prefixes._kept == []


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "odd",
    [
        {"role": "user", "content": ({"type": "text", "text": "hi"},)},
        {"role": "user", "content": [MappingProxyType({"type": "text", "text": "hi"})]},
        {"role": "user", "content": "hi", "name": 1},
        {"role": "user", "content": "hi", "extra": nested(600)},
    ],
)
def test_what_might_change_unseen_is_never_kept(own_prefixes: Prefixes, odd: Any) -> None:
    messages = [*history(9), odd]
    assert figures(messages) == fresh(messages)
    assert own_prefixes._kept == []


def test_what_changes_while_it_is_counted_is_kept_as_it_was_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = history(9)
    count = memory.text_length

    def edits(name: str, text: str) -> int:
        messages[0]["content"] = "something else, and much longer than it was before"
        return count(name, text)

    messages[-1]["content"] = "a text that was never counted before"
    monkeypatch.setattr(memory, "text_length", edits)
    figures(messages)
    monkeypatch.setattr(memory, "text_length", count)
    assert figures(messages) == fresh(messages)


def test_calls_after_the_last_user_message_are_not_part_of_what_is_kept() -> None:
    messages = history(9)
    figures([*messages, {"role": "user", "content": "?"}, *turn(99)[1:]])
    orphan = {"role": "tool", "tool_call_id": "c99-0", "content": "42"}
    asked = [*messages, {"role": "user", "content": "?"}, orphan]
    assert figures(asked) == fresh(asked)
    assert not count_tokens(asked, model="gpt-4o").exact
