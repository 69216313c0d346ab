from __future__ import annotations

import collections
import copy
import datetime
import json
import pathlib
from types import MappingProxyType
from typing import Any

import openai
import pydantic
import pytest
from fast.generated import Aliased, Attributes, Colour, Items, Role, Secretive, Text, objects, plain
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseConfigurationUpdateItem

from llmkit.fast.plain import NotPlain, plain_list


@settings(max_examples=200, deadline=None)
@given(st.lists(plain))
def test_plain_data_is_the_same_json_and_shares_nothing_that_can_change(values: list[Any]) -> None:
    copied = plain_list(values)
    assert json.dumps(copied) == json.dumps(values)
    assert not containers(copied) & containers(values)


def containers(value: Any) -> set[int]:
    """The ids of all that can be changed in place."""
    if isinstance(value, dict):
        return {id(value)}.union(*map(containers, value.values()))
    return {id(value)}.union(*map(containers, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize("value", ["a", 1, 2**70, 0.5, True, None, (), ("a", [1]), {1: None, None: "a"}])
def test_what_is_plain(value: Any) -> None:
    assert json.dumps(plain_list([value, {"a": value}, [value]])) == json.dumps([value, {"a": value}, [value]])


ODD: list[Any] = [
    openai.omit,
    openai.NOT_GIVEN,
    b"a",
    {1},
    iter("a"),
    object(),
    datetime.date(2026, 1, 2),
    pathlib.Path("a"),
    Role.USER,
    Text("a"),
    Attributes(a=1),
    Items("a"),
    collections.OrderedDict(a=1),
    collections.defaultdict(list),
    MappingProxyType({}),
    collections.UserDict(),
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_what_the_sdk_has_to_look_at(odd: Any) -> None:
    for values in ([odd], [{"a": odd}], ["a", [odd]], [{"a": ({"b": odd},)}]):
        with pytest.raises(NotPlain):
            plain_list(values)


def test_models_in_a_list_are_dumped_as_the_sdks_walk_does() -> None:
    message = openai.types.chat.ChatCompletionMessage.construct(role="assistant", content=None, extra={"a": 1})
    assert plain_list([message]) == [{"role": "assistant", "content": None, "extra": {"a": 1}}]
    assert plain_list([Aliased(Role="user"), Secretive(text="b", parsed=1)]) == [{"role": "user"}, {"text": "b"}]
    assert plain_list([{"content": [Colour(name="x")]}]) == [{"content": [{"name": "x"}]}]
    assert plain_list([["a", (Colour(name="x"),)]]) == [["a", [{"name": "x"}]]]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
def test_answers_of_the_sdk_are_plain() -> None:
    messages = objects()["messages"]
    assert plain_list(messages) == [message.model_dump(mode="json", exclude_unset=True) for message in messages]


class Places(pydantic.BaseModel):
    places: list[Any]


@pytest.mark.parametrize(
    "value",
    [
        {"tool_calls": Colour(name="x")},  # where the walk expects a list, it iterates over the model
        {"content": [Aliased(Role="user")]},  # and where it expects none, the encoder writes the alias
        {"content": [Secretive(parsed=1)]},  # and what the walk keeps back
        ResponseConfigurationUpdateItem.construct(type="configuration_update"),  # which parse() reads only as a dict
    ],
)
def test_models_that_the_sdk_treats_in_more_than_one_way_are_left_to_it(value: Any) -> None:
    with pytest.raises(NotPlain):
        plain_list([value])


def test_a_model_holds_nothing_of_the_callers_afterwards() -> None:
    places = Places(places=[{"a": [1]}])
    before = copy.deepcopy(places)
    plain_list([places])[0]["places"][0]["a"].append(2)
    assert places == before
