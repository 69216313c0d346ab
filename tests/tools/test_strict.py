from __future__ import annotations

import json
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr, WithJsonSchema
from tools.test_roundtrip import check_schema
from tools.tool_samples import Color, Filter, Node, Pair, Pet, Point

from llmkit.tokens import count_tokens
from llmkit.tools.definition import tool_of
from llmkit.tools.errors import InvalidTool
from llmkit.tools.strict import NotStrict, nullable, shown, strict_schema


def properties(function: Any) -> dict[str, Any]:
    tool = tool_of(function, strict=True)
    assert tool.strict
    check_schema(tool.parameters, strict=True)
    return dict(tool.parameters["properties"])


def test_a_default_is_said_in_words_and_null_stands_for_it() -> None:
    def function(
        city: str,
        unit: Literal["c", "f"] = "c",
        days: int = 3,
        tags: list[str] = [],  # noqa: B006
        point: Point = Point(x=1),  # noqa: B008
        kind: Literal["a"] = "a",
        pet: Pet | None = None,
        either: int | str = "é",
        note: str = "x" * 200,
        number: Annotated[int, Field(ge=1)] = 1,
    ) -> None:
        """Do.

        Args:
            city: City name
            unit: Unit
            note: Note
        """

    shown = properties(function)
    assert shown["city"] == {"type": "string", "description": "City name"}
    assert shown["unit"] == {
        "type": ["string", "null"],
        "enum": ["c", "f", None],
        "description": 'Unit. Default: "c".',
    }
    null = {"type": "null"}
    assert shown["days"] == {"anyOf": [{"type": "integer"}, null], "description": "Default: 3."}
    assert shown["tags"]["description"] == "Default: []."
    assert shown["point"]["anyOf"][1] == null
    assert shown["kind"] == {"type": ["string", "null"], "enum": ["a", None], "description": 'Default: "a".'}
    assert shown["either"]["anyOf"] == [{"type": "integer"}, {"type": "string"}, null]
    assert shown["either"]["description"] == 'Default: "é".'
    assert shown["note"]["description"] == "Note"
    assert shown["number"]["anyOf"][0] == {"type": "integer", "minimum": 1}


def test_what_takes_null_anyway_stays_as_it_is() -> None:
    def function(
        a: int | None = 3,
        b: Literal["x", None] = None,
        c: int | None = None,
        d: Node | None = None,
    ) -> None: ...

    shown = properties(function)
    assert shown["a"] == {"anyOf": [{"type": "integer"}, {"type": "null"}], "description": "Default: 3."}
    assert shown["b"] == {"type": ["string", "null"], "enum": ["x", None]}
    assert shown["c"] == {"type": ["integer", "null"]}
    assert shown["d"] == {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}


def test_nested_fields_with_defaults_and_keys_that_may_be_missing_take_null() -> None:
    def function(point: Point, by: Filter, node: Node) -> None: ...

    shown = properties(function)
    assert shown["point"]["properties"]["y"] == {
        "anyOf": [{"type": "integer"}, {"type": "null"}],
        "description": "Default: 7.",
    }
    assert shown["point"]["required"] == ["x", "y", "title"]
    assert shown["by"]["properties"]["limit"] == {"type": ["integer", "null"]}


def test_a_default_of_a_definition_used_twice_takes_null_too() -> None:
    class Leaf(BaseModel):
        x: int

    class Branch(BaseModel):
        color: Color = Color.RED
        also: Color = Color.BLUE
        leaf: Leaf = Leaf(x=1)
        other: Leaf | None = None

    def function(branch: Branch) -> None: ...

    shown = properties(function)["branch"]["properties"]
    assert shown["color"] == {
        "anyOf": [{"$ref": "#/$defs/Color"}, {"type": "null"}],
        "description": 'Default: "red".',
    }
    assert shown["other"] == {"anyOf": [{"$ref": "#/$defs/Leaf"}, {"type": "null"}]}


