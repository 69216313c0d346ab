from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, assert_type

import pytest

from llmkit.errors import LLMKitError
from llmkit.testing import virtual_time
from llmkit.tools.context import ToolContext
from llmkit.tools.definition import Tool, ToolOptions, declared, tool, tool_of
from llmkit.tools.errors import InvalidArguments, InvalidTool


@tool
def plain(city: str, days: int = 3) -> str:
    """Current weather."""
    return f"{city} {days}"


@tool(name="later-on", timeout=3, strict=False)
async def with_options(city: str) -> int:
    return len(city)


class Service:
    @tool
    def method(self, x: int) -> int:
        return x + 1

    @classmethod
    @tool
    def of_class(cls, x: int) -> int:
        return x + 2

    @staticmethod
    @tool
    def static(x: int) -> int:
        return x + 3

    def __call__(self, x: int) -> int:
        """Call it."""
        return x


def test_the_decorator_gives_back_the_very_function_with_its_type() -> None:
    def function(x: int, *, y: str = "") -> list[int]:
        return [x]

    decorated = tool(function)
    named = tool(name="other")(function)
    assert_type(plain("Paris", days=2), str)
    assert_type(Service().method(1), int)
    assert_type(Service.of_class(1), int)
    assert_type(decorated(1, y="a"), list[int])
    assert_type(named(1), list[int])
    assert decorated is function
    assert named is function
    assert plain("Paris") == "Paris 3"


async def test_the_decorator_keeps_a_coroutine_function_one() -> None:
    assert_type(await with_options("Paris"), int)
    assert await with_options("Paris") == 5


def test_a_tool_is_shown_to_both_apis_from_one_schema() -> None:
    made = tool_of(plain)
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "Default: 3."},
        },
        "required": ["city", "days"],
        "additionalProperties": False,
    }
    shown = {"name": "plain", "description": "Current weather.", "parameters": schema, "strict": True}
    assert made.param == {"type": "function", "function": shown}
    assert made.responses_param == {"type": "function", **shown}
    assert made.function is plain
    assert repr(made).startswith("Tool(name='plain'")


def test_a_tool_without_a_description_shows_none() -> None:
    assert tool_of(with_options).param["function"].keys() == {"name", "parameters", "strict"}


def test_options_given_with_the_function_hold() -> None:
    def pay() -> None: ...

    assert tool(pay, needs_approval=True, timeout=3) is pay
    assert tool_of(pay).options == ToolOptions(needs_approval=True, timeout=3)


def test_a_tool_is_made_once_for_a_decorated_function() -> None:
    assert tool_of(plain) is tool_of(plain)
    assert tool_of(plain, name="other") is not tool_of(plain)


def test_options_win_over_those_of_the_decorator_where_they_are_given() -> None:
    made = tool_of(with_options, max_retries=2, description="Said.")
    assert made.name == "later-on"
    assert made.options == ToolOptions(name="later-on", timeout=3, strict=False, max_retries=2, description="Said.")
    assert made.description == "Said."
    assert tool_of(with_options, name="now").name == "now"


def test_methods_are_tools_whatever_they_are_bound_to() -> None:
    service = Service()
    for method, expected in ((service.method, 2), (Service.of_class, 3), (service.of_class, 3), (Service.static, 4)):
        made = tool_of(method)
        args, kwargs = made.bind('{"x": 1}')
        assert made.function is not None
        assert made.function(*args, **kwargs) == expected
    assert tool_of(service.method).name == "method"
    assert tool_of(service.method) is not tool_of(Service().method)


def test_the_decorator_may_stand_above_classmethod_and_staticmethod() -> None:
    class Other:
        @tool(name="made")
        @classmethod
        def of_class(cls, x: int) -> int:
            return x

        @tool
        @staticmethod
        def static(x: int) -> int:
            return x

    assert tool_of(Other.of_class).name == "made"
    assert tool_of(Other.static).name == "static"


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: x, "has no name of its own; give name="),
        (functools.partial(plain, days=1), "has no name of its own; give name="),
        (Service(), "has no name of its own; give name="),
        (5, "5 is a int, which cannot be"),
        ("weather", "'weather' is a str, which cannot be"),
    ],
)
def test_what_has_no_name_or_is_no_function_is_refused_with_what_to_do(function: Any, says: str) -> None:
    for make in (tool, tool_of):
        with pytest.raises(InvalidTool, match=says) as caught:
            make(function)
        assert isinstance(caught.value, LLMKitError)
        assert isinstance(caught.value, TypeError)


def test_a_tool_is_no_function() -> None:
    with pytest.raises(InvalidTool, match="is a Tool, which cannot be a tool"):
        tool(tool_of(plain))  # type: ignore[call-overload]  # pyright: ignore


class Slotted:
    __slots__ = ()

    def __call__(self) -> None: ...


@pytest.mark.parametrize("function", [len, Service().method, Slotted()])
def test_what_takes_no_mark_is_refused_with_what_to_do(function: Any) -> None:
    with pytest.raises(InvalidTool, match=r"takes no mark; use ToolRegistry\.add\(function, name=\.\.\.\)"):
        tool(name="x")(function)


def test_lambdas_partials_and_objects_are_tools_by_name() -> None:
    assert tool_of(lambda x: x, name="f").bind('{"x": [1]}') == ([], {"x": [1]})
    assert tool_of(Service(), name="f").description == "Call it."
    assert tool_of(functools.partial(plain, days=1), name="f").parameters["required"] == ["city"]
    assert tool_of(Slotted(), name="f").parameters["properties"] == {}


