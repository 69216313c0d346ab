"""Whole answers: the same objects as the SDK's, or the same exceptions, whatever the body is."""

from __future__ import annotations

import copy
import gzip
import json
import pickle
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import httpx2
import openai
import pytest
from fast.replies import (
    ODD,
    Reply,
    Server,
    Way,
    check,
    check_everywhere,
    check_same,
    cut,
    data_of,
    each,
    encoded,
    kinds,
    least,
    method_of,
    new_client,
    often,
    opened,
    portrait,
    rarely,
    ready,
    seen,
    seen_by,
    seldom,
    spoiled,
    texts,
    whole,
)
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel

from llmkit import wrap
from llmkit.fast.models import builder

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # of the SDK's parsers, on odd data

CHAT: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Name a colour."}]}
RESPONSES: Any = {"model": "gpt-4o", "input": "Name a colour."}
EMBEDDINGS: Any = {"model": "text-embedding-3-small", "input": "blue"}


def name_of(value: Any) -> str:
    """For the names of tests."""
    return value.__name__ if isinstance(value, type) else str(value)


class Colour(BaseModel):
    name: str


class Own(openai.BaseModel):
    """A user's own type of answer."""

    id: str
    choices: list[Any]


class OwnChat(ChatCompletion):
    seed: int = 7


# --- every way to one answer ---


def calls(path: str, **arguments: Any) -> Way:
    """A method as it is, then for the raw response, then for the streaming response."""

    async def way(client: Any) -> AsyncIterator[Any]:
        owner, _, name = path.rpartition(".")
        yield await ready(method_of(client, path)(**arguments))
        raw = await ready(method_of(client, f"{owner}.with_raw_response.{name}")(**arguments))
        for to in (None, None, Own, dict[str, Any], OwnChat, object):
            yield raw.parse() if to is None else raw.parse(to=to)
        async with opened(method_of(client, f"{owner}.with_streaming_response.{name}")(**arguments)) as response:
            yield await ready(response.parse())
            yield await ready(response.json())
            yield await ready(response.parse(to=OwnChat))
        async with opened(method_of(client, f"{owner}.with_streaming_response.{name}")(**arguments)) as response:
            async for line in each(response.iter_lines()):
                yield line

    return way


def parses(path: str, **arguments: Any) -> Way:
    """A method that returns what a pydantic model makes of the text, as it is and for the raw response."""

    async def way(client: Any) -> AsyncIterator[Any]:
        owner, _, name = path.rpartition(".")
        yield await ready(method_of(client, path)(**arguments))
        raw = await ready(method_of(client, f"{owner}.with_raw_response.{name}")(**arguments))
        yield raw.parse()

    return way


def posts(cast_to: Any) -> Way:
    """A request of the user's own."""

    async def way(client: Any) -> AsyncIterator[Any]:
        yield await ready(client.post("/any", cast_to=cast_to, body={}))

    return way


TOOL = openai.pydantic_function_tool(Colour, name="paint")
TOOL_OF_RESPONSES: Any = {"type": "function", "name": "paint", "strict": True, "parameters": {}}
WAYS: Mapping[Any, Sequence[Way]] = {
    ChatCompletion: [
        calls("chat.completions.create", **CHAT),
        parses("chat.completions.parse", **CHAT, response_format=Colour, tools=[TOOL]),
        calls("chat.completions.retrieve", completion_id="c"),
    ],
    Completion: [calls("completions.create", model="gpt-3.5-turbo-instruct", prompt="Hi")],
    Response: [
        calls("responses.create", **RESPONSES, background=True),
        parses("responses.parse", **RESPONSES, text_format=Colour, tools=[TOOL_OF_RESPONSES]),
        calls("responses.retrieve", response_id="r"),
        calls("responses.cancel", response_id="r"),
    ],
    CreateEmbeddingResponse: [
        calls("embeddings.create", **EMBEDDINGS),
        calls("embeddings.create", **EMBEDDINGS, encoding_format="float"),
        calls("embeddings.create", **EMBEDDINGS, encoding_format="base64"),
    ],
}
MODELS = list(WAYS)


