"""Where the fast paths come into a client, and how they are turned off."""

from __future__ import annotations

import asyncio
import json
import types
from contextlib import nullcontext
from typing import Any

import httpx2
import openai
import pytest
from fast.replies import (
    Reply,
    Server,
    check_same,
    each,
    least,
    method_of,
    new_client,
    ready,
    run,
)
from openai._models import FinalRequestOptions
from openai._streaming import SSEDecoder
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseTextDeltaEvent

import llmkit
import llmkit.testing
from llmkit import UsageLog, _sdk, wrap
from llmkit.fast import members
from llmkit.fast.events import Decoder
from llmkit.record import CallRecord

CHAT: Any = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Name a colour."}]}
CALLS: list[tuple[str, Any, Any]] = [
    ("chat.completions.create", CHAT, ChatCompletion),
    ("completions.create", {"model": "gpt-3.5-turbo-instruct", "prompt": "Hi"}, Completion),
    ("responses.create", {"model": "gpt-4o", "input": "Hi"}, Response),
    ("embeddings.create", {"model": "e", "input": "Hi", "encoding_format": "float"}, CreateEmbeddingResponse),
]
STREAMED: list[tuple[str, Any, Any]] = [
    ("chat.completions.create", {**CHAT, "stream": True}, ChatCompletionChunk),
    ("responses.create", {"model": "gpt-4o", "input": "Hi", "stream": True}, ResponseTextDeltaEvent),
]
SPEEDS = {"fast": None, "not fast": "0"}


