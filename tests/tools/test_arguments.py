from __future__ import annotations

import dataclasses
import enum
import functools
import json
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, Literal, Optional, Union
from uuid import UUID

import pytest
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Json, RootModel, field_validator
from pydantic_core import PydanticCustomError
from tools.tool_samples import Cat, Color, Filter, Node, Pet, Point, Size
from typing_extensions import TypedDict

from llmkit.tools.arguments import invalid_type, never_null
from llmkit.tools.context import ToolContext
from llmkit.tools.definition import tool_of
from llmkit.tools.errors import InvalidArguments, InvalidTool
from llmkit.tools.signature import read_signature

SECRET = "hunter2"


def bound(function: Callable[..., Any], arguments: Any, **options: Any) -> dict[str, Any]:
    args, kwargs = tool_of(function, **options).bind(arguments)
    assert not args
    return kwargs


def refusal(function: Callable[..., Any], arguments: Any, **options: Any) -> str:
    with pytest.raises(InvalidArguments) as caught:
        tool_of(function, **options).bind(arguments)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def weather(city: str, days: int = 3, unit: Literal["c", "f"] = "c", near: Optional[Point] = Point(x=1)) -> None:  # noqa: B008, UP045
    ...


def test_values_are_of_the_types_of_the_parameters() -> None:
    def function(day: date, key: UUID, color: Color, point: Point, size: Size, ids: set[int]) -> None: ...

    key = "00000000-0000-0000-0000-000000000001"
    given = {
        "day": "2026-01-02", "key": key, "color": "red", "point": {"x": 1}, "size": {"width": 2}, "ids": [1, 1]
    }  # fmt: skip
    expected = {
        "day": date(2026, 1, 2), "key": UUID(key), "color": Color.RED, "point": Point(x=1), "size": Size(2), "ids": {1}
    }  # fmt: skip
    assert bound(function, json.dumps(given)) == expected
    assert bound(function, json.dumps(given).encode()) == expected
    assert bound(function, given) == expected
    assert bound(function, {**expected, "ids": [1]}) == expected


def test_null_is_the_default_where_the_type_does_not_take_it_and_null_where_it_does() -> None:
    assert bound(weather, '{"city": "Paris", "days": null, "unit": null, "near": null}') == {
        "city": "Paris",
        "near": None,
    }


def test_null_in_nested_data_is_the_default_where_the_type_does_not_take_it() -> None:
    class Inner(BaseModel):
        pet: Pet = Cat(kind="cat")
        many: dict[str, Point] = {}

    def function(points: list[Point], size: Size, by: Filter, inner: Inner, node: Node, pet: Pet) -> None: ...

    given = {
        "points": [{"x": 1, "y": None, "title": None}, {"x": 2, "y": 3, "title": "t"}],
        "size": {"width": 1, "height": None},
        "by": {"name": "n", "limit": None},
        "inner": {"pet": None, "many": {"k": {"x": 1, "y": None}}},
        "node": {"value": None, "children": [{"value": None, "children": None}]},
        "pet": {"kind": "dog", "owner": {"x": 1, "y": None}},
    }
    values = bound(function, json.dumps(given))
    assert values["points"] == [Point(x=1), Point(x=2, y=3, title="t")]
    assert values["size"] == Size(1)
    assert values["by"] == {"name": "n"}
    assert values["inner"] == Inner(many={"k": Point(x=1)})
    assert values["node"] == Node(children=[Node()])
    assert values["pet"].owner == Point(x=1)


def test_null_for_a_default_that_shows_only_after_another_is_dropped_is_dropped_too() -> None:
    class Step(BaseModel):
        a: int = 1
        b: int = 2

        @field_validator("b", mode="before")
        @classmethod
        def check(cls, b: Any, info: Any) -> Any:
            if b is None and "a" not in info.data:
                return 5
            return b

    def function(step: Step) -> None: ...

    assert bound(function, '{"step": {"a": null, "b": null}}') == {"step": Step()}


def test_null_is_refused_where_there_is_no_default() -> None:
    def function(a: int, many: list[int], named: dict[str, int], point: Point) -> None: ...

    given = {"a": None, "many": [None], "named": {SECRET: None}, "point": {"x": None}}
    assert refusal(function, json.dumps(given)) == (
        "a: Input should be a valid integer; many[0]: Input should be a valid integer; "
        "named.…: Input should be a valid integer; point.x: Input should be a valid integer"
    )