def test_what_has_no_keyword_is_said_in_words() -> None:
    def function(
        name: Annotated[str, Field(min_length=3, max_length=9, description="Name", examples=["Ann", "Bob"])],
        short: Annotated[str, Field(min_length=1)],
        ids: set[int],
        pair: Pair,
        same: tuple[int, int],
        mixed: tuple[int, Color, str | None],
        code: Annotated[str, Field(pattern="^[a-z]+$")],
        ahead: Annotated[str, WithJsonSchema({"type": "string", "pattern": "^(?!x)"})],
        long: Annotated[str, WithJsonSchema({"type": "string", "pattern": "^(?!x)" + "y" * 99})],
        old: Annotated[SecretStr, Field(deprecated=True)],
        more: Annotated[int, Field(json_schema_extra={"x-more": 1})],
        color: Color,
    ) -> None: ...

    shown = properties(function)
    assert shown["name"] == {
        "type": "string",
        "description": 'Name. At least 3 characters. At most 9 characters. Examples: "Ann", "Bob".',
    }
    assert shown["short"]["description"] == "At least 1 character."
    assert shown["ids"] == {"type": "array", "items": {"type": "integer"}, "description": "No duplicates."}
    assert shown["pair"]["items"] == {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    assert shown["pair"]["description"] == "In this order: integer, string."
    assert shown["same"] == {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
    assert shown["mixed"]["description"] == "In this order: integer, Color, string or null."
    assert shown["code"] == {"type": "string", "pattern": "^[a-z]+$"}
    assert shown["ahead"] == {"type": "string", "description": "Matches ^(?!x)"}
    assert shown["long"] == {"type": "string"}
    assert shown["old"] == {"type": "string"}
    assert shown["more"] == {"type": "integer"}


def test_the_type_of_a_constant_is_said() -> None:
    def function(a: Literal[1, "one"], b: Literal[2], c: None, d: Decimal) -> None: ...

    shown = properties(function)
    assert shown["a"] == {"type": ["integer", "string"], "enum": [1, "one"]}
    assert shown["b"] == {"type": "integer", "const": 2}
    assert shown["c"] == {"type": "null"}


def test_the_rest_is_required_but_may_be_empty() -> None:
    def function(*args: int) -> None: ...

    assert properties(function)["args"] == {"type": "array", "items": {"type": "integer"}}


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    x: int


def anything(x: Any) -> None: ...
def mapping(filters: dict[str, int]) -> None: ...
def keywords(**kwargs: int) -> None: ...
def items(x: list[Any]) -> None: ...
def untyped(x: list) -> None: ...  # type: ignore[type-arg]  # pyright: ignore
def nested(x: list[Open]) -> None: ...
def empty(x: tuple[()]) -> None: ...
def unknown(x: Annotated[int, WithJsonSchema({"not": {"type": "string"}})]) -> None: ...
def refused(x: Annotated[int, WithJsonSchema({"type": "integer", "not": {"const": 1}})]) -> None: ...
def never(x: Annotated[int, WithJsonSchema({"anyOf": [True]})]) -> None: ...  # type: ignore[list-item]  # pyright: ignore


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (anything, "x takes any value; give it a type"),
        (mapping, "filters takes keys of any name; use a model or TypedDict that names them"),
        (keywords, "**kwargs takes keys of any name"),
        (items, "x takes any value"),
        (untyped, "x takes any value"),
        (nested, "x takes keys of any name"),
        (empty, "x has items of any type"),
        (unknown, "x uses 'not', which strict mode does not have"),
        (refused, "x uses 'not'"),
        (never, "x takes any value"),
    ],
)
def test_what_cannot_be_strict_is_not_or_says_why(function: Any, reason: str) -> None:
    assert not tool_of(function).strict
    with pytest.raises(InvalidTool) as caught:
        tool_of(function, strict=True)
    assert f"{function.__name__!r} cannot be strict: {reason}" in str(caught.value)
    assert str(caught.value).endswith("or use strict=False")


def schema_of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = schema_of(x={"type": "array", "items": schema})
    return schema


@pytest.mark.parametrize(
    ("schema", "size"),
    [
        (schema_of(**{f"p{i}": {"type": "string"} for i in range(5_001)}), "5,001 properties"),
        (deep(11), "11 levels"),
        ({**schema_of(x={"$ref": "#/$defs/D"}), "$defs": {"D": deep(10)}}, "11 levels"),
        (schema_of(x={"enum": list(range(1_001))}), "1,001 enum values"),
        (schema_of(x={"const": "x" * 120_000}), "characters of names and enum values"),
        (schema_of(x={"enum": [f"{i:061}" for i in range(251)]}), "over 15,000 characters"),
    ],
)
def test_a_schema_that_is_too_large_for_strict_mode_is_not_strict(schema: dict[str, Any], size: str) -> None:
    with pytest.raises(NotStrict, match=size):
        strict_schema(schema)


def test_a_schema_of_the_largest_size_is_strict() -> None:
    assert strict_schema(deep(10))
    assert strict_schema(schema_of(x={"enum": [f"{i:059}" for i in range(251)]}))


def tokens(schema: dict[str, Any]) -> int:
    function = {"name": "f", "parameters": schema_of(x=schema)}
    return count_tokens([], model="gpt-4o", tools=[{"type": "function", "function": function}]).tools


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"type": "string", "description": "Some words about it."},
        {"type": "string", "format": "date"},
        {"type": "string", "enum": ["a", "b"], "description": "Which."},
        {"type": "array", "items": {"type": "string"}, "description": "Many."},
        {"type": "integer", "minimum": 3},
    ],
)
def test_null_is_added_in_the_way_that_costs_fewer_tokens(schema: dict[str, Any]) -> None:
    described = {key: schema[key] for key in ("description",) if key in schema}
    bare = {key: each for key, each in schema.items() if key != "description"}
    listed = {**schema, "type": [schema["type"], "null"]} | ({"enum": ["a", "b", None]} if "enum" in schema else {})
    assert tokens(nullable(schema, compact=False)) <= min(
        tokens(listed), tokens({"anyOf": [bare, {"type": "null"}], **described})
    )


def test_null_is_added_in_few_characters_where_schemas_are_shown_as_they_are() -> None:
    schema = {"type": "string", "description": "D."}
    assert len(json.dumps(nullable(schema, compact=True))) < len(json.dumps(nullable(schema, compact=False)))


def test_only_json_data_of_modest_length_is_shown() -> None:
    assert shown({"a": [1, "é"]}) == '{"a": [1, "é"]}'
    assert shown("x" * 99) == ""
    assert shown(float("nan")) == ""
    assert shown(object()) == ""
