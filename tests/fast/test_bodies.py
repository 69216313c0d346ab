"""Long histories are sent and counted as by a process that has seen none."""

from __future__ import annotations

import copy
import json
import os
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import Any
from unittest import mock

import pytest
from fast.wire import Call, Recorder, Wire, a_client, nothing_remembered
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmkit import _sdk
from llmkit.fast import bodies
from llmkit.tokens import count_tokens
from llmkit.tokens.prefix import PREFIXES, SHORTEST

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "50"))
often = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="HYPOTHESIS_EXAMPLES" not in os.environ,  # CI fails for a change, not for a throw of dice
    suppress_health_check=list(HealthCheck),
)
FIELDS = {"messages": "chat.completions.create", "input": "responses.create"}


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    with nothing_remembered():
        yield


def turn(number: int) -> list[Any]:
    """A question in two parts, two calls made together and their results, and an answer."""
    calls = [
        {"id": f"c{number}{n}", "type": "function", "function": {"name": "look_up", "arguments": f'{{"n":{n}}}'}}
        for n in range(2)
    ]
    return [
        {"role": "user", "content": [{"type": "text", "text": f"Part {n} of {number} ☀"} for n in range(2)]},
        {"role": "assistant", "content": None, "tool_calls": calls},
        *({"role": "tool", "tool_call_id": call["id"], "content": "found"} for call in calls),
        {"role": "assistant", "content": f"Answer {number}.", "refusal": None},
        {"role": "user", "content": f"Thanks for {number}.", "name": "Ann"},
    ]


def history(turns: int = 6) -> list[Any]:
    return [{"role": "system", "content": "Be brief."}, *(message for n in range(turns) for message in turn(n))]


def asked(messages: Any, field: str = "messages", **more: Any) -> Call:
    return Call(FIELDS[field], {"model": "gpt-4o", field: messages, **more})


def counted(messages: list[Any]) -> Any:
    try:
        count = count_tokens(messages, model="gpt-4o")
    except (TypeError, ValueError) as error:
        return type(error), str(error)
    return count


def is_as_in_a_new_process(wire: Wire, messages: list[Any], field: str) -> bool:
    wire.same(asked(messages, field), ways=(False,))
    remembered = counted(messages)
    with nothing_remembered():
        return bool(counted(messages) == remembered)


