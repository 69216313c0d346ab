"""Minimal instances of JSON schemas."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from llmkit.testing.fake.schema import minimal_instance


class Leaf(BaseModel):
    value: int


class Tree(BaseModel):
    left: Tree | Leaf
    right: Tree | Leaf
    children: list[Tree]


class Everything(BaseModel):
    text: Annotated[str, Field(min_length=3)]
    whole: Annotated[int, Field(ge=5, multiple_of=4)]
    share: Annotated[float, Field(gt=0, lt=1)]
    negative: Annotated[int, Field(lt=0)]
    low: Annotated[float, Field(le=-2.5)]
    above: Annotated[int, Field(gt=7)]
    flag: bool
    nothing: None
    choice: Literal["a", "b"]
    only: Literal["x"]
    maybe: str | None
    either: Leaf | str
    many: Annotated[list[Leaf], Field(min_length=2)]
    pair: tuple[int, str]
    day: date
    moment: datetime
    span: timedelta
    key: UUID
    optional: str = "default"


@pytest.mark.parametrize("model", [Leaf, Tree, Everything])
def test_pydantic_accepts_the_instance(model: type[BaseModel]) -> None:
    model.model_validate(minimal_instance(model.model_json_schema()))


def test_only_what_is_required_is_given() -> None:
    assert "optional" not in minimal_instance(Everything.model_json_schema())


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": ["string", "null"]}, None),
        ({"type": ["integer", "string"]}, 0),
        ({"properties": {"a": {"const": 1}}, "required": ["a"]}, {"a": 1}),
        ({"oneOf": [{"enum": ["a", "b"]}]}, "a"),
        ({}, None),
        ({"type": "number", "multipleOf": 0.1, "minimum": 0.25}, pytest.approx(0.3)),
        ({"type": "integer", "minimum": 2, "maximum": 1}, 0),
        ({"type": "integer", "exclusiveMaximum": -3, "multipleOf": 5}, -5),
        ({"type": "integer", "minimum": 1, "maximum": 7, "multipleOf": 7}, 7),
        ({"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2}, [1, 1]),
        ({"type": "string", "minLength": 2, "maxLength": 2}, "xx"),
        ({"type": "string", "format": "email"}, "user@example.com"),
        ({"type": "string", "format": "date"}, "2024-01-01"),
        ({"type": "string", "format": "date-time"}, "2024-01-01T00:00:00Z"),
        ({"type": "string", "format": "uuid"}, "00000000-0000-4000-8000-000000000000"),
        ({"type": "array", "prefixItems": [{"type": "boolean"}]}, [False]),
        (
            {
                "allOf": [{"$ref": "#/$defs/A"}, {"required": ["a"]}],
                "$defs": {"A": {"type": "object", "properties": {"a": {"type": "string"}}}},
            },
            {"a": ""},
        ),
        ({"properties": {"self": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["self"]}, {"self": None}),
    ],
)
def test_the_instance_is_the_smallest_that_fits(schema: dict[str, Any], expected: object) -> None:
    assert minimal_instance(schema) == expected


def test_a_schema_that_needs_itself_has_no_instance() -> None:
    with pytest.raises(ValueError, match="no instance"):
        minimal_instance({"properties": {"self": {"$ref": "#"}}, "required": ["self"]})