@pytest.mark.parametrize("model", MODELS, ids=name_of)
@often
@given(data=st.data())
def test_an_answer_is_what_the_sdk_makes_of_it(model: Any, data: st.DataObject) -> None:
    stack, is_async = data.draw(kinds)
    way = data.draw(st.sampled_from([posts(model), *WAYS[model]]))
    reply = data.draw(whole(texts(spoiled(data_of(model)))))
    check(way, reply, stack, is_async=is_async, strict=data.draw(rarely))


CASTS: Sequence[Any] = [
    object, dict, dict[str, Any], dict[str, ChatCompletion], list, list[ChatCompletion], Own, OwnChat, str, bytes, int,
    type(None), ChatCompletion | Response, ResponseStreamEvent, BaseModel, httpx2.Response,
]  # fmt: skip


@pytest.mark.parametrize("cast_to", CASTS, ids=name_of)
@seldom
@given(data=st.data())
def test_an_answer_of_another_type_is_what_the_sdk_makes_of_it(cast_to: Any, data: st.DataObject) -> None:
    stack, is_async = data.draw(kinds)
    reply = data.draw(whole(texts(spoiled(data_of(ChatCompletion)))))
    if cast_to is not httpx2.Response:
        check(posts(cast_to), reply, stack, is_async=is_async, strict=data.draw(rarely))
    else:
        found, expected = (seen(posts(cast_to), reply, kind, is_async=is_async).values[0] for kind in (stack, None))
        assert found.content == expected.content


# --- one oddity each ---

CITATION = {"end_index": 2, "start_index": 1, "title": "t", "url": "u"}
CALL = {"id": "t", "type": "function", "function": {"name": "paint", "arguments": '{"name": "red"}'}}
MESSAGE = {
    "role": "assistant",
    "content": '{"name": "blue"}',
    "refusal": None,
    "annotations": [{"type": "url_citation", "url_citation": CITATION}],
    "audio": {"id": "a", "data": "AAAA", "expires_at": 1, "transcript": "t"},
    "tool_calls": [CALL, {"id": "t", "type": "custom", "custom": {"name": "c", "input": "i"}}],
}
LOGPROBS = {"content": [{"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []}], "refusal": None}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}}


def every(name: str) -> list[Any]:
    """One of each kind that may stand in a list of a Response."""
    return [least(kind) for kind in get_args(get_args(get_args(Response.model_fields[name].annotation)[0])[0])]


SAMPLES: Mapping[Any, Any] = {
    ChatCompletion: {
        **least(ChatCompletion),
        "choices": [{"index": 0, "finish_reason": "stop", "logprobs": LOGPROBS, "message": MESSAGE}],
        "usage": USAGE,
    },
    Completion: {
        **least(Completion),
        "choices": [{"index": 0, "finish_reason": "stop", "text": "t", "logprobs": {"token_logprobs": [-0.5, 0]}}],
        "usage": USAGE,
    },
    Response: {
        **least(Response),
        "output": every("output")[:3],
        "tools": every("tools")[:2],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"a": 1}, "strict": None}},
        "temperature": 1.5,
        "instructions": [{"role": "user", "content": "Hi"}],
        "usage": least(get_args(Response.model_fields["usage"].annotation)[0]),
    },
    CreateEmbeddingResponse: {
        **least(CreateEmbeddingResponse),
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -1, 0]}],
    },
}
PLACES: Mapping[Any, Sequence[Sequence[Any]]] = {
    ChatCompletion: [
        ("id",), ("created",), ("choices",), ("choices", 0, "index"), ("choices", 0, "message", "role"),
        ("choices", 0, "message", "content"), ("choices", 0, "message", "tool_calls", 0, "type"),
        ("choices", 0, "logprobs", "content", 0, "logprob"), ("choices", 0, "new"), ("usage",), ("usage", "new"),
        ("usage", "total_tokens"), ("new",),
    ],
    Completion: [("created",), ("choices", 0, "logprobs", "token_logprobs", 0), ("choices", 0, "text"), ("new",)],
    Response: [
        ("created_at",), ("temperature",), ("output",), ("output", 0), ("output", 0, "content"), ("output", 0, "type"),
        ("tools", 0, "strict"), ("text", "format", "schema"), ("usage", "input_tokens"), ("parallel_tool_calls",),
        ("tool_choice",), ("instructions", 0, "role"), ("new",), ("output", 0, "new"), ("incomplete_details",),
    ],
    CreateEmbeddingResponse: [
        ("data",), ("data", 0), ("data", 0, "embedding"), ("data", 0, "embedding", 1), ("data", 0, "index"),
        ("data", 0, "new"), ("usage", "total_tokens"), ("usage", "new"), ("new",),
    ],
}  # fmt: skip
PLACED = [(model, place) for model in MODELS for place in PLACES[model]]


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_an_answer_that_is_right_is_the_same_by_every_client_and_in_every_way(model: Any) -> None:
    for way in (posts(model), *WAYS[model]):
        check_everywhere(way, Reply([encoded(SAMPLES[model]).encode()]))


