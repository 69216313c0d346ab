"""When the SDK's models change shape: the fast path turns itself off and says so once, and nothing breaks."""

# ruff: noqa: UP006, UP007, UP035, UP045 - the SDK writes its types so

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Dict, List, Literal, Optional, Union

import openai
import pydantic
import pytest
from fast.replies import Reply, check_everywhere
from fast.test_events import posts as streams
from fast.test_models import posts
from openai._models import construct_type
from openai._utils import PropertyInfo
from openai.types import Completion, CreateEmbeddingResponse, ImageGenStreamEvent
from openai.types.audio import TranscriptionStreamEvent
from openai.types.beta import AssistantStreamEvent, BetaResponseStreamEvent
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import ConfigDict, Field, field_validator, model_validator

from llmkit.fast.models import builder
from llmkit.fast.shapes import constructed_types, variants_of

KNOWN = [ChatCompletion, ChatCompletionChunk, Completion, CreateEmbeddingResponse, Response]


def posing(model: Any) -> Any:
    """`model` under a name of the SDK's, as another version of the SDK might have it."""
    model.__module__, model.__qualname__ = Completion.__module__, Completion.__qualname__
    return model


def upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


# --- shapes with which the SDK does more than to keep the values ---


class Plain(openai.BaseModel):
    id: str
    n: int


class Base(openai.BaseModel):
    id: str
    inside: Plain
    several: List[Plain]
    by_name: Dict[str, Plain]
    maybe: Optional[Plain] = None


class Validated(Plain):
    @field_validator("id")
    @classmethod
    def loud(cls, value: str) -> str:
        return upper(value)


class ValidatedWhole(Plain):
    @model_validator(mode="after")
    def one_more(self) -> ValidatedWhole:
        self.n += 1
        return self


class ValidatedBefore(Plain):
    @model_validator(mode="before")
    @classmethod
    def nothing(cls, data: Any) -> Any:
        return {**data, "n": 5}


class Annotated_(Plain):
    id: Annotated[str, pydantic.AfterValidator(upper)]


class Bounded(Plain):
    n: Annotated[int, Field(gt=5)]


class Initialised(Plain):
    def model_post_init(self, _: Any, /) -> None:
        self.n += 1


class Private(Plain):
    _seen: int = 5


class OwnInit(Plain):
    def __init__(self, **data: Any) -> None:
        super().__init__(**{**data, "n": 5})


class Aliased(Plain):
    n: int = Field(alias="number")


class AliasedToValidate(Plain):
    n: int = Field(validation_alias="number")


class Camel(Plain):
    model_config = ConfigDict(alias_generator=str.title)


class Ignoring(Plain):
    model_config = ConfigDict(extra="ignore")


class Stripping(Plain):
    model_config = ConfigDict(str_strip_whitespace=True)


class TypedExtra(Plain):
    __pydantic_extra__: Dict[str, Plain]


class BelowTypedExtra(TypedExtra):
    pass


class WithDefault(Plain):
    n: int = 5


class WithDefaultOfUnion(Plain):
    n: Optional[int] = 5


class WithDefaultMade(Plain):
    tags: Optional[List[str]] = Field(default_factory=list)


class NotRequired(Plain):
    tags: List[str] = None  # type: ignore[assignment]


class WithDate(Plain):
    at: datetime


class WithBytes(Plain):
    raw: bytes


class Colour(Enum):
    RED = "red"


class WithEnum(Plain):
    colour: Colour


class Foreign(pydantic.BaseModel):
    id: str


class WithForeign(Plain):
    foreign: Foreign


class WithAnnotatedItem(Plain):
    tags: List[Annotated[str, pydantic.AfterValidator(upper)]]


class WithFloats(Plain):
    numbers: List[float]


class WithFloatsInside(Plain):
    class Inside(openai.BaseModel):
        number: float

    one: Inside


class WithFloatsByName(Plain):
    numbers: Dict[str, float]


