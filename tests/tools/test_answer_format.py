from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, Generic, Literal, Optional, TypeVar, Union

import openai
import pytest
from pydantic import BaseModel, BeforeValidator, Field
from tools.test_roundtrip import check_schema
from tools.tool_samples import Filter, Node, Point, Size

from llmkit.tools.answer_format import chat_format, parse_answer, responses_format
from llmkit.tools.errors import InvalidAnswer, InvalidTool

T = TypeVar("T")
SECRET = "hunter2"


class Page(BaseModel, Generic[T]):
    items: list[T]
    size: int = 10


def test_a_model_is_the_format_of_an_answer_with_null_for_its_defaults() -> None:
    schema = {
        "type": "object",
        "properties": {
            "items": {"type": "array", "items": {"type": "integer"}},
            "size": {"type": ["integer", "null"], "description": "Default: 10."},
        },
        "required": ["items", "size"],
        "additionalProperties": False,
    }
    shown = {"name": "Page_int", "schema": schema, "strict": True}
    assert chat_format(Page[int]) == {"type": "json_schema", "json_schema": shown}
    assert responses_format(Page[int]) == {"type": "json_schema", **shown}
    assert parse_answer(Page[int], '{"items": [1], "size": null}') == Page[int](items=[1])


@pytest.mark.parametrize(
    ("type_", "name", "text", "value"),
    [
        (Size, "Size", '{"width": 1, "height": null}', Size(1)),
        (Filter, "Filter", '{"name": "a", "limit": null}', {"name": "a"}),
        (
            Node,
            "Node",
            '{"value": 1, "children": [{"value": null, "children": null}]}',
            Node(value=1, children=[Node()]),
        ),
        (int, "int", '{"response": 3}', 3),
        (list[Point], "list_Point", '{"response": [{"x": 1, "y": null, "title": null}]}', [Point(x=1)]),
        (Optional[Point], "Optional_Point", '{"response": null}', None),  # noqa: UP045
        (Union[Point, Size], "Union_Point_Size", '{"response": {"width": 1, "height": 2}}', Size(1, 2)),  # noqa: UP007
        (Literal["a", "b"], "Literal_a_b", '{"response": "a"}', "a"),
        (Annotated[int, Field(ge=1)], "int", '{"response": 1}', 1),
        (Annotated[int, ["unhashable"]], "int", '{"response": 1}', 1),
    ],
)
def test_any_type_is_the_format_of_an_answer(type_: Any, name: str, text: str, value: Any) -> None:
    form = responses_format(type_)
    assert form["name"] == name
    assert form["strict"]
    assert form["schema"]["type"] == "object"
    check_schema(form["schema"], strict=True)
    assert parse_answer(type_, text) == value
    assert parse_answer(type_, text.encode()) == value


def test_a_type_that_strict_mode_does_not_have_is_not_strict() -> None:
    form = chat_format(dict[str, int])["json_schema"]
    assert form["strict"] is False
    assert form["name"] == "dict_str_int"
    assert parse_answer(dict[str, int], '{"a": 1}') == {"a": 1}


def test_a_local_type_has_its_own_name() -> None:
    @dataclasses.dataclass
    class Größe:
        x: int

    assert chat_format(Größe)["json_schema"]["name"] == "Gr_e"
    assert chat_format(list[Größe])["json_schema"]["name"] == "list_Gr_e"


def test_a_type_without_a_schema_is_refused() -> None:
    with pytest.raises(InvalidTool, match=r"response_format=.*Callable.* has no JSON schema .*; give a model"):
        chat_format(Callable[[], int])


@pytest.mark.parametrize(
    ("type_", "text", "says"),
    [
        (Point, '{"x": "hunter2"}', "the answer is no Point: x: Input should be a valid integer"),
        (Point, "hunter2", "the answer is no Point: the answer must be valid JSON: expected value at line 1 column 1"),
        (Point, "", "the answer is no Point: the answer must be valid JSON"),
        (Point, "[]", "the answer is no Point: answer: Input should be an object"),
        (int, '{"response": null}', "the answer is no int: response: Input should be a valid integer"),
        (dict[str, int], '{"hunter2": null}', "the answer is no dict_str_int: …: Input should be a valid integer"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_without_repeating_it(type_: Any, text: str, says: str) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        parse_answer(type_, text)
    assert str(caught.value).startswith(says)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, openai.OpenAIError)


def test_a_validator_may_fail_in_any_way() -> None:
    def fail(value: Any) -> Any:
        raise KeyError(value)

    with pytest.raises(InvalidAnswer, match="Input is not valid") as caught:
        parse_answer(Annotated[int, BeforeValidator(fail)], '{"response": "hunter2"}')
    assert isinstance(caught.value.__cause__, KeyError)