@pytest.mark.parametrize(("model", "place"), PLACED, ids=name_of)
def test_whatever_stands_in_a_place_is_what_the_sdk_makes_of_it(model: Any, place: Sequence[Any]) -> None:
    for value in ODD:
        data = copy.deepcopy(SAMPLES[model])
        holder = data
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = value
        check(posts(model), Reply([encoded(data).encode("utf-8", "surrogatepass")]), "bare", is_async=False)


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_a_body_that_is_something_else_is_what_the_sdk_makes_of_it(model: Any) -> None:
    good = encoded(SAMPLES[model], ensure_ascii=False)
    bodies = [encoded(value).encode("utf-8", "surrogatepass") for value in ODD]
    bodies += [good.encode(charset) for charset in ("utf-8-sig", "utf-16", "utf-16-be", "utf-32", "latin-1")]
    bodies += [good[:-1].encode(), good.encode() + b"x", b"[" + good.encode() + b"]", b" \n" + good.encode() + b"\n"]
    bodies += [good.replace('"', "'").encode(), good.encode() + b"\xff", b"\xff", b"data: " + good.encode() + b"\n\n"]
    for body in bodies:
        check(posts(model), Reply([body] if body else []), "bare", is_async=False)


@pytest.mark.parametrize("model", MODELS, ids=name_of)
@pytest.mark.parametrize(
    "content_type", ["application/json; charset=latin-1", "text/plain", "text/event-stream", "", None]
)
def test_the_content_type_matters_no_more_than_it_does_to_the_sdk(model: Any, content_type: str | None) -> None:
    for body in (encoded(SAMPLES[model]).encode(), b"not json", b"[]", b'{"new": 1}'):
        for strict in (False, True):
            check_everywhere(posts(model), Reply([body], content_type), strict=strict)


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_the_form_of_the_answer_does_not_matter(model: Any) -> None:
    body = encoded(SAMPLES[model]).encode()
    zipped = gzip.compress(body)
    for reply in (
        Reply(cut(body, [1] * 50)),
        Reply([body], loaded=True),
        Reply([body], request_id=None),
        Reply([zipped], encoding="gzip"),
    ):
        check_everywhere(posts(model), reply)


@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_the_same_key_twice_is_what_the_sdk_makes_of_it(model: Any) -> None:
    good = encoded(SAMPLES[model])
    for one, other in (("id", '"first"'), ("new", "1"), ("object", "5"), ("model", "null"), ("usage", "{}")):
        twice = [f'{{"{one}": {other}, ' + good[1:], good[:-1] + f', "{one}": {other}}}']
        for text in (*twice, good[:-1] + ', "new": 1, "x": 2, "new": 3}'):
            check(posts(model), Reply([text.encode()]), "bare", is_async=False)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_answer_that_cannot_be_parsed_raises_what_the_sdk_raises(reason: str) -> None:
    data = copy.deepcopy(SAMPLES[ChatCompletion])
    data["choices"][0]["finish_reason"] = reason
    found = check_everywhere(WAYS[ChatCompletion][1], Reply([json.dumps(data).encode()]))
    assert isinstance(found.error, openai.LengthFinishReasonError | openai.ContentFilterFinishReasonError)
    data = copy.deepcopy(SAMPLES[ChatCompletion])
    data["choices"][0]["message"]["content"] = reason
    assert check_everywhere(WAYS[ChatCompletion][1], Reply([json.dumps(data).encode()])).error is not None


