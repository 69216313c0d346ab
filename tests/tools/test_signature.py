from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated, Any, Generic, NotRequired, Optional, Required, TypeVar

import pytest
from pydantic import BaseModel, Field
from tools.tool_samples import Size
from typing_extensions import TypedDict, Unpack

from llmkit.tools.context import ToolContext
from llmkit.tools.errors import InvalidTool
from llmkit.tools.hints import EMPTY, innermost, label, resolve
from llmkit.tools.signature import ABSENT, Signature, read_signature

if TYPE_CHECKING:
    from decimal import Context as Hidden

T = TypeVar("T")
U = TypeVar("U")


def read(function: Any, **localns: Any) -> Signature:
    return read_signature(function, {}, localns=localns)


def shown(function: Any) -> dict[str, Any]:
    return {each.name: each.annotation for each in read(function).parameters}


def sample(a: int, b: str = "x") -> None: ...


class Box(Generic[T]):
    class Inner(BaseModel):
        x: int

    def method(self, a: int, inner: Inner) -> None: ...

    @classmethod
    def of_class(cls, a: int, inner: Inner) -> None: ...

    @staticmethod
    def static(a: int) -> None: ...

    def generic(self, item: T) -> None: ...

    def __call__(self, a: int) -> None: ...


def test_bound_methods_and_callable_objects_show_what_is_not_bound() -> None:
    box = Box[int]()
    assert shown(box.method) == {"a": int, "inner": Box.Inner}
    assert shown(Box.of_class) == {"a": int, "inner": Box.Inner}
    assert shown(Box.static) == {"a": int}
    assert shown(Box().generic) == {"item": T}
    assert shown(box) == {"a": int}


def test_type_variables_stand_for_what_the_class_was_made_with() -> None:
    class Ints(Box[int]):
        def many(self, items: list[T], pair: tuple[T, U], point: Box.Inner) -> None: ...  # type: ignore[valid-type]

    assert shown(Box[str]().generic) == {"item": str}
    assert shown(Ints().generic) == {"item": int}
    assert shown(Ints().many) == {"items": list[int], "pair": tuple[int, U], "point": Box.Inner}


def test_a_method_without_its_object_is_refused() -> None:
    with pytest.raises(InvalidTool, match=r"Box\.method' is a method without its object; give object\.method"):
        read(Box.method)


def test_arguments_bound_by_a_partial_are_hidden_however_they_are_bound() -> None:
    assert shown(functools.partial(sample, 1)) == {"b": str}
    assert shown(functools.partial(sample, b="y")) == {"a": int}
    assert shown(functools.partial(functools.partial(sample, b="y"), 1)) == {}


def test_a_wrapped_function_shows_the_function_inside() -> None:
    @functools.wraps(sample)
    def outer(*args: Any, **kwargs: Any) -> None: ...

    assert shown(outer) == {"a": int, "b": str}
    assert innermost(functools.partial(outer)) is sample


def test_a_class_shows_what_it_is_made_from() -> None:
    assert shown(Box.Inner) == {"x": int}
    assert shown(Size) == {"width": float, "height": int}


def test_what_has_no_annotation_may_be_anything() -> None:
    def function(a, b: int):  # type: ignore[no-untyped-def]
        ...

    assert shown(function) == {"a": Any, "b": int}
    assert shown(len) == {"obj": Any}


def test_what_has_no_signature_is_refused() -> None:
    with pytest.raises(InvalidTool, match="has no signature"):
        read(type)


def test_the_rest_is_a_list_and_other_keywords_have_a_type() -> None:
    def function(*args: int, **kwargs: str) -> None: ...

    signature = read(function)
    assert shown(function) == {"args": list[int]}
    assert signature.extra is str


def test_unpacked_keywords_are_parameters() -> None:
    class Options(TypedDict):
        a: Annotated[int, Field(description="A.")]
        b: NotRequired[str]

    def function(**options: Unpack[Options]) -> None: ...
    def standard(**options: typing.Unpack[Options]) -> None: ...

    assert [each.name for each in read(standard).parameters] == ["a", "b"]
    signature = read(function)
    assert [(each.name, each.default) for each in signature.parameters] == [("a", EMPTY), ("b", ABSENT)]
    assert signature.extra is EMPTY