@pytest.mark.parametrize("name", ["", "two words", "größe", "x" * 65, "a.b"])
def test_a_name_that_the_api_refuses_is_refused(name: str) -> None:
    with pytest.raises(InvalidTool, match="cannot be the name of a tool"):
        ToolOptions(name=name)


def test_the_name_of_the_function_is_checked() -> None:
    def größe() -> None: ...

    with pytest.raises(InvalidTool, match="'größe' cannot be the name of a tool"):
        tool(größe)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"max_retries": -1}, "max_retries=-1"),
        ({"max_result_tokens": 0}, "max_result_tokens=0"),
    ],
)
def test_an_option_with_an_impossible_value_is_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tool(**options)


def synchronous() -> None: ...
async def asynchronous() -> None: ...


def generator() -> Iterator[int]:
    yield 1


async def async_generator() -> AsyncIterator[int]:
    yield 1


class Async:
    async def __call__(self) -> None: ...

    async def method(self) -> None: ...


class Streaming:
    async def __call__(self) -> AsyncIterator[int]:
        yield 1


@pytest.mark.parametrize(
    ("function", "is_async"),
    [
        (synchronous, False), (generator, False), (asynchronous, True), (async_generator, True), (Async(), True),
        (Async().method, True), (Streaming(), True), (functools.partial(asynchronous), True), (Async, False),
        (functools.partial(functools.partial(Async())), True), (functools.partial(synchronous), False),
    ],
)  # fmt: skip
def test_what_is_async_is_known(function: Callable[..., Any], is_async: bool) -> None:
    assert tool_of(function, name="f").is_async is is_async


def context(**changes: Any) -> ToolContext[Any]:
    from llmkit.runtime import ASYNC

    values: dict[str, Any] = {"call_id": "c", "tool_name": "t", "tags": {}, "deadline": None, "attempt": 1}
    values |= {"dependencies": 7, "runtime": ASYNC}
    return ToolContext(**{**values, **changes})


def test_the_context_is_injected_and_hidden() -> None:
    def function(a: int, context: ToolContext[int], b: int = 2) -> int:
        assert_type(context.dependencies, int)
        return a + context.dependencies + b

    made = tool_of(function)
    args, kwargs = made.bind('{"a": 1, "b": null}', context=context())
    assert made.takes_context
    assert "context" not in made.parameters["properties"]
    assert function(*args, **kwargs) == 10
    assert not tool_of(plain).takes_context


def test_the_context_goes_by_position_where_it_must() -> None:
    def function(a: int, c: ToolContext[int], /, b: int = 2, *rest: int) -> list[int]:
        return [a, c.dependencies, b, *rest]

    made = tool_of(function)
    for arguments, expected in (('{"a": 1}', [1, 7, 2]), ('{"a": 1, "rest": [5]}', [1, 7, 2, 5])):
        args, kwargs = made.bind(arguments, context=context())
        assert function(*args, **kwargs) == expected


def test_the_time_left_is_never_negative() -> None:
    with virtual_time():
        from llmkit.runtime import current

        now = current(is_async=True)
        assert context(runtime=now).time_left() is None
        assert context(runtime=now, deadline=now.monotonic() + 5).time_left() == 5
        assert context(runtime=now, deadline=now.monotonic() - 5).time_left() == 0
    assert "runtime" not in repr(context())
    assert "dependencies" not in repr(context())  # which hold keys and connections


def test_a_declared_tool_is_shown_as_it_is_and_takes_any_object() -> None:
    parameters = {"type": "object", "properties": {"x": {"type": "integer", "title": "X"}}}
    made = declared("remote", parameters=parameters, description="There.", run=asynchronous, timeout=2)
    parameters["properties"] = {}
    assert made.parameters["properties"] == {"x": {"type": "integer", "title": "X"}}
    assert (made.strict, made.is_async, made.takes_context, made.options.timeout) == (False, True, False, 2)
    assert made.function is asynchronous
    assert made.bind('{"x": "anything", "y": null}') == ([], {"x": "anything", "y": None})
    assert made.bind(" ") == ([], {})
    assert made.bind({"x": 1}) == ([], {"x": 1})


def test_a_declared_tool_may_run_elsewhere_and_have_no_parameters() -> None:
    made = declared("remote", parameters={})
    assert made.function is None
    assert not made.is_async
    assert made.parameters == {"type": "object", "properties": {}}


@pytest.mark.parametrize("parameters", [{"type": "string"}, {"properties": {}}, [], None])
def test_a_declared_schema_must_be_that_of_an_object(parameters: Any) -> None:
    with pytest.raises(InvalidTool, match=r"tool 'remote': its parameters, .*, are no JSON schema of an object"):
        declared("remote", parameters=parameters)


@pytest.mark.parametrize(
    ("raw", "kind", "says"),
    [
        ("{", "invalid_json", "must be valid JSON: EOF while parsing an object at line 1 column 1"),
        ("[1]", "invalid_arguments", "must be a JSON object"),
        ('{"x": "\ud800"}', "invalid_json", "must be valid JSON: text that is no Unicode"),
        ({"x": object()}, "invalid_arguments", "are not JSON data"),
    ],
)
def test_a_declared_tool_refuses_what_is_no_object(raw: Any, kind: str, says: str) -> None:
    with pytest.raises(InvalidArguments, match=says) as caught:
        declared("remote", parameters={}).bind(raw)
    assert caught.value.kind == kind


def test_tools_are_compared_by_identity() -> None:
    one = declared("remote", parameters={})
    assert one != declared("remote", parameters={})
    assert isinstance(one, Tool)
    assert {one: 1}[one] == 1