def test_a_user_of_validators_decides_what_null_means() -> None:
    def function(a: Annotated[int, BeforeValidator(lambda value: value or 7)] = 1) -> None: ...

    assert bound(function, '{"a": null}') == {"a": 7}


@pytest.mark.parametrize("raw", ["", " \n", b"", "{}"])
def test_no_text_is_no_arguments(raw: str | bytes) -> None:
    def function(a: int = 1) -> None: ...

    assert bound(function, raw) == {}
    assert refusal(weather, raw) == "city: Field required"


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ('{"city": "hunter2', "the arguments must be valid JSON: EOF while parsing a string at line 1 column 17"),
        (b'{"city": "\xff"}', "the arguments must be valid JSON: invalid unicode code point at line 1 column 11"),
        ('{"city": "\\ud800"}', "the arguments must be valid JSON: unexpected end of hex escape at line 1 column 17"),
        ('{"city": "\ud800"}', "the arguments must be valid JSON: text that is no Unicode"),
        ("[" * 5_000, "the arguments must be valid JSON: recursion limit exceeded at line 1 column 202"),
        ('{"days": ' + "9" * 5_000 + "}", "the arguments must be valid JSON: number out of range"),
    ],
)
def test_broken_json_says_where_and_not_what(raw: Any, says: str) -> None:
    assert refusal(weather, raw).startswith(says)
    with pytest.raises(InvalidArguments) as caught:
        tool_of(weather).bind(raw)
    assert caught.value.kind == "invalid_json"
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("raw", ["[1]", '"hunter2"', "null", "3"])
def test_json_that_is_no_object_is_said_to_be_none(raw: str) -> None:
    assert refusal(weather, raw) == "the arguments must be a JSON object"


def test_of_a_key_given_twice_the_last_one_counts() -> None:
    assert bound(weather, '{"city": "a", "city": "b"}') == {"city": "b"}


def test_a_number_that_is_none_is_refused() -> None:
    assert refusal(weather, '{"city": "a", "days": NaN}') == "days: Input should be a finite number"


def test_data_that_is_no_json_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    assert refusal(weather, {"city": object()}) == "the arguments are not JSON data (PydanticSerializationError)"
    assert "are not JSON data" in refusal(weather, loop)


def test_errors_list_paths_and_messages_without_what_was_given() -> None:
    def function(points: list[Point], by: dict[str, Point], key: UUID, data: Json[Any], raw: bytes) -> None: ...

    given = {
        "points": [{"x": SECRET, "hunter2": 1}], "by": {SECRET: {"x": SECRET}}, "key": SECRET, "data": SECRET, "raw": 1
    }  # fmt: skip
    assert refusal(function, json.dumps(given)) == (
        "points[0].x: Input should be a valid integer, unable to parse string as an integer; "
        "by.….x: Input should be a valid integer, unable to parse string as an integer; "
        "key: Input should be a valid UUID; data: Input should be valid JSON; raw: Input should be a valid bytes"
    )


def test_unknown_arguments_and_fields_are_answered_with_the_known_ones() -> None:
    class Closed(BaseModel):
        model_config = ConfigDict(extra="forbid")
        x: int

    class Empty(BaseModel):
        model_config = ConfigDict(extra="forbid")

    def function(closed: Closed, empty: Empty, by: Filter) -> None: ...
    def nothing() -> None: ...

    given = {"closed": {"x": 1, SECRET: 1}, "empty": {SECRET: 1}, "by": {"name": "", SECRET: 1}, SECRET: 1}
    assert refusal(function, json.dumps(given)) == (
        "closed: unknown field; the fields are x; empty: unknown field; there are no fields; "
        "by: unknown field; the fields are name, limit; unknown argument; the arguments are closed, empty, by"
    )
    assert refusal(nothing, '{"hunter2": 1}') == "unknown argument; there are no arguments"


def test_an_item_that_is_missing_is_missed_where_the_items_are() -> None:
    def function(pair: tuple[int, int], pet: Annotated[Union[One, Two], Field(discriminator="kind")]) -> None: ...  # noqa: UP007

    text = refusal(function, '{"pair": [1], "pet": {"kind": 1, "x": "hunter2"}}')
    assert text.startswith("pair: Field required; pet.x: Input should be a valid integer")


class One(BaseModel):
    kind: Literal[1]
    x: int = 1


class Two(BaseModel):
    kind: Literal[2]


def test_at_most_ten_errors_are_listed() -> None:
    def function(many: list[int]) -> None: ...

    text = refusal(function, json.dumps({"many": ["x"] * 12}))
    assert text.startswith("many[0]: ")
    assert text.endswith("; and 2 more")
    assert text.count("many[") == 10


