from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Annotated, Any, Generic, Literal, NotRequired, Required, TypeAlias, TypeVar

import openai
import pytest
from fast.wire import Call, Wire
from openai._utils import PropertyInfo
from openai.types.chat import completion_create_params
from typing_extensions import TypeAliasType, TypedDict

from llmkit.fast import requests, shapes

T = TypeVar("T")
PARAMS = "chat.completion_create_params.CompletionCreateParamsNonStreaming"


class Plain(TypedDict, total=False):
    role: Required[Literal["user"]]
    created: Annotated[str, PropertyInfo(format="iso8601")]
    inner: Plain


class Renamed(TypedDict):
    content: Annotated[str, PropertyInfo(alias="theContent")]


class Holder(TypedDict, Generic[T]):
    values: Iterable[T]


class Deep(TypedDict):
    plain: Plain
    holder: NotRequired[Holder[int] | list[dict[str, Renamed]] | None]


Named = TypeAliasType("Named", list[Renamed])
Same: TypeAlias = "list[Plain]"


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    shapes.walk_changes_nothing.cache_clear()
    yield
    shapes.walk_changes_nothing.cache_clear()


def params_with(messages: Any) -> Any:
    class Params(TypedDict):
        model: Required[str]
        messages: Required[messages]  # type: ignore[valid-type]

    Params.__annotations__["messages"] = messages
    return Params


@pytest.mark.parametrize(
    ("messages", "same"),
    [
        (Iterable[Plain], True),
        (Required[Iterable[Plain | str]], True),
        (Same, True),
        (Iterable[Renamed], False),
        (Iterable[Plain | Deep], False),
        (dict[str, Renamed], False),
        (Annotated[list[str], PropertyInfo(alias="theMessages")], False),
        (Named, False),
    ],
)
def test_a_key_renamed_anywhere_below_is_found(
    messages: Any, same: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(completion_create_params, "CompletionCreateParamsNonStreaming", params_with(messages))
    assert [shapes.walk_changes_nothing(PARAMS, "messages") for _ in range(3)] == [same] * 3
    said = f"openai {openai.__version__} renames a key in it: messages of {PARAMS} goes the SDK's slower way"
    assert caplog.messages == ([] if same else [said])


@pytest.mark.parametrize(
    ("params", "field", "error"),
    [
        (PARAMS, "mesages", "KeyError"),
        ("chat.completion_create_params.Nowhere", "messages", "AttributeError"),
        ("chat.nowhere.Params", "messages", "ModuleNotFoundError"),
    ],
)
def test_what_this_sdk_has_no_more_goes_its_way_and_that_is_said(
    params: str, field: str, error: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not shapes.walk_changes_nothing(params, field)
    said = f"openai {openai.__version__} has moved it ({error}): {field} of {params} goes the SDK's slower way"
    assert caplog.messages == [said]


@pytest.mark.parametrize("surface", requests.SURFACES.values(), ids=requests.SURFACES)
def test_this_sdk_is_of_the_known_shape(surface: Any, caplog: pytest.LogCaptureFixture) -> None:
    fields = {field for fields in surface.methods.values() for field in fields}
    assert all(shapes.walk_changes_nothing(surface.params, field) for field in fields)
    assert caplog.messages == []


@pytest.mark.parametrize("is_async", [False, True])
def test_an_sdk_that_renames_a_key_of_a_message_still_does_and_that_is_said_once(
    is_async: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("CompletionCreateParamsNonStreaming", "CompletionCreateParamsStreaming"):
        monkeypatch.setattr(completion_create_params, name, params_with(Iterable[Renamed]))
    wire, call = Wire(), Call("chat.completions.create", {"model": "m", "messages": [{"content": "Hi"}]})
    for _ in range(3):
        outcome = wire.same(call, ways=(is_async,))
        assert outcome.sent[0].body == b'{"model":"m","messages":[{"theContent":"Hi"}]}'
    wire.close()
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("is_async", [False, True])
def test_an_sdk_that_has_moved_its_types_is_left_to_itself_and_that_is_said_once(
    is_async: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def nothing(name: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(shapes, "importlib", SimpleNamespace(import_module=nothing))
    wire, call = Wire(), Call("responses.create", {"model": "m", "input": [{"role": "user", "content": "Hi"}]})
    for _ in range(3):
        assert wire.same(call, ways=(is_async,)).sent
    wire.close()
    assert len([message for message in caplog.messages if "has moved it" in message]) == 1
