"""Types and values for the tests of tools: what users write in annotations."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional, Union
from uuid import UUID

from hypothesis import strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

LEFT_OUT = 7
"""What nested fields have as their default."""


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(BaseModel):
    """A point on the map."""

    x: int
    y: int = LEFT_OUT
    title: str | None = None


@dataclasses.dataclass
class Size:
    width: float
    height: int = LEFT_OUT


class Filter(TypedDict):
    name: str
    limit: NotRequired[int]


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = LEFT_OUT


class Dog(BaseModel):
    kind: Literal["dog"]
    owner: Optional[Point] = None  # noqa: UP045 - as users write it


class Node(BaseModel):
    value: int = LEFT_OUT
    children: list[Node] = []


class Pair(NamedTuple):
    left: int
    right: str


Pet = Annotated[Union[Cat, Dog], Field(discriminator="kind")]  # noqa: UP007 - as users write it

text = st.text(st.characters(codec="utf-8"), max_size=8)
small = st.integers(-(2**53), 2**53)
some = st.integers(-9, 9)
moments = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1))
points = st.builds(Point, x=some, y=some, title=st.none() | text)
nodes = st.recursive(
    st.builds(Node, value=some), lambda inner: st.builds(Node, value=some, children=st.lists(inner, max_size=2))
)

KINDS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, text),
    (int, small),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (bool, st.booleans()),
    (bytes, text.map(str.encode)),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
    (Literal[1, "one", True], st.sampled_from([1, "one"])),
    (Color, st.sampled_from(Color)),
    (Level, st.sampled_from(Level)),
    (datetime, moments | moments.map(lambda moment: moment.replace(tzinfo=UTC))),
    (date, st.dates()),
    (time, st.times()),
    (timedelta, st.timedeltas(timedelta(0), timedelta(days=900))),
    (UUID, st.uuids()),
    (Decimal, st.decimals(-1000, 1000, allow_nan=False, places=3)),
    (list[str], st.lists(text, max_size=3)),
    (list[Point], st.lists(points, max_size=2)),
    (set[int], st.sets(some, max_size=3)),
    (frozenset[str], st.frozensets(text, max_size=3)),
    (tuple[int, str], st.tuples(some, text)),
    (tuple[int, int], st.tuples(some, some)),
    (tuple[float, ...], st.lists(st.floats(-9, 9), max_size=3).map(tuple)),
    (Pair, st.builds(Pair, some, text)),
    (Optional[int], st.none() | small),  # noqa: UP045 - as users write it
    (str | int | None, st.none() | text | small),
    (list[Point | None], st.lists(st.none() | points, max_size=2)),
    (Annotated[int, Field(ge=0, le=9, description="A digit.")], st.integers(0, 9)),
    (Annotated[str, Field(min_length=1, max_length=4)], st.text(st.characters(codec="ascii"), min_size=1, max_size=4)),
    (Annotated[list[int], Field(min_length=1)], st.lists(some, min_size=1, max_size=3)),
    (Point, points),
    (Size, st.builds(Size, st.floats(-9, 9), some)),
    (Filter, st.fixed_dictionaries({"name": text}, optional={"limit": some})),
    (
        Pet,
        st.builds(Cat, kind=st.just("cat"), lives=some) | st.builds(Dog, kind=st.just("dog"), owner=st.none() | points),
    ),
    (Node, nodes),
    (list[Filter], st.lists(st.fixed_dictionaries({"name": text}, optional={"limit": some}), max_size=2)),
]
LOOSE: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (dict[str, int], st.dictionaries(text, some, max_size=3)),
    (dict[str, Point], st.dictionaries(text, points, max_size=2)),
    (Any, st.none() | text | some | st.lists(some, max_size=2)),
    (list[Any], st.lists(some | text, max_size=2)),
]
"""Those that strict mode has no schema for."""

NAMES = ["city", "schema", "copy", "model_x", "_x", "self", "json", "title", "validate", "default"]


def function_of(parameters: list[inspect.Parameter]) -> Callable[..., Mapping[str, Any]]:
    """A function with these parameters that returns its arguments."""
    signature = inspect.Signature(parameters)

    def sample(*args: Any, **kwargs: Any) -> Mapping[str, Any]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments

    sample.__signature__ = signature  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess]
    return sample