def test_an_embedding_may_be_base64() -> None:
    data = copy.deepcopy(SAMPLES[CreateEmbeddingResponse])
    for text in ("AACAPwAAAMA=", "", "AAAA", "no base64", "AACAPw", [1, "a"], [], [1e17], [2**53]):
        data["data"][0]["embedding"] = text
        for way in (posts(CreateEmbeddingResponse), *WAYS[CreateEmbeddingResponse]):
            check_everywhere(way, Reply([json.dumps(data).encode()]))


def test_pages_are_what_the_sdk_makes_of_them() -> None:
    async def way(client: Any) -> AsyncIterator[Any]:
        page = await ready(client.chat.completions.list())
        for value in (type(page), page.data, page.has_more, page.next_page_info() is None, page.model_extra):
            yield value
        async for completion in each(client.chat.completions.list(limit=1)):
            yield completion

    good = SAMPLES[ChatCompletion]
    pages = ([good, {**good, "new": 1}], [{**good, "created": "1"}], [], None, [5])
    for data in pages:
        body = json.dumps({"object": "list", "data": data, "has_more": False, "first_id": "a", "last_id": "b"})
        check_everywhere(way, Reply([body.encode()]))


# --- how it is done ---


@pytest.fixture
def _not_by_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the SDK had to build it")

    monkeypatch.setattr(openai._base_client.BaseClient, "_process_response_data", refuse)


def test_every_item_of_a_response_is_what_the_sdk_makes_of_it() -> None:
    data = {**SAMPLES[Response], "output": every("output"), "tools": every("tools")}
    found = check_everywhere(posts(Response), Reply([json.dumps(data).encode()]))
    assert len({type(item) for item in found.values[0].output}) == len(data["output"])
    assert len({type(tool) for tool in found.values[0].tools}) == len(data["tools"])


@pytest.mark.usefixtures("_not_by_the_sdk")
@pytest.mark.parametrize("model", MODELS, ids=name_of)
def test_every_answer_that_is_right_is_built_in_one_step(model: Any) -> None:
    for data in (SAMPLES[model], least(model), {**SAMPLES[model], "new": {"a": [1, None]}}):
        for is_async in (False, True):
            found = seen(posts(model), Reply([json.dumps(data).encode()]), "bare", is_async=is_async)
            assert [type(value) for value in found.values] == [model]
            assert found.error is None
            check_same(pickle.loads(pickle.dumps(found.values[0])), found.values[0])


@pytest.mark.parametrize(
    ("name", "is_async"), [(name, is_async) for name in ("OpenAI", "AzureOpenAI") for is_async in (False, True)]
)
def test_a_wrapped_client_gives_the_same(name: str, is_async: bool) -> None:
    for data in (SAMPLES[ChatCompletion], {**SAMPLES[ChatCompletion], "new": 1, "created": "1"}):
        server = Server()
        server.reply = Reply([json.dumps(data).encode()])
        raw = new_client(None, is_async=is_async, server=server, name=name)
        expected = seen_by(WAYS[ChatCompletion][0], raw, is_async=is_async)
        assert portrait(seen_by(WAYS[ChatCompletion][0], wrap(raw), is_async=is_async)) == portrait(expected)


def test_what_is_not_the_sdks_own_type_is_left_to_the_sdk() -> None:
    for kind in (*CASTS, Any, None, "ChatCompletion"):
        assert kind is ResponseStreamEvent or builder(kind) is None


def test_threads_may_ask_for_a_builder_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda model: (builder(model) or repr)(encoded(SAMPLES[model])), MODELS * 8))
    assert found == [builder(model)(encoded(SAMPLES[model])) for model in MODELS * 8]  # type: ignore[misc]
