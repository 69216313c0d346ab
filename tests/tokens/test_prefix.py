from __future__ import annotations

import copy
import json
from types import MappingProxyType
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmkit.tokens import chat, count_tokens, memory
from llmkit.tokens import prefix as prefix_module
from llmkit.tokens.prefix import MOST_PREFIXES, SHORTEST, Counted, Prefix, Prefixes


class Text(str):
    __slots__ = ()


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
    found = own_prefixes.find(messages)
    assert found is not None
    assert found.messages == messages[:-4]  # up to the last message of a user


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
    before = copy.deepcopy(own_prefixes._kept[0].messages)
    messages[2]["tool_calls"].clear()
    assert own_prefixes._kept[0].messages == before


def test_a_longer_beginning_takes_the_place_of_the_one_it_continues(own_prefixes: Prefixes) -> None:
    short, long = own_prefixes.grown(history(8)), own_prefixes.grown(history(9))
    assert short is not long
    assert own_prefixes._kept == [long]
    assert own_prefixes.grown(history(9)) is long


def test_the_longest_known_beginning_is_taken(own_prefixes: Prefixes) -> None:
    short, long = history(8), history(12)
    figures(short)
    figures([*short, {"role": "user", "content": "another way"}])
    figures(long)
    for _ in range(2):
        found = own_prefixes.find(history(14))
        assert found is not None
        assert len(found.messages) > len(short)
        own_prefixes._kept.reverse()  # whatever the order


def test_a_beginning_is_not_found_in_what_is_shorter_or_another(own_prefixes: Prefixes) -> None:
    figures(history(9))
    assert own_prefixes.find(history(9)) is not None
    assert own_prefixes.find(history(9)[:-5]) is None
    assert own_prefixes.find([*history(8), *history(9)[2:]]) is None
    own_prefixes.drop(own_prefixes._kept[0])
    assert own_prefixes.find(history(9)) is None


ODDLY_LISTED: list[Any] = [history(2), tuple(history(9)), [*history(9), {"role": "odd", "content": "x"}], None, "text"]


@pytest.mark.parametrize("messages", ODDLY_LISTED[:3])
def test_short_odd_and_unlisted_histories_are_counted_anew(own_prefixes: Prefixes, messages: Any) -> None:
    assert figures(messages) == fresh(messages)


@pytest.mark.parametrize("messages", [*ODDLY_LISTED[:2], *ODDLY_LISTED[3:], [{"role": "assistant"}] * SHORTEST])
def test_without_a_list_long_enough_and_a_users_message_nothing_is_kept(own_prefixes: Prefixes, messages: Any) -> None:
    assert own_prefixes.find(messages) is own_prefixes.grown(messages) is None
    assert own_prefixes._kept == []


def test_a_history_of_more_text_than_is_worth_holding_is_not_kept(
    own_prefixes: Prefixes, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures(history(9))
    characters = own_prefixes._kept[0].characters
    monkeypatch.setattr("llmkit.tokens.prefix.MOST_CHARACTERS", characters)
    known = own_prefixes.grown(history(9))
    assert own_prefixes.grown(history(10)) is known  # the longer one does not fit
    assert own_prefixes.grown([{"role": "system", "content": "Be brief, and say so."}, *history(9)[1:]]) is None


def test_all_beginnings_together_hold_no_more_than_twice_the_text_of_one(
    own_prefixes: Prefixes, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures(history(9))
    monkeypatch.setattr("llmkit.tokens.prefix.MOST_CHARACTERS", own_prefixes._kept[0].characters + 5)
    for number in range(5):
        own_prefixes.grown([{"role": "system", "content": f"Be {number}."}, *history(9)[1:]])
    assert [prefix.messages[0]["content"] for prefix in own_prefixes._kept] == ["Be 4.", "Be 3."]


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


# --- the ways of counting


def test_few_ways_of_counting_are_kept(own_prefixes: Prefixes) -> None:
    prefix = Prefix(history(1), 0)
    for way in range(10):
        prefix.keep(way, Counted([way], {}))
        prefix.keep(way, Counted([way + 1], {}))
        assert prefix.counted[way].figures == [way + 1]
    assert len(prefix.counted) < 5


def test_a_longer_beginning_takes_over_what_was_counted(
    own_prefixes: Prefixes, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[Any] = []
    add = chat._add
    figures(history(9))
    monkeypatch.setattr(chat, "_add", lambda *args: added.append(args[2]) or add(*args))
    figures(history(12))
    assert added == [history(12)[42:57], history(12)[57:]]  # to the last message of a user, and what follows
    added.clear()
    figures(history(12))
    assert added == [history(12)[57:]]


# --- the JSON


def written(messages: list[Any]) -> bytes:
    """As the SDK writes messages, without the brackets."""
    return json.dumps(messages, ensure_ascii=False, separators=(",", ":"))[1:-1].encode()


def test_the_json_grows_with_the_history(own_prefixes: Prefixes) -> None:
    for turns in (8, 9, 12):
        messages = [*history(turns), {"role": "user", "content": "ünïcode ☀"}]
        prefix = own_prefixes.grown(messages)
        assert prefix is not None
        for _ in range(2):
            assert prefix.json(messages) == written(messages)
            assert prefix.json([*messages, object()]) == written(messages)


def test_only_what_is_new_is_written(own_prefixes: Prefixes, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[Any] = []
    compact = prefix_module._compact
    monkeypatch.setattr(prefix_module, "_compact", lambda messages: encoded.append(messages) or compact(messages))
    for turns in (8, 8, 9):
        messages = [*history(turns), {"role": "user", "content": f"{turns}"}]
        prefix = own_prefixes.grown(messages)
        assert prefix is not None
        assert prefix.json(messages) == written(messages)
    assert [len(messages) for messages in encoded] == [42, 47]  # another question: nothing of the first is taken over
    longer = own_prefixes.grown([*messages, *history(1)])
    assert longer is not None
    assert longer.json([*messages, *history(1)]) == written([*messages, *history(1)[:2]])
    assert len(encoded[-1]) == 2


ordered = st.permutations(["role", "content", "name"]).map(lambda keys: dict.fromkeys(keys, "user"))


@settings(max_examples=100, deadline=None)
@given(st.lists(ordered, min_size=SHORTEST, max_size=SHORTEST + 3), st.data())
def test_json_is_only_that_of_the_very_same_messages(messages: list[Any], data: st.DataObject) -> None:
    prefixes = Prefixes()
    prefix = prefixes.grown(messages)
    assert prefix is not None
    assert prefix.json(messages) == written(messages)
    at = data.draw(st.integers(0, len(messages) - 1))
    messages[at] = data.draw(ordered)
    assert prefixes.grown(messages) is prefix  # equal
    assert prefix.json(messages) in (None, written(messages))


@pytest.mark.parametrize("odd", [Text("Be brief."), mock.ANY])
def test_what_only_compares_equal_has_no_json(own_prefixes: Prefixes, odd: Any) -> None:
    prefix = own_prefixes.grown(history(9))
    assert prefix is not None
    assert prefix.json(history(9)) is not None
    with pytest.raises(ValueError, match="unmarshallable"):
        prefix.json([{"role": "system", "content": odd}, *history(9)[1:]])


def test_what_cannot_be_sent_is_an_error_each_time(own_prefixes: Prefixes) -> None:
    messages = [*history(9), {"role": "user", "content": "\ud83d"}]
    prefix = own_prefixes.grown(messages)
    assert prefix is not None
    for _ in range(2):
        with pytest.raises(UnicodeEncodeError):
            prefix.json(messages)