def test_a_field_as_a_default_belongs_to_the_type() -> None:
    def function(
        a: int = Field(description="A."),
        b: list[int] = Field(default_factory=list, description="B."),  # noqa: B008
        c: Annotated[int, "said", Field(default=3)] = ...,  # type: ignore[assignment]  # pyright: ignore
        d: Annotated[int, Field(default=4)] = inspect.Parameter.empty,  # type: ignore[assignment]  # pyright: ignore
    ) -> None: ...

    a, b, c, d = read(function).parameters
    assert a.default is EMPTY
    assert (b.default, b.field is not None) == ([], True)
    assert (c.default, c.field) == (..., None)
    assert (d.default, d.field is not None) == (4, True)


def test_unpacked_keywords_know_the_names_around_them() -> None:
    class Inner(BaseModel):
        x: int

    class Options(TypedDict, total=False):
        inner: Required[Inner]
        also: int

    def function(**options: Unpack[Options]) -> None: ...

    assert [(each.annotation, each.default) for each in read(function).parameters] == [(Inner, EMPTY), (int, ABSENT)]


def test_names_bound_already_are_reserved_where_any_keyword_is_taken() -> None:
    def function(a: int, secret: str, context: ToolContext, /, b: int, **kwargs: int) -> None: ...

    def keywords(a: int, secret: str, context: ToolContext, **kwargs: int) -> None: ...

    assert read(function).reserved == frozenset()
    assert read(functools.partial(keywords, secret="s")).reserved == {"secret", "context"}
    assert read(sample).reserved == frozenset()


def plain_context(c: ToolContext) -> None: ...
def generic_context(c: ToolContext[int]) -> None: ...
def optional_context(c: Optional[ToolContext[int]] = None) -> None: ...  # noqa: UP045
def union_context(c: ToolContext | None = None) -> None: ...
def annotated_context(c: Annotated[ToolContext[int], "said"]) -> None: ...
def hidden_context(c: ToolContext[Hidden]) -> None: ...
def hidden_optional(c: Optional[ToolContext[Hidden]]) -> None: ...  # noqa: UP045


async def generator_context(c: ToolContext) -> AsyncIterator[int]:
    yield 1


def referred(c: Any) -> None: ...


referred.__annotations__["c"] = Optional["ToolContext[Nowhere]"]  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    "function",
    [
        plain_context, generic_context, optional_context, union_context, annotated_context, hidden_context,
        hidden_optional, generator_context, referred,
    ],
)  # fmt: skip
def test_the_context_is_found_however_it_is_written(function: Any) -> None:
    signature = read(function)
    assert signature.context is not None
    assert signature.context.name == "c"
    assert signature.parameters == ()


def test_two_contexts_are_refused() -> None:
    def function(one: ToolContext, two: ToolContext | None) -> None: ...

    with pytest.raises(InvalidTool, match="one and two both take the ToolContext; keep one"):
        read(function)


def test_a_name_that_cannot_be_resolved_is_named() -> None:
    def function(point: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore

    assert resolve(function) == {}
    with pytest.raises(InvalidTool, match=r"function': the type of point, 'Nowhere'.*import or define it"):
        read(function)


def test_names_are_looked_up_where_they_are_given_last() -> None:
    def function(point: Elsewhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore

    (parameter,) = read(function, Elsewhere=int).parameters
    assert parameter.annotation is int


def test_a_name_that_is_not_bound_yet_is_found_later() -> None:
    def make() -> Callable[..., Any]:
        def function(point: Late) -> None:
            Late()

        assert resolve(function) == {}
        Late = str
        return function

    assert shown(make()) == {"point": str}


def test_an_error_calls_a_function_by_its_name() -> None:
    assert label(functools.partial(sample, 1)) == "tool 'sample'"
    assert label(Box()) == "tool 'Box.__call__'"