SPECIAL = [
    Validated, ValidatedWhole, ValidatedBefore, Annotated_, Bounded, Initialised, Private, OwnInit, Aliased,
    AliasedToValidate, Camel, Ignoring, Stripping, TypedExtra, BelowTypedExtra, WithDefault, WithDefaultOfUnion,
    WithDefaultMade, NotRequired, WithDate, WithBytes, WithEnum, WithForeign, WithAnnotatedItem, WithFloats,
    WithFloatsInside, WithFloatsByName,
]  # fmt: skip
VALUES: Mapping[str, Any] = {
    "id": " a ", "n": 1, "number": 2, "Id": "b", "N": 3, "tags": ["a"], "at": "2026-01-01T00:00:00Z", "raw": "a",
    "colour": "red", "foreign": {"id": "f"}, "numbers": [2**53 + 1, 0.5], "one": {"number": 2**53 + 1},
    "new": {"id": "x", "n": 1},
}  # fmt: skip
BODIES = [
    VALUES,
    {**VALUES, "new": None, "n": None, "tags": None},
    {key: value for key, value in VALUES.items() if key not in ("n", "tags")},
    {**VALUES, "numbers": {"a": 2**53 + 1}},
    {"id": "a", "n": "1"},
]


def placed(place: str, special: Any) -> Any:
    """`special` as the whole answer, or somewhere inside one."""
    if place == "whole":
        return special.__class__(special.__name__, (special,), {"__module__": __name__})
    kind = {"inside": special, "several": List[special], "by_name": Dict[str, special], "maybe": Optional[special]}[
        place
    ]
    return pydantic.create_model("Completion", __base__=Base, **{place: (kind, None if place == "maybe" else ...)})


