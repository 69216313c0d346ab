"""A mistake in what a test queues is told where it is made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from types import MappingProxyType
from typing import Any

import httpx2
import pytest

from llmkit.testing import FakeOpenAI

Queue = Callable[[FakeOpenAI], object]


@pytest.mark.parametrize(
    ("queue", "message"),
    [
        (lambda fake: fake.reply({"a": 1}), "text must be a string, not dict"),
        (lambda fake: fake.reply(b"bytes"), "text must be a string, not bytes"),
        (lambda fake: fake.reply(refusal=1), "refusal must be a string, not int"),
        (lambda fake: fake.drop(3, after=1), "text must be a string, not int"),
        (lambda fake: fake.drop(after="1"), "after must be an int, not str"),
        (lambda fake: fake.drop(after=1, error=httpx2.ReadError), "not a class: call ReadError"),
        (lambda fake: fake.fail(httpx2.ConnectError), r"fail\(error\) must be an exception, not a class: call Connect"),
        (lambda fake: fake.fail("refused"), r"fail\(error\) must be an exception, not str"),
        (lambda fake: fake.fail(None), r"fail\(error\) must be an exception, not NoneType"),
        (lambda fake: fake.respond({"a": 1}), "respond.. needs an httpx2.Response, or a function .*, not dict"),
        (lambda fake: fake.respond(datetime(2024, 1, 1)), "not datetime.datetime"),
        (lambda fake: fake.error("429"), "the status of an error must be an int, not str"),
        (lambda fake: fake.error(True), "the status of an error must be an int, not bool"),
        (lambda fake: fake.error(429, headers={"retry-after": 20}), "int"),
        (lambda fake: fake.reply(usage=[1]), "usage must be a mapping, not list"),
        (lambda fake: fake.reply(usage={"prompt_tokens": "7"}), r"usage\['prompt_tokens'\] must be an int, not str"),
        (lambda fake: fake.reply(usage={"prompt_tokens_details": 7}), "prompt_tokens_details.* must be a mapping"),
    ],
)
def test_a_wrong_type_is_named(queue: Queue, message: str) -> None:
    fake = FakeOpenAI()
    with pytest.raises(TypeError, match=message):
        queue(fake)
    assert fake.pending == 0


@pytest.mark.parametrize(
    ("calls", "error", "message"),
    [
        ({"get_weather": {}}, TypeError, r"pairs, such as .*, not dict$"),
        (MappingProxyType({}), TypeError, "not mappingproxy"),
        ("get_weather", TypeError, "not str"),
        (3, TypeError, "not int"),
        (None, TypeError, "not NoneType"),
        (("get_weather", {}), TypeError, r"pairs.*: tool_calls\[0\] is of type str"),
        ([("a", {}), {"name": "b"}], TypeError, r"tool_calls\[1\] is of type dict"),
        ([("a", {}, 1)], ValueError, r"tool_calls\[0\] has a length of 3"),
        ([(1, {})], TypeError, r"the name in tool_calls\[0\] must be a string, not int"),
        ([("a", [1])], TypeError, r"the arguments in tool_calls\[0\] must be a mapping or JSON text, not list"),
        ([("a", {"at": datetime(2024, 1, 1)})], TypeError, "datetime is not JSON serializable"),
    ],
)
def test_tool_calls_that_are_no_pairs_are_refused(calls: Any, error: type[Exception], message: str) -> None:
    for queue in (FakeOpenAI().reply, FakeOpenAI().drop):
        with pytest.raises(error, match=message):
            queue(tool_calls=calls, **({"after": 1} if queue.__name__ == "drop" else {}))


def test_tool_calls_take_any_iterable_of_pairs_and_any_mapping() -> None:
    fake = FakeOpenAI().reply(tool_calls=iter([["f", MappingProxyType({"a": 1})]]))
    with fake.client() as client:
        (choice,) = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}]).choices
    assert choice.message.tool_calls[0].function.arguments == '{"a":1}'


@pytest.mark.parametrize(
    ("queue", "message"),
    [
        (lambda fake: fake.error(200), "the status of an error must be at least 400, not 200"),
        (lambda fake: fake.drop(after=-1), "after must be at least 0, not -1"),
        (lambda fake: fake.reply("x", finish_reason="stopped"), "one of stop, length, .*, not 'stopped'"),
        (lambda fake: fake.reply("x", usage={"tokens": 1}), "usage has no 'tokens', only prompt_tokens, "),
        (lambda fake: fake.reply("x", usage={"cached_tokens": 1}), "usage has no 'cached_tokens'"),
        (lambda fake: fake.reply("x", usage={"total_tokens": -1}), "at least 0, not -1"),
    ],
)
def test_a_wrong_value_is_named(queue: Queue, message: str) -> None:
    fake = FakeOpenAI()
    with pytest.raises(ValueError, match=message):
        queue(fake)
    assert fake.pending == 0


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "function_call", None])
def test_the_apis_finish_reasons_are_accepted(reason: str | None) -> None:
    assert FakeOpenAI().reply("x", finish_reason=reason).pending == 1


def test_the_usage_of_every_operation_is_accepted() -> None:
    fake = FakeOpenAI()
    fake.reply(usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "prompt_tokens_details": {}})
    fake.reply(usage={"input_tokens": 1, "output_tokens": 1, "input_tokens_details": {}, "output_tokens_details": {}})
    assert fake.pending == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"stream_chars": 0}, ValueError, "stream_chars must be at least 1, not 0"),
        ({"stream_chars": 2.5}, TypeError, "stream_chars must be an int, not float"),
        ({"cut": 0}, ValueError, "cut must be at least 1, not 0"),
        ({"cut": [3, 0]}, ValueError, r"cut\[1\] must be at least 1, not 0"),
        ({"cut": []}, ValueError, r"cut must have at least one size, not \[\]"),
        ({"cut": ()}, ValueError, "cut must have at least one size"),
        ({"cut": [1.5]}, TypeError, r"cut\[0\] must be an int, not float"),
        ({"cut": "7"}, TypeError, "cut must be an int, a sequence of them or None, not str"),
        ({"cut": 1.5}, TypeError, "not float"),
        ({"delay": -1}, ValueError, "delay must be at least 0 seconds, not -1"),
        ({"delay": float("nan")}, ValueError, "delay must be at least 0 seconds, not nan"),
        ({"delay": "1"}, TypeError, "delay must be a number of seconds, not str"),
    ],
)
def test_options_that_could_never_work_are_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        FakeOpenAI(**options)


def test_a_function_that_makes_no_response_is_named_when_it_is_called() -> None:
    fake = FakeOpenAI().respond(lambda request: {"path": request.path})
    with fake.http_client() as client, pytest.raises(TypeError, match=r"needs an httpx2\.Response.*, not dict"):
        client.get("https://any.test/v1/x")
