"""Annotations that are text until somebody resolves them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from llmkit.tools.definition import tool, tool_of
from llmkit.tools.errors import InvalidTool

if TYPE_CHECKING:
    from llmkit.tools.context import ToolContext


class Place(BaseModel):
    city: str


@tool
def of_the_module(place: Place, unit: Literal["c", "f"] = "c", later: Later | None = None) -> str:
    return f"{place.city} {unit} {later}"


class Later(BaseModel):
    x: int


def call(function: Callable[..., Any], arguments: str) -> Any:
    args, kwargs = tool_of(function).bind(arguments)
    return function(*args, **kwargs)


def test_module_level_types_are_resolved_also_those_defined_later() -> None:
    assert call(of_the_module, '{"place": {"city": "Paris"}, "later": {"x": 1}}') == "Paris c x=1"


def test_types_of_the_enclosing_function_are_resolved_where_the_tool_is_decorated() -> None:
    def make() -> Callable[..., Any]:
        class Local(BaseModel):
            x: int

        @dataclasses.dataclass
        class Size:
            width: int

        class Filter(TypedDict):
            name: NotRequired[str]

        @tool
        def local(one: Local, many: list[Local], size: Annotated[Size, Field(description="S.")], by: Filter) -> str:
            return f"{one.x} {many[0].x} {size.width} {by.get('name')}"

        @tool(name="other")
        def with_options(one: Local) -> int:
            return one.x

        assert tool_of(with_options).name == "other"
        return local

    arguments = '{"one": {"x": 1}, "many": [{"x": 2}], "size": {"width": 3}, "by": {"name": null}}'
    assert call(make(), arguments) == "1 2 3 None"


def test_types_of_functions_further_out_are_resolved_while_they_run() -> None:
    class Outer(BaseModel):
        x: int

    def make() -> Callable[..., Any]:
        class Body:
            class Inner(BaseModel):
                y: int

            @tool
            def method(self, outer: Outer, inner: Inner) -> int:
                return outer.x + inner.y

        return Body().method

    assert call(make(), '{"outer": {"x": 1}, "inner": {"y": 2}}') == 3


def test_a_local_type_wins_over_one_of_the_module() -> None:
    class Place(BaseModel):
        street: str

    def function(place: Place) -> str:
        return place.street

    assert call(function, '{"place": {"street": "Main"}}') == "Main"


def test_functions_without_the_decorator_and_in_partials_are_resolved_too() -> None:
    class Local(BaseModel):
        x: int

    def add(one: Local, more: int) -> int:
        return one.x + more

    partial = functools.partial(add, more=2)
    args, kwargs = tool_of(partial, name="add_two").bind('{"one": {"x": 1}}')
    assert partial(*args, **kwargs) == 3


def test_a_context_that_is_imported_for_type_checkers_only_is_found() -> None:
    @tool
    def function(context: ToolContext[Place], city: str) -> str:
        return city

    made = tool_of(function)
    assert made.takes_context
    assert list(made.parameters["properties"]) == ["city"]


def test_a_name_nobody_knows_is_named_at_first_use() -> None:
    @tool
    def function(place: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore

    with pytest.raises(InvalidTool, match=r"the type of place, 'Nowhere', cannot be resolved .*NameError"):
        tool_of(function)