@pytest.fixture
def built_by_the_sdk(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the SDK builds from now on."""
    built: list[Any] = []
    original = openai._base_client.BaseClient._process_response_data

    def process(self: Any, **what: Any) -> Any:
        built.append(original(self, **what))
        return built[-1]

    monkeypatch.setattr(openai._base_client.BaseClient, "_process_response_data", process)
    return built


def set_speed(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv("LLMKIT_FAST", raising=False)
    else:
        monkeypatch.setenv("LLMKIT_FAST", value)


@pytest.mark.parametrize(("value", "expected"), [(None, True), ("1", True), ("", True), ("false", True), ("0", False)])
def test_the_fast_paths_are_in_use_unless_the_environment_says_0(
    value: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_speed(monkeypatch, value)
    assert members.is_on() is expected


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize(("path", "arguments", "model"), CALLS)
def test_an_answer_is_built_by_the_sdk_only_when_the_fast_paths_are_off(
    path: str,
    arguments: Any,
    model: Any,
    speed: str,
    is_async: bool,
    monkeypatch: pytest.MonkeyPatch,
    built_by_the_sdk: list[Any],
) -> None:
    set_speed(monkeypatch, SPEEDS[speed])
    server = Server()
    server.reply = Reply([json.dumps(least(model)).encode()])
    client = new_client("bare", is_async=is_async, server=server)
    answer = run(ready(method_of(client, path)(**arguments)), is_async=is_async)
    assert type(answer) is model
    assert len(built_by_the_sdk) == (speed == "not fast")
    assert answer._request_id == "req_1"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize(("path", "arguments", "model"), STREAMED)
def test_events_are_cut_and_built_by_the_sdk_only_when_the_fast_paths_are_off(
    path: str,
    arguments: Any,
    model: Any,
    speed: str,
    is_async: bool,
    monkeypatch: pytest.MonkeyPatch,
    built_by_the_sdk: list[Any],
) -> None:
    set_speed(monkeypatch, SPEEDS[speed])
    server = Server()
    server.reply = Reply([f"data: {json.dumps(least(model))}\n\n".encode()], "text/event-stream")
    client = new_client("bare", is_async=is_async, server=server)
    stream = run(ready(method_of(client, path)(**arguments)), is_async=is_async)
    assert type(stream._decoder) is (Decoder if speed == "fast" else SSEDecoder)

    async def read() -> list[Any]:
        return [event async for event in each(stream)]

    assert [type(event) for event in run(read(), is_async=is_async)] == [model]
    assert len(built_by_the_sdk) == (speed == "not fast")


def test_a_client_keeps_the_speed_it_was_made_with(
    monkeypatch: pytest.MonkeyPatch, built_by_the_sdk: list[Any]
) -> None:
    server = Server()
    server.reply = Reply([json.dumps(least(ChatCompletion)).encode()])
    made = new_client("bare", is_async=False, server=server)
    monkeypatch.setenv("LLMKIT_FAST", "0")
    later = new_client("bare", is_async=False, server=server)
    for client in (made, made.copy(), made.with_options(timeout=5), wrap(made, middleware=[])):
        client.chat.completions.create(**CHAT)
    assert not built_by_the_sdk
    for client in (later, later.with_options(timeout=5), wrap(new_client(None, is_async=False, server=server))):
        client.chat.completions.create(**CHAT)
    assert len(built_by_the_sdk) == 3


def test_a_url_is_joined_as_the_sdk_joins_it_at_either_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, "0"):
        set_speed(monkeypatch, value)
        client = llmkit.OpenAI(api_key="sk-fake", base_url="https://one.test/v1?x=1")
        for base_url in ("https://one.test/v1?x=1", "https://two.test/"):
            client.base_url = base_url
            expected = openai.OpenAI(api_key="sk-fake", base_url=base_url)
            for url in (
                "/chat/completions",
                "/chat/completions",
                "/responses",
                "/models",
                "https://other.test/responses",
            ):
                assert client._prepare_url(url) == expected._prepare_url(url)


class Elsewhere(openai.OpenAI):
    """A user's client that sends its requests elsewhere."""

    def _prepare_url(self, url: str) -> httpx2.URL:
        return super()._prepare_url(f"/mine{url}")


def test_a_client_that_joins_urls_in_its_own_way_goes_on_doing_so() -> None:
    client = wrap(Elsewhere(api_key="sk-fake", base_url="https://one.test/v1"), middleware=[])
    assert str(client._prepare_url("/responses")) == "https://one.test/v1/mine/responses"


def test_a_raw_response_is_parsed_when_the_caller_says_so(built_by_the_sdk: list[Any]) -> None:
    server = Server()
    server.reply = Reply([json.dumps({**least(ChatCompletion), "new": 1}).encode()])
    raw = new_client(None, is_async=False, server=server).chat.completions.create(**CHAT)
    response = new_client("bare", is_async=False, server=server).chat.completions.with_raw_response.create(**CHAT)
    assert len(built_by_the_sdk) == 1
    parsed = response.parse()
    assert response.parse() is parsed
    check_same(parsed, raw)
    assert len(built_by_the_sdk) == 1


# --- what llmkit itself reads of an answer ---

TOLD = [
    "model", "response_id", "response_model", "input_tokens", "output_tokens", "total_tokens", "cached_tokens",
    "reasoning_tokens", "finish_reasons", "request_id", "error", "error_code", "complete", "answer", "estimated",
]  # fmt: skip
MESSAGE = {"role": "assistant", "content": "Blue", "new": 1}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1}}
COMPLETION = {
    **least(ChatCompletion),
    "choices": [{"index": 0, "finish_reason": "stop", "message": MESSAGE}],
    "usage": USAGE,
}
CHUNK = {**least(ChatCompletionChunk), "choices": [{"index": 0, "finish_reason": "stop", "delta": {"content": "Blue"}}]}
RECORDED: dict[str, tuple[str, Any, Reply]] = {
    "an answer": ("chat.completions.create", CHAT, Reply([json.dumps(COMPLETION).encode()])),
    "an odd answer": ("chat.completions.create", CHAT, Reply([json.dumps({**COMPLETION, "created": "1"}).encode()])),
    "a stream": (
        "chat.completions.create",
        {**CHAT, "stream": True},
        Reply([f"data: {json.dumps({**CHUNK, 'usage': USAGE})}\n\ndata: [DONE]\n\n".encode()], "text/event-stream"),
    ),
    "an error in a stream": (
        "chat.completions.create",
        {**CHAT, "stream": True},
        Reply(
            [f'data: {json.dumps(CHUNK)}\n\ndata: {{"error": {{"code": "busy"}}}}\n\n'.encode()], "text/event-stream"
        ),
    ),
}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("name", RECORDED)
def test_the_record_of_a_call_is_the_same_at_either_speed(
    name: str, is_async: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, arguments, reply = RECORDED[name]
    told: list[dict[str, Any]] = []
    for value in (None, "0"):
        set_speed(monkeypatch, value)
        records: list[CallRecord] = []
        server = Server()
        server.reply = reply
        client = new_client("bare", is_async=is_async, server=server).copy(
            middleware=[UsageLog(sinks=[records.append], content=True)]
        )
        with pytest.raises(openai.APIError) if "error" in name else nullcontext():
            run(read_all(method_of(client, path)(**arguments)), is_async=is_async)
        told.append({key: getattr(record, key) for record in records for key in TOLD})
    assert told[0] == told[1]
    assert told[0]["answer"] == "Blue"


async def read_all(call: Any) -> None:
    answer = await ready(call)
    if isinstance(answer, openai.Stream | openai.AsyncStream):
        async for _ in each(answer):
            pass


def test_a_parser_of_the_callers_may_make_anything_of_an_answer() -> None:
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o",
        "choices": [],
    }
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=answer))
    options: Any = {"post_parser": lambda completion: completion.id}
    for cls in (openai.OpenAI, llmkit.OpenAI):
        client = cls(api_key="sk-fake", http_client=httpx2.Client(transport=transport))
        assert client.post("/chat/completions", cast_to=ChatCompletion, body={}, options=options) == "chatcmpl-1"