# --- growth and edits


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("field", FIELDS)
def test_a_history_that_grows_message_by_message(wire: Wire, field: str, is_async: bool) -> None:
    messages = history(4)
    for message in [*turn(4), *turn(5), *turn(6)]:
        messages.append(message)
        assert wire.same(asked(messages, field), ways=(is_async,)).sent
        assert is_as_in_a_new_process(wire, messages, field)
    assert PREFIXES.find(messages) is not None


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container below `value` with every key or index in it."""
    for key, item in [*(value.items() if isinstance(value, dict) else enumerate(value))]:
        yield value, key
        if isinstance(item, dict | list):
            yield from places(item)


def put(container: Any, key: Any, value: Any) -> None:
    container[key] = value


def remove(container: Any, key: Any, value: Any) -> None:
    del container[key]


def add(container: Any, key: Any, value: Any) -> None:
    if isinstance(container, dict):
        container[f"{key} too"] = value
    else:
        container.insert(key, value)


def swap(container: Any, key: Any, value: Any) -> None:
    other = next(iter(container)) if isinstance(container, dict) else 0
    container[key], container[other] = container[other], container[key]


def move(container: Any, key: Any, value: Any) -> None:
    """Equal as a dict, and yet other bytes."""
    item = container.pop(key)
    if isinstance(container, dict):
        container[key] = item
    else:
        container.append(item)


def clear(container: Any, key: Any, value: Any) -> None:
    container[key] = {} if isinstance(container[key], dict) else []


def repeat(container: Any, key: Any, value: Any) -> None:
    if isinstance(container, list):
        container.insert(0, container[key])


def change(container: Any, key: Any, value: Any) -> None:
    if isinstance(container[key], str):
        container[key] = container[key].swapcase() or "was empty"


EDITS = (put, remove, add, swap, move, clear, repeat, change)
VALUES: list[Any] = [
    "other",
    "",
    "ünïcode ☀",
    None,
    1,
    True,
    0.5,
    [],
    {},
    {"type": "text", "text": "new"},
    "user",
    "\ud83d",
]
edits = st.tuples(st.integers(0, 10_000), st.sampled_from(EDITS), st.sampled_from(VALUES))


@often
@given(st.lists(st.lists(edits, max_size=2), min_size=1, max_size=4), st.sampled_from([*FIELDS]))
def test_an_edit_anywhere_is_noticed(wire: Wire, rounds: list[list[Any]], field: str) -> None:
    messages = history()
    with nothing_remembered():
        assert is_as_in_a_new_process(wire, messages, field)
        assert PREFIXES.find(messages) is not None
        for number, changes in enumerate(rounds):
            for at, edit, value in changes:
                found = [*places(messages)]
                edit(*found[at % len(found)], copy.deepcopy(value))
            assert is_as_in_a_new_process(wire, messages, field)
            messages += turn(100 + number)
            assert is_as_in_a_new_process(wire, messages, field)


class Role(str, Enum):  # noqa: UP042
    USER = "user"


def with_last(changed: Any) -> list[Any]:
    return [*history()[:-1], changed]


LAST = history()[-1]
EQUAL: dict[str, list[Any]] = {
    "keys in another order": with_last(dict(reversed(LAST.items()))),
    "keys of a part in another order": [
        {**message, "content": [dict(reversed(part.items())) for part in message["content"]]}
        if isinstance(message["content"], list)
        else message
        for message in history()
    ],
    "an ordered dict": with_last(OrderedDict(reversed(LAST.items()))),
    "an enum": with_last({**LAST, "role": Role.USER}),
    "equal to anything": with_last({**LAST, "content": mock.ANY}),
    "a message that is equal to anything": with_last(mock.ANY),
}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("name", EQUAL)
def test_what_is_equal_and_yet_not_the_same_is_sent_as_it_is(wire: Wire, name: str, is_async: bool) -> None:
    wire.same(asked(history()), ways=(is_async,))
    for _ in range(2):
        outcome = wire.same(asked(EQUAL[name]), ways=(is_async,))
        assert outcome.sent or "not JSON serializable" in outcome.raised[0][2]
    wire.same(asked(history()), ways=(is_async,))


def test_keys_that_are_equal_are_other_json() -> None:
    for key in (1, True, 1.0, "1"):
        messages = [*history(), {"role": "user", "content": "?", key: "a"}]
        body = {"model": "m", "messages": messages}
        for _ in range(2):
            assert bodies.body_json(body) in (None, _sdk.dumps(body))


class Touchy:
    def __eq__(self, other: object) -> bool:
        raise ValueError("the truth of this is ambiguous")

    __hash__ = object.__hash__


def test_what_cannot_be_compared_is_left_to_the_sdk(wire: Wire) -> None:
    wire.same(asked(history()))
    outcome = wire.same(asked(with_last({**LAST, "content": Touchy()})))
    assert outcome.raised[0][1:] == ("TypeError", "Object of type Touchy is not JSON serializable")


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "\ud83d"},
        {"role": "user", "content": float("nan")},
        {"role": "user", "content": object()},
        {"role": "user", "content": "x", ("a",): "b"},
    ],
)
def test_what_is_no_json_is_the_sdks_error_wherever_it_stands(wire: Wire, message: Any) -> None:
    wire.same(asked(history()))
    for messages in ([message, *history()], [*history(), message], [*history()[:7], message, *history()[7:]]):
        assert len(wire.same(asked(messages)).raised) == 1


# --- what is remembered


def test_the_beginning_is_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    client, messages = a_client(Recorder(), middleware=[]), history()
    client.chat.completions.create(model="gpt-4o", messages=messages)
    monkeypatch.setattr(_sdk, "dumps", lambda value: written.append(value) or json.dumps(value).encode())
    client.chat.completions.create(model="gpt-4o", messages=[*messages, *turn(6)[1:5]])
    assert written[0] == turn(6)[1:5]
    assert "Be brief." not in str(written[1])


def test_the_place_of_the_messages_is_kept(wire: Wire) -> None:
    more: Any = {"user": "Ann", "metadata": {"messages": "x"}, "temperature": 0.5, "tools": [], "stop": ["messages"]}
    for _ in range(2):
        wire.same(asked(history(), **more))
        wire.same(asked(history(), **more, extra_body={"input": history(), "messages": history()}))


def body_of(size: int) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "Hi"}] * size}


def test_short_and_unlisted_histories_are_left_to_the_sdk() -> None:
    assert bodies.body_json(body_of(SHORTEST - 1)) is None
    assert bodies.body_json({"messages": (*body_of(SHORTEST)["messages"],)}) is None
    assert bodies.body_json({"model": "m", "input": ["text"] * 100}) is None
    assert bodies.body_json({"model": "m"}) is None
    assert bodies.body_json(body_of(SHORTEST)) == _sdk.dumps(body_of(SHORTEST))


def test_what_an_equal_history_in_another_order_replaces_is_forgotten() -> None:
    mirrored = [dict(reversed(message.items())) for message in history()]
    for messages in (history(), mirrored, mirrored):
        remembered = bodies.body_json({"messages": messages})
    assert remembered == _sdk.dumps({"messages": mirrored})


# --- threads


def test_threads_that_send_growing_histories_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert [*pool.map(grow, range(16))] == [True] * 16
    finally:
        sys.setswitchinterval(interval)


def grow(number: int) -> bool:
    """Histories of one beginning, of which every other one has its keys in another order."""
    same: Callable[[Any], Any] = dict if number % 2 else lambda message: dict(reversed(message.items()))
    messages = [same(message) for message in history(5)]
    for at in range(10):
        messages += map(same, turn(number % 3 * 100 + at))
        body = {"model": "m", "messages": messages}
        if bodies.body_json(body) not in (None, _sdk.dumps(body)):
            return False
        remembered = count_tokens(messages, model="gpt-4o").per_message
        if remembered[-6:] != count_tokens([messages[0], *messages[-6:]], model="gpt-4o").per_message[1:]:
            return False
    return True
