from __future__ import annotations

import base64
import collections
import dataclasses
import enum
import functools
import itertools
import json
import types
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypedDict

import pytest
from openai.types.responses import ResponseInputText
from pydantic import BaseModel, Field, SecretStr, model_serializer

from llmkit.tools.content import json_text, parts_of
from llmkit.tools.drain import STOPPED, Taken
from llmkit.tools.failures import NoData
from llmkit.tools.parts import FilePart, ImagePart, TextPart

PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)
JPEG = b"\xff\xd8\xff\xe0" + bytes(8)
WEBP = b"RIFF\x10\x00\x00\x00WEBPVP8 "


def text_of(value: object) -> str:
    [part] = parts_of(value)
    assert isinstance(part, TextPart)
    return part.text


class Size(enum.Enum):
    BIG = "big"


class Word(str, enum.Enum):  # noqa: UP042 - users write both
    YES = "yes"


class Model(BaseModel):
    city: str = Field(alias="theCity")
    at: datetime
    secret: SecretStr = SecretStr("canary")


@dataclasses.dataclass
class Point:
    x: int
    y: Size = Size.BIG


class Shape(TypedDict):
    name: str


class Pair(NamedTuple):
    a: int
    b: str


class Array:
    def tolist(self) -> list[int]:
        return [1, 2]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ø as it is", "ø as it is"),
        ("", ""),
        (Word.YES, "yes"),
        (True, "true"),
        (1.5, "1.5"),
        ([float("nan"), float("inf")], '["NaN","Infinity"]'),
        ({"ø": [1, None]}, '{"ø":[1,null]}'),
        ([], "[]"),
        (["a", "b"], '["a","b"]'),
        ((1, 2), "[1,2]"),
        ({1}, "[1]"),
        (range(3), "[0,1,2]"),
        (Pair(1, "x"), '[1,"x"]'),
        (Size.BIG, '"big"'),
        (Decimal("1.10"), '"1.10"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (datetime(2026, 1, 2, tzinfo=UTC), '"2026-01-02T00:00:00Z"'),
        (uuid.UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (
            Model(theCity="Oslo", at=datetime(2026, 1, 2)),
            '{"theCity":"Oslo","at":"2026-01-02T00:00:00","secret":"**********"}',
        ),
        (Point(1), '{"x":1,"y":"big"}'),
        ([Point(1)], '[{"x":1,"y":"big"}]'),
        (Shape(name="a"), '{"name":"a"}'),
        (types.MappingProxyType({"a": 1}), '{"a":1}'),
        (collections.ChainMap({"a": 1}), '{"a":1}'),
        (collections.UserDict(a=1), '{"a":1}'),
        ({1: {"a"}.union()}, '{"1":["a"]}'),
        (Array(), "[1,2]"),
        ({"rows": Array()}, '{"rows":[1,2]}'),
        ({"b": b"text"}, '{"b":"text"}'),
        ({"b": b"\xff", "c": "ø"}, '{"b":"_w==","c":"ø"}'),
        (b"text \xc3\xb8", "text ø"),
        (bytearray(b"text"), "text"),
        (memoryview(b"\xff\xfe"), "[2 bytes of binary data]"),
        (b"\xff" * 1234, "[1,234 bytes of binary data]"),
        ({"a": "\ud800"}, '{"a":"\ud800"}'),
    ],
    ids=lambda value: repr(value)[:40].encode("ascii", "replace").decode(),
)
def test_json_data_of_every_kind_becomes_text(value: object, text: str) -> None:
    try:
        assert text_of(value) == text
    except NoData:
        assert "\ud800" in text  # pydantic refuses halves of surrogate pairs inside data


@pytest.mark.parametrize(
    ("data", "kind"), [(PNG, "png"), (JPEG, "jpeg"), (b"GIF89a..", "gif"), (b"GIF87a..", "gif"), (WEBP, "webp")]
)
def test_the_bytes_of_an_image_become_an_image(data: bytes, kind: str) -> None:
    image = ImagePart(url=f"data:image/{kind};base64,{base64.b64encode(data).decode()}")
    assert parts_of(data) == (image,)
    assert parts_of(memoryview(data)) == (image,)
    assert parts_of(["look:", data, {"a": 1}, Word.YES, b"\xff"]) == (
        TextPart(text="look:"),
        image,
        TextPart(text='{"a":1}'),
        TextPart(text="yes"),
        TextPart(text="[1 bytes of binary data]"),
    )