def test_tags_of_unions_are_neither_echoed_nor_part_of_the_path() -> None:
    def function(pet: Pet, either: Union[Point, list[Point], int, None], node: Node) -> None: ...  # noqa: UP007

    text = refusal(
        function,
        '{"pet": {"kind": "hunter2"}, "either": {"x": "hunter2"}, "node": {"children": [{"value": "hunter2"}]}}',
    )
    assert text.startswith(
        "pet: Input should have 'kind' as one of 'cat', 'dog'; either.x: Input should be a valid integer, unable"
    )
    assert "either: Input should be a valid array" in text
    assert "node.children[0].value: Input should be a valid integer" in text
    assert "either[0].x: Input should be a valid integer" in refusal(
        function, '{"pet": {"kind": "cat"}, "either": [{"x": "hunter2"}], "node": {}}'
    )
    tagged = refusal(function, '{"pet": {"kind": "cat", "lives": "hunter2"}, "either": 1, "node": {}}')
    assert tagged.startswith("pet.lives: ")
    assert refusal(function, '{"pet": {}, "either": 1, "node": {}}').startswith("pet: Unable to extract tag")


def failing(kind: Callable[[Any], Exception]) -> Any:
    def check(value: Any) -> Any:
        raise kind(value)

    return check


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (lambda value: ValueError(f"no {value}"), "Value error, no hunter2"),
        (lambda value: AssertionError(f"no {value}"), "Assertion failed, no hunter2"),
        (lambda value: PydanticCustomError("int_parsing", "no {it}", {"it": value}), "no hunter2"),
    ],
)
def test_the_text_of_validators_is_shown_only_when_the_tool_says_so(
    error: Callable[[Any], Exception], says: str
) -> None:
    def function(a: Annotated[Any, AfterValidator(failing(error))]) -> None: ...

    assert refusal(function, '{"a": "hunter2"}') == "a: Input is not valid"
    with pytest.raises(InvalidArguments, match=f"a: {says}"):
        tool_of(function, show_errors=True).bind('{"a": "hunter2"}')


@pytest.mark.parametrize("error", [KeyError, RuntimeError, RecursionError, TypeError])
def test_what_else_a_validator_raises_is_invalid_arguments_too(error: type[Exception]) -> None:
    def function(a: Annotated[int, BeforeValidator(failing(error))]) -> None: ...

    assert refusal(function, '{"a": "hunter2"}') == "arguments: Input is not valid"
    with pytest.raises(InvalidArguments) as caught:
        tool_of(function).bind('{"a": "hunter2"}')
    assert isinstance(caught.value.__cause__, error)


def test_an_error_of_pydantic_shows_no_input_in_the_traceback() -> None:
    with pytest.raises(InvalidArguments) as caught:
        tool_of(weather).bind('{"city": 1, "days": "hunter2"}')
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def called(function: Callable[..., Any], arguments: str) -> Any:
    args, kwargs = tool_of(function, name="f").bind(arguments)
    return function(*args, **kwargs)


def test_every_kind_of_parameter_is_bound() -> None:
    def function(a: int, b: int = 2, /, c: int = 3, *rest: int, d: int, e: int = 5, **more: int) -> Any:
        return a, b, c, rest, d, e, more

    assert called(function, '{"a": 1, "d": 4}') == (1, 2, 3, (), 4, 5, {})
    assert called(function, '{"a": 1, "c": 0, "d": 4, "e": null}') == (1, 2, 0, (), 4, 5, {})
    assert called(function, '{"a": 1, "d": 4, "rest": [6, 7], "x": "8"}') == (1, 2, 3, (6, 7), 4, 5, {"x": 8})


def test_names_that_libraries_use_are_names_of_parameters() -> None:
    def function(self: int, schema: int, copy: int, model_x: int, _x: int, json: int, cls: int = 0) -> Any:
        return self, schema, copy, model_x, _x, json, cls

    given = '{"self": 1, "schema": 2, "copy": 3, "model_x": 4, "_x": 5, "json": 6}'
    assert called(function, given) == (1, 2, 3, 4, 5, 6, 0)


