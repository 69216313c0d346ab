from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessage

from llmkit.cache.key import IGNORED, Keys, digest

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def asked(body: dict[str, Any], **changed: Any) -> Any:
    facts: dict[str, Any] = {"operation": "chat.completions", "headers": {}, "tags": {}, "client": None}
    route: dict[str, Any] = {"url": "https://api.test/v1/", "query": {}, "headers": {}, "deployment": "m"}
    facts |= {name: value for name, value in changed.items() if name in facts}
    route |= changed.pop("route", {})
    return SimpleNamespace(body=body, model=body.get("model"), route=lambda _: SimpleNamespace(**route), **facts)


def turned(value: Any) -> Any:
    """The same JSON with its objects written the other way round."""
    if isinstance(value, dict):
        return {name: turned(item) for name, item in reversed(value.items())}
    return [turned(item) for item in value] if isinstance(value, list) else value


@given(JSON)
def test_the_order_in_which_objects_are_written_does_not_matter(value: Any) -> None:
    assert digest(value) == digest(turned(value))


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON, type for type."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return repr(one) == repr(other)


@given(st.lists(JSON, min_size=2, max_size=8))
def test_other_json_has_another_digest(values: list[Any]) -> None:
    for one in values:
        for other in values:
            assert (digest(one) == digest(other)) is same(one, other)


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (1, "1"), (0, None), ("", None), ([1, 2], [2, 1]), ({"a": 1}, {"b": 1}), ("é", "e")]
)
def test_values_that_look_alike_are_not_the_same(one: Any, other: Any) -> None:
    assert digest({"x": one}) != digest({"x": other})


@pytest.mark.parametrize("value", [float("nan"), {1: 2, "a": 3}, {"a": object()}, b"x"])
def test_what_json_cannot_say_has_no_digest(value: Any) -> None:
    assert digest({"x": value}) is None


def test_what_is_nested_too_deeply_has_no_digest() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert digest(deep) is None


def test_models_and_dates_count_as_the_json_that_is_sent() -> None:
    message = ChatCompletionMessage(role="assistant", content="Blue.")
    assert digest([message]) == digest([{"role": "assistant", "content": "Blue."}])
    assert digest(datetime.date(2026, 1, 2)) is None
    assert digest(datetime.datetime(2026, 1, 2)) == digest("2026-01-02T00:00:00")


def test_the_key_names_the_operation_and_the_model_and_quotes_nothing_else() -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "a secret"}]}
    key = Keys(namespace="web").of(asked(body))
    assert key is not None
    assert key.startswith("web:chat.completions:gpt-4o:")
    assert len(key.rpartition(":")[2]) == 40
    assert "secret" not in key
    other = Keys().of(asked(body))
    assert other is not None
    assert other.startswith("chat.completions:gpt-4o:")
    assert other.rpartition(":")[2] != key.rpartition(":")[2]
    assert Keys().of(asked({"messages": [float("nan")]})) is None


@pytest.mark.parametrize("name", sorted(IGNORED))
def test_parameters_that_do_not_shape_the_answer_are_left_out(name: str) -> None:
    assert Keys().of(asked({"model": "m", name: "x"})) == Keys().of(asked({"model": "m"}))
    assert Keys(include=[name]).of(asked({"model": "m", name: "x"})) != Keys(include=[name]).of(asked({"model": "m"}))


def test_whole_numbers_are_the_same_as_floats_where_parameters_are_concerned() -> None:
    assert Keys().of(asked({"temperature": 0.0})) == Keys().of(asked({"temperature": 0}))
    assert Keys().of(asked({"temperature": 0.5})) != Keys().of(asked({"temperature": 0}))
    assert Keys().of(asked({"logprobs": True})) != Keys().of(asked({"logprobs": 1}))


@pytest.mark.parametrize(
    "changed",
    [
        {"operation": "responses"},
        {"headers": {"x-a": "1"}},
        {"route": {"url": "https://other.test"}},
        {"route": {"query": {"a": 1}}},
        {"route": {"headers": {"x-portkey-provider": "b"}}},
        {"route": {"deployment": "other"}},
    ],
)
def test_where_and_how_it_is_sent_counts(changed: dict[str, Any]) -> None:
    assert Keys().of(asked({"model": "m"}, **changed)) != Keys().of(asked({"model": "m"}))


def test_headers_of_the_sdk_of_tracing_and_credentials_do_not_count_whatever_their_case() -> None:
    headers = {
        "X-Stainless-Raw-Response": "true",
        "Traceparent": "00",
        "AUTHORIZATION": "Bearer x",
        "X-B3-TraceId": "1",
    }
    assert Keys().of(asked({}, headers=headers)) == Keys().of(asked({}))
    assert Keys(ignore=["X-Mine"]).of(asked({}, headers={"x-mine": "1"})) == Keys().of(asked({}))


def test_only_the_tags_that_are_named_count_and_a_missing_one_is_a_value_of_its_own() -> None:
    keys = Keys(per=("tenant",))
    tenants: list[dict[str, Any]] = [
        {},
        {"tenant": "a"},
        {"tenant": "b"},
        {"tenant": 1},
        {"tenant": "1"},
        {"tenant": ""},
    ]
    assert len({keys.of(asked({}, tags=tags)) for tags in tenants}) == len(tenants)
    assert keys.of(asked({}, tags={"user": "x"})) == keys.of(asked({}))