def test_parts_that_the_tool_wrote_pass_through() -> None:
    chat = {"type": "image_url", "image_url": {"url": "https://x/a.png"}}
    assert parts_of(chat) == (ImagePart(url="https://x/a.png"),)
    assert parts_of(
        [
            {"type": "text", "text": "a"},
            chat,
            ResponseInputText(type="input_text", text="b"),
            {"type": "file", "file": {"file_id": "f"}},
        ]
    ) == (TextPart(text="a"), ImagePart(url="https://x/a.png"), TextPart(text="b"), FilePart(file_id="f"))
    assert parts_of(({"type": "text", "text": "a"}, {"type": "city"})) == (
        TextPart(text="a"),
        TextPart(text='{"type":"city"}'),
    )


async def done() -> None: ...
def unsure() -> str | None: ...
def silent(): ...  # type: ignore[no-untyped-def]


class Callable_:
    def __call__(self) -> None: ...


FUNCTIONS: list[tuple[Any, str]] = [
    (done, "Done."),
    (functools.partial(done), "Done."),
    (Callable_(), "Done."),
    (unsure, "null"),
    (silent, "null"),
    (None, "null"),
    (str.join, "null"),
    (print, "null"),
]


@pytest.mark.parametrize(("function", "text"), FUNCTIONS)
def test_none_is_done_where_nothing_else_was_promised(function: Callable[..., Any] | None, text: str) -> None:
    assert parts_of(None, function=function) == (TextPart(text=text),)


def test_a_function_whose_annotations_cannot_be_read_promised_nothing() -> None:
    def broken() -> None: ...

    broken.__signature__ = "nonsense"  # type: ignore[attr-defined]
    assert parts_of(None, function=broken) == (TextPart(text="null"),)


def test_a_generator_that_was_stopped_says_so() -> None:
    taken = Taken(["a", "b"])
    assert parts_of(taken) == (TextPart(text='["a","b"]'),)
    taken.stopped = True
    [part] = parts_of(taken)
    assert part == TextPart(text=f'["a","b","{STOPPED}"]')
    taken.append(PNG)
    assert len(parts_of(taken)) == 4


def test_an_endless_iterator_inside_a_result_ends() -> None:
    assert text_of({"from": 1, "numbers": itertools.count(1)}).endswith(f',"{STOPPED}"]}}')


class Unknown:
    def __init__(self) -> None:
        self.secret = "canary"

    def __repr__(self) -> str:
        return "canary"


class Angry(BaseModel):
    a: int = 1

    @model_serializer
    def refuse(self) -> Any:
        raise RuntimeError("canary")


def broken() -> Iterator[int]:
    yield 1
    raise ValueError("canary")


def cyclic() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def deep() -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(5_000):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Unknown(), "Unknown"),
        ({"a": [Unknown()]}, "Unknown"),
        (ValueError("canary"), "ValueError"),
        (Size, "EnumType" if hasattr(enum, "EnumType") else "EnumMeta"),
        (Angry(), "Angry"),
        ({"a": broken()}, "dict"),
        (cyclic(), "list"),
        (deep(), "dict"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_data_is_named_by_its_type_alone(value: object, named: str) -> None:
    with pytest.raises(NoData) as caught:
        parts_of(value)
    assert str(caught.value) == named
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_json_keeps_what_went_in() -> None:
    value = {"text": 'quote " and ø', "list": [1, 2.5, None, True]}
    assert json.loads(text_of(value)) == value


class Pandas:
    columns = ("a", "b")

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return 1

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def to_dict(self, orient: str) -> list[dict[str, int]]:
        assert orient == "records"
        return [{"a": 1, "b": 2}]


class Polars:
    columns = ("a", "b")

    def to_dicts(self) -> list[dict[str, int]]:
        return [{"a": 1, "b": 2}]


class Spreadsheet:
    columns = ("a", "b")


@pytest.mark.parametrize("table", [Pandas(), Polars()])
def test_a_table_is_its_rows(table: object) -> None:
    assert json_text({"table": table}) == '{"table":[{"a":1,"b":2}]}'


def test_a_table_without_rows_is_no_data() -> None:
    with pytest.raises(NoData):
        json_text(Spreadsheet())