def test_other_keywords_are_of_their_type() -> None:
    def function(a: int, **more: date) -> None: ...
    def anything(**more: Any) -> None: ...

    assert bound(function, '{"a": 1, "b": "2026-01-02"}') == {"a": 1, "b": date(2026, 1, 2)}
    assert refusal(function, '{"a": 1, "hunter2": "x"}').startswith("…: Input should be a valid date")
    assert bound(anything, '{"a": null, "b": [1]}') == {"a": None, "b": [1]}
    assert bound(anything, "") == {}


def test_a_validator_of_other_keywords_may_fail_in_any_way() -> None:
    def function(**more: Annotated[int, BeforeValidator(failing(KeyError))]) -> None: ...

    assert refusal(function, '{"a": 1}') == "arguments: Input is not valid"


def test_other_keywords_cannot_replace_what_is_bound() -> None:
    def function(secret: str, context: ToolContext, **more: str) -> None: ...

    partial = functools.partial(function, secret="s")
    for name in ("secret", "context"):
        assert refusal(partial, json.dumps({name: SECRET}), name="f").startswith("unknown argument")


def test_a_default_inside_a_field_is_filled_in() -> None:
    def function(
        a: int = Field(3),
        b: list[int] = Field(default_factory=list),  # noqa: B008
        c: Annotated[int, Field(default=4)] = Field(5, description="C."),
    ) -> Any:
        return a, b, c

    assert called(function, "{}")[:2] == (3, [])
    assert called(function, '{"a": null, "b": null, "c": 1}') == (3, [], 1)
    assert called(function, "{}")[1] is not called(function, "{}")[1]


def test_pythons_own_default_is_used_the_very_object() -> None:
    default: list[int] = []

    def function(a: int, b: list[int] = default, /, c: list[int] = default) -> Any:
        return b is default, c is default

    assert called(function, '{"a": 1, "b": null, "c": null}') == (True, True)


class Unknown:
    pass


@dataclasses.dataclass
class Holder:
    unknown: Unknown


class Late(TypedDict):
    missing: "Missing"  # type: ignore[name-defined]  # noqa: F821, UP037  # pyright: ignore


def bad(x: Unknown) -> None: ...
def bad_inside(a: int, x: list[Holder]) -> None: ...
def bad_reference(x: Late) -> None: ...
def bad_schema(a: int, x: Callable[[], int]) -> None: ...
def bad_rest(**x: Unknown) -> None: ...
def bad_rest_schema(**x: Callable[[], int]) -> None: ...


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (bad, "x: <class"),
        (bad_inside, "x: list["),
        (bad_reference, "x: <class"),
        (bad_schema, "x: collections.abc.Callable"),
        (bad_rest, "**x: <class"),
        (bad_rest_schema, "**x: collections.abc.Callable"),
    ],
)
def test_a_type_that_cannot_be_read_is_named_with_its_parameter(function: Any, names: str) -> None:
    with pytest.raises(InvalidTool) as caught:
        tool_of(function)
    assert f"tool {function.__name__!r}: {names.split(':')[0]}: " in str(caught.value)
    assert names.split(": ")[1] in str(caught.value)
    assert "cannot be read from JSON" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_that_no_parameter_explains_is_told_as_it_is() -> None:
    error = invalid_type(weather, read_signature(weather, {}), ValueError("odd\nmore"))
    assert str(error).startswith("tool 'weather': a type cannot be read from JSON (odd); use")


class Nothing(enum.Enum):
    NONE = None


class Own(enum.Enum):
    A = 1

    @classmethod
    def _missing_(cls, value: object) -> Own:
        return cls.A


@pytest.mark.parametrize(
    ("annotation", "never"),
    [
        (int, True), (list[int], True), (Literal["a"], True), (Color, True), (int | str, True),
        (Annotated[int, Field(ge=1)], True), (Optional[int], False), (Literal["a", None], False),  # noqa: UP045
        (Nothing, False), (Own, False), (Any, False), (object, False), (RootModel[Optional[int]], False),  # noqa: UP045
        (Annotated[int, BeforeValidator(int)], False), (Point, False), (None, False),
    ],
)  # fmt: skip
def test_only_types_that_surely_refuse_null_have_it_replaced_unseen(annotation: Any, never: bool) -> None:
    assert never_null(annotation) is never


Maybe = RootModel[Optional[int]]  # noqa: UP045 - as users write it


def test_a_type_that_takes_null_its_own_way_gets_it() -> None:
    def function(a: Own = Own.A, b: Maybe = Maybe(3), c: Color = Color.RED) -> None: ...  # noqa: B008

    assert bound(function, '{"a": null, "b": null, "c": null}') == {"a": Own.A, "b": Maybe(None)}