def body_for(place: str, data: Any) -> bytes:
    plain = {"id": "a", "n": 1}
    whole = {"id": "w", "inside": plain, "several": [plain, plain], "by_name": {"a": plain}, "maybe": plain}
    inside = {"inside": data, "several": [data, plain, data], "by_name": {"a": data}, "maybe": data}
    return json.dumps(data if place == "whole" else {**whole, place: inside[place]}).encode()


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize("place", ["whole", "inside", "several", "by_name"])
def test_a_model_that_the_sdk_does_more_with_is_left_to_it_with_one_warning(
    special: Any, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = posing(placed(place, special))
    for data in BODIES:
        check_everywhere(posts(model), Reply([body_for(place, data)]))
    assert builder(model) is None
    warnings = [record.getMessage() for record in caplog.records if record.name == "llmkit"]
    assert warnings == [f"openai {openai.__version__}: Completion is built the SDK's slower way"]


@pytest.mark.parametrize("special", SPECIAL)
def test_such_a_model_that_may_be_null_is_validated_by_the_sdk_too(
    special: Any, caplog: pytest.LogCaptureFixture
) -> None:
    model = posing(placed("maybe", special))
    for data in [*BODIES, None]:
        check_everywhere(posts(model), Reply([body_for("maybe", data)]))
    assert builder(model) is not None
    assert not caplog.records


class New(Base):
    """What a new version may well add."""

    kind: Literal["a", "b"]
    number: float
    flag: bool
    anything: object
    whatever: Any
    deep: List[List[Dict[str, Plain]]]
    noted: List[Annotated[Plain, PropertyInfo(format="base64")]]
    either: Annotated[Union[Plain, str], PropertyInfo(discriminator="type")]
    several_either: List[Annotated[Union[Plain, str, None], PropertyInfo(discriminator="type")]]
    bare: List  # type: ignore[type-arg]
    note: Optional[str] = None


NEW = {
    **json.loads(body_for("maybe", {"id": "a", "n": 1})),
    "kind": "a", "number": 1, "flag": True, "anything": [1], "whatever": {"a": None}, "either": {"id": "a", "n": 1},
    "noted": [{"id": "a", "n": 1, "new": 1}], "deep": [[{"a": {"id": "a", "n": 1, "new": 1}}], []],
    "several_either": ["a", {"id": "a", "n": 2, "new": 1}], "bare": [1, "a"],
}  # fmt: skip


def test_a_model_with_more_of_the_same_is_still_built_in_one_step(caplog: pytest.LogCaptureFixture) -> None:
    model = posing(New)
    build = builder(model)
    assert build is not None
    extended = copy.deepcopy(NEW)
    for inside in (extended, extended["inside"], extended["several"][1], extended["by_name"]["a"], extended["maybe"]):
        inside["new"] = {"a": 1}
    for data in (NEW, extended):
        found = build(json.dumps(data))
        assert found.model_fields_set == construct_type(type_=model, value=data).model_fields_set  # type: ignore[attr-defined]
        check_everywhere(posts(model), Reply([json.dumps(data).encode()]))
    for key in NEW:
        for value in (None, 5, "5", [], {}, 2**53 + 1, [{"id": 5}], True):
            check_everywhere(posts(model), Reply([json.dumps({**extended, key: value}).encode()]))
    assert not caplog.records


@pytest.mark.parametrize("model", KNOWN)
def test_the_models_of_this_sdk_are_plain(model: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert constructed_types(model)
    assert builder(model) is not None
    assert not caplog.records


def test_the_types_that_are_constructed_come_with_the_models_they_stand_in() -> None:
    assert constructed_types(Plain) == {(Plain, Plain), (Plain, str), (Plain, int)}
    assert constructed_types(Base) == {
        (Base, Base), (Base, str), (Base, Plain), (Base, List[Plain]), (Base, Dict[str, Plain]),
        (Plain, str), (Plain, int),
    }  # fmt: skip
    assert constructed_types(Validated) is None


# --- unions ---


class A(openai.BaseModel):
    type: Literal["a"]
    text: str


class B(openai.BaseModel):
    type: Literal["b", "c"]
    text: str


class AlsoB(openai.BaseModel):
    type: Literal["b"]
    text: str
    more: Optional[int] = None


class Optional_(openai.BaseModel):
    type: Optional[Literal["d"]] = None


class Defaulted(openai.BaseModel):
    type: Literal["d"] = "d"


class Free(openai.BaseModel):
    type: str


class Nameless(openai.BaseModel):
    text: str


BY_TYPE = PropertyInfo(discriminator="type")
UNIONS: Mapping[str, tuple[Any, dict[str, Any]]] = {
    "told apart": (Annotated[Union[A, B], BY_TYPE], {"a": A, "b": B, "c": B}),
    "one type twice": (Annotated[Union[A, B, AlsoB], BY_TYPE], {"a": A, "c": B}),
    "no discriminator": (Union[A, B], {}),
    "no annotation of the SDK's": (Annotated[Union[A, B], "type"], {}),
    "another discriminator": (Annotated[Union[A, B], PropertyInfo(discriminator="kind")], {}),
    "a variant without a type": (Annotated[Union[A, Nameless], BY_TYPE], {}),
    "a variant whose type may be null": (Annotated[Union[A, Optional_], BY_TYPE], {}),
    "a variant whose type has a default": (Annotated[Union[A, Defaulted], BY_TYPE], {}),
    "a variant whose type is any text": (Annotated[Union[A, Free], BY_TYPE], {}),
    "text": (Annotated[Union[A, str], BY_TYPE], {}),
    "a union inside": (Annotated[Union[Annotated[Union[A, B], BY_TYPE], Nameless], BY_TYPE], {}),
    "no union": (Annotated[A, BY_TYPE], {}),
}
DATA = [
    {"type": kind, "text": text, **more}
    for kind in ("a", "b", "c", "d", "e", None, 5)
    for text, more in (("t", {}), ("t", {"more": 1}), ("t", {"more": "1", "new": 1}), (5, {}))
]


@pytest.mark.parametrize("name", UNIONS)
def test_a_union_is_built_in_one_step_where_the_type_says_which_one_it_is(name: str) -> None:
    union, variants = UNIONS[name]
    assert variants_of(union) == variants
    assert (builder(union) is not None) == bool(variants)
    body = "".join(f"data: {json.dumps(data)}\n\n" for data in [*DATA, {"text": "t"}, [], "a", None])
    check_everywhere(streams(union), Reply([body.encode()], "text/event-stream"))


def test_what_is_no_annotated_type_has_no_variants() -> None:
    for kind in (A, str, None, Any, Union[A, B], List[A]):
        assert variants_of(kind) == {}


@pytest.mark.parametrize(
    "union", [ResponseStreamEvent, ImageGenStreamEvent, TranscriptionStreamEvent, BetaResponseStreamEvent]
)
def test_every_event_of_this_sdk_has_a_type_of_its_own(union: Any) -> None:
    members = union.__origin__.__args__
    assert set(variants_of(union).values()) == set(members)
    assert variants_of(AssistantStreamEvent) == {}


def test_a_variant_of_a_union_is_validated_as_the_sdk_does() -> None:
    union = Annotated[Union[A, Validated_], BY_TYPE]
    assert variants_of(union) == {"a": A, "v": Validated_}
    body = "".join(f'data: {{"type": "v", "text": {text}, "number": 1}}\n\n' for text in ('"a"', '"b"', "5", "null"))
    check_everywhere(streams(union), Reply([body.encode()], "text/event-stream"))


class Validated_(openai.BaseModel):
    type: Literal["v"]
    text: str
    n: int = Field(alias="number")

    @field_validator("text")
    @classmethod
    def loud(cls, value: str) -> str:
        return upper(value)
