from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, Field, Json, SecretStr, TypeAdapter
from tools.tool_samples import Color, Filter, Node, Pet, Point, Size
from typing_extensions import Doc, TypedDict, Unpack

from llmkit.tokens import count_tokens
from llmkit.tools.definition import Tool, tool_of
from llmkit.tools.schema import json_schema, rooted, without_siblings


def loose(function: Callable[..., Any], **options: Any) -> Tool:
    return tool_of(function, strict=False, **options)


def properties(function: Callable[..., Any]) -> dict[str, Any]:
    return dict(loose(function).parameters["properties"])


def test_a_plain_schema_keeps_defaults_and_requires_the_rest() -> None:
    def weather(city: str, unit: Literal["c", "f"] = "c", days: int | None = None) -> None:
        """Weather.

        Args:
            city: City name.
        """

    tool = loose(weather)
    assert not tool.strict
    assert tool.description == "Weather."
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "City name."},
            "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
            "days": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        },
        "required": ["city"],
        "additionalProperties": False,
    }


def test_a_function_without_parameters_has_an_empty_object() -> None:
    def now() -> None: ...

    assert tool_of(now).parameters == {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }
    assert loose(now).parameters == {"type": "object", "properties": {}, "additionalProperties": False}


def test_titles_go_and_properties_called_title_stay() -> None:
    def function(title: str, point: Point) -> None: ...

    shown = properties(function)
    assert shown["title"] == {"type": "string"}
    assert shown["point"]["properties"]["title"] == {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    assert "title" not in shown["point"]


def test_the_annotation_says_more_than_the_docstring() -> None:
    def function(
        a: Annotated[int, Field(description="Annotated.")],
        b: Annotated[int, Doc("Documented.")],
        c: Annotated[int, "nothing"],
        d: int = Field(1, description="As default."),
    ) -> None:
        """Do.

        Args:
            a: No.
            b: No.
            c: Told.
            d: No.
        """

    assert {name: each.get("description") for name, each in properties(function).items()} == {
        "a": "Annotated.",
        "b": "Documented.",
        "c": "Told.",
        "d": "As default.",
    }


def test_the_names_that_the_model_sees_are_those_of_the_aliases() -> None:
    def function(start: Annotated[int, Field(alias="from")], end: Annotated[int, Field(alias="to")] = 3) -> None:
        """Range.

        Args:
            start: First.
        """

    tool = loose(function)
    assert tool.parameters["properties"]["from"]["description"] == "First."
    assert tool.bind('{"from": 1}') == ([], {"start": 1})
    assert tool.bind('{"from": 1, "to": null}') == ([], {"start": 1})


def test_nested_docstrings_describe_and_those_made_by_dataclasses_do_not() -> None:
    def function(point: Point, size: Size, by: Filter) -> None: ...

    shown = properties(function)
    assert shown["point"]["description"] == "A point on the map."
    assert "description" not in shown["size"]
    assert "description" not in shown["by"]


def test_what_is_used_once_is_written_in_place_and_recursion_stays() -> None:
    def function(point: Point, color: Color, node: Node, one: Size, two: Size) -> None: ...

    schema = loose(function).parameters
    assert set(schema["$defs"]) == {"Node", "Size"}
    assert schema["properties"]["node"] == {"$ref": "#/$defs/Node"}
    assert schema["properties"]["color"] == {"enum": ["red", "blue"], "type": "string"}


def test_definitions_that_refer_to_each_other_stay() -> None:
    class Leaf(BaseModel):
        x: int

    class Branch(BaseModel):
        leaf: Leaf
        others: list[Leaf]

    def function(one: Branch, two: Branch, leaf: Leaf) -> None: ...

    assert set(loose(function).parameters["$defs"]) == {"Leaf", "Branch"}


def test_types_that_refer_to_each_other_are_written_once() -> None:
    class Egg(BaseModel):
        hen: Hen

    class Hen(BaseModel):
        egg: Egg | None = None

    Egg.model_rebuild(_types_namespace={"Hen": Hen, "Egg": Egg})

    def function(hen: Hen) -> None: ...

    schema = loose(function).parameters
    assert set(schema["$defs"]) == {"Hen"}
    assert schema["$defs"]["Hen"]["properties"]["egg"]["anyOf"][0]["properties"] == {"hen": {"$ref": "#/$defs/Hen"}}
    assert tool_of(function).bind('{"hen": {"egg": {"hen": {"egg": null}}}}') == ([], {"hen": Hen(egg=Egg(hen=Hen()))})


def test_nothing_stands_beside_a_ref() -> None:
    def function(
        one: Annotated[Size, Field(description="One.")], two: Annotated[Size, Field(description="Two.")]
    ) -> None: ...

    assert properties(function)["two"] == {"anyOf": [{"$ref": "#/$defs/Size"}], "description": "Two."}
    assert without_siblings({"items": True, "anyOf": [{"$ref": "#/$defs/A", "default": 1}, True]}) == {
        "items": True,
        "anyOf": [{"anyOf": [{"$ref": "#/$defs/A"}], "default": 1}, True],
    }


def test_formats_that_the_api_refuses_are_said_in_words() -> None:
    def function(
        url: AnyUrl, raw: bytes, secret: SecretStr, data: Json[Any], path: Path, at: datetime, key: UUID
    ) -> None:
        """Do.

        Args:
            url: Where.
        """

    shown = properties(function)
    assert shown["url"] == {"type": "string", "minLength": 1, "description": "Where. A URI."}
    assert shown["raw"] == {"type": "string"}
    assert shown["secret"] == {"type": "string", "writeOnly": True}
    assert shown["path"]["description"] == "Format: path."
    assert shown["data"]["description"] == "JSON, as text."
    assert shown["at"] == {"type": "string", "format": "date-time"}
    assert shown["key"] == {"type": "string", "format": "uuid"}


def test_other_keywords_have_the_type_of_their_values() -> None:
    def typed(a: int, **kwargs: Point) -> None: ...
    def anything(**kwargs: Any) -> None: ...

    assert loose(typed).parameters["additionalProperties"]["required"] == ["x"]
    assert loose(typed).parameters["required"] == ["a"]
    assert loose(anything).parameters == {"type": "object", "properties": {}, "additionalProperties": True}
    assert not tool_of(anything).strict


def test_unpacked_keywords_are_properties() -> None:
    class Options(TypedDict, total=False):
        limit: Annotated[int, Field(description="At most.")]

    def function(a: int, **options: Unpack[Options]) -> None: ...

    assert loose(function).parameters["properties"]["limit"] == {"type": "integer", "description": "At most."}
    assert loose(function).parameters["required"] == ["a"]
    assert tool_of(function).bind('{"a": 1, "limit": null}') == ([], {"a": 1})


def test_defaults_that_are_no_json_data_are_not_shown() -> None:
    @dataclasses.dataclass
    class Loop:
        inner: Any = None

    loop = Loop()
    loop.inner = loop

    def function(a: Any = object(), b: float = float("nan"), c: Any = loop, d: Color = Color.RED, e: Any = {}) -> None:  # noqa: B006, B008
        ...

    shown = properties(function)
    assert [name for name, each in shown.items() if "default" in each] == ["d", "e"]
    assert shown["d"]["default"] == "red"


def test_the_root_of_a_recursive_type_is_an_object() -> None:
    schema = json_schema(TypeAdapter(Node))
    assert "$ref" in schema
    assert rooted(schema)["type"] == "object"
    assert rooted({"type": "object"}) == {"type": "object"}


def test_tagged_unions_do_without_the_discriminator() -> None:
    def function(pet: Pet) -> None: ...

    assert properties(function)["pet"].keys() == {"oneOf"}


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
def test_a_tool_costs_no_more_tokens_than_with_the_schema_of_pydantic(model: str) -> None:
    def function(
        city: str, unit: Literal["c", "f"] = "c", near: Point | None = None, also: Point | None = None
    ) -> None:
        """Weather.

        Args:
            city: City name.
            near: A place.
        """

    def cost(parameters: dict[str, Any]) -> int:
        function = {"name": "weather", "parameters": parameters}
        return count_tokens([], model=model, tools=[{"type": "function", "function": function}]).tools

    tool = loose(function)
    as_pydantic_has_it = TypeAdapter(function).json_schema()
    assert cost(tool.parameters) <= cost(as_pydantic_has_it)