def everything(options: Any) -> dict[str, Any]:
    values = vars(options).items()
    return {name: "not given" if isinstance(value, openai.NotGiven) else value for name, value in values}


@pytest.mark.parametrize(
    ("body", "given"),
    [
        ({}, {}),
        ({"a": 1, "b": openai.NOT_GIVEN, "c": {"d": openai.NOT_GIVEN}}, {}),
        ({"a": 1}, {"headers": {"x": "1", "y": openai.NOT_GIVEN}, "params": {"q": "1"}, "extra_json": {"e": 1}}),
        ({"a": 1}, {"timeout": 3.0, "max_retries": 1, "idempotency_key": "k", "security": {"bearer_auth": True}}),
        ({"a": 1}, {"post_parser": str, "headers": openai.NOT_GIVEN, "params": types.MappingProxyType({"q": "1"})}),
    ],
)
def test_the_options_of_a_post_are_those_that_the_sdk_constructs(body: dict[str, Any], given: dict[str, Any]) -> None:
    copied = _sdk.post_options("/x", body, given)
    constructed = FinalRequestOptions.construct(
        method="post", url="/x", json_data=body, content=None, files=None, **given
    )
    assert everything(copied) == everything(constructed)


def test_no_two_requests_share_a_part_of_their_options() -> None:
    one, other = (_sdk.post_options("/x", {"a": 1}, {}) for _ in range(2))
    assert one is not None
    assert other is not None
    for name in ("params", "security", "json_data"):
        assert getattr(one, name) is not getattr(other, name)


def test_what_is_no_json_object_is_left_to_the_sdk() -> None:
    for body in (None, b"bytes", [1], "text"):
        assert _sdk.post_options("/x", body, {}) is None


@pytest.mark.parametrize("is_async", [False, True])
def test_options_of_another_shape_are_constructed_by_the_sdk(is_async: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sdk, "_post_template", lambda: None)
    fake = llmkit.testing.FakeOpenAI()
    if is_async:
        asyncio.run(fake.async_client().chat.completions.create(**CHAT))
    else:
        fake.client().chat.completions.create(**CHAT)
    assert fake.requests[0].body["messages"] == CHAT["messages"]


def test_a_template_whose_defaults_could_be_shared_by_mistake_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Grown(FinalRequestOptions):
        more: dict[str, str] = {}  # noqa: RUF012 - a pydantic model

    monkeypatch.setattr(_sdk, "FinalRequestOptions", Grown)
    _sdk._post_template.cache_clear()
    try:
        assert _sdk.post_options("/x", {}, {}) is None
    finally:
        _sdk._post_template.cache_clear()


def test_whoever_replaces_the_sdks_post_sees_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    original = openai.OpenAI.post

    def post(self: Any, path: str, **given: Any) -> Any:
        seen.append(given["body"])
        return original(self, path, **given)

    monkeypatch.setattr(openai.OpenAI, "post", post)
    client = llmkit.testing.FakeOpenAI().client()
    client.chat.completions.create(**CHAT)
    assert [body["messages"] for body in seen] == [CHAT["messages"]]
