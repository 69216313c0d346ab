"""Every private name of the SDK that llmkit._sdk leans on; when the SDK moves one, this says which."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, datetime
from typing import Any

import httpx2
import openai
import pytest
from openai import _base_client
from openai._compat import is_union
from openai._constants import RAW_RESPONSE_HEADER
from openai._httpx2 import http_response_types
from openai._legacy_response import LegacyAPIResponse
from openai._models import FinalRequestOptions, add_request_id
from openai._resource import AsyncAPIResource, SyncAPIResource
from openai._response import BaseAPIResponse
from openai._streaming import ServerSentEvent, SSEDecoder, _SSELineDecoder
from openai._utils import PropertyInfo
from openai._utils._json import openapi_dumps
from openai.types.chat import ChatCompletion, ChatCompletionMessage
from surfaces import CHAT

from llmkit import CallNext, Request, _sdk
from llmkit.fast import requests
from llmkit.testing import FakeOpenAI

CLIENTS = (openai.OpenAI, openai.AsyncOpenAI, openai.AzureOpenAI, openai.AsyncAzureOpenAI)


def test_request_is_the_one_way_into_the_sdk() -> None:
    for client in CLIENTS:
        assert list(inspect.signature(client.request).parameters) == [
            "self", "cast_to", "options", "stream", "stream_cls",
        ]  # fmt: skip
        assert list(inspect.signature(client._build_request).parameters) == ["self", "options", "retries_taken"]
        assert client.with_options is client.copy


def test_only_the_async_clients_request_is_a_coroutine_function() -> None:
    assert [inspect.iscoroutinefunction(client.request) for client in CLIENTS] == [False, True, False, True]


def test_the_options_of_a_request_have_the_fields_that_are_read_and_set() -> None:
    fields = {"method", "url", "headers", "max_retries", "idempotency_key", "json_data", "extra_json", "content"}
    assert fields <= set(FinalRequestOptions.model_fields)
    options = FinalRequestOptions.construct(method="post", url="/x")
    assert isinstance(options.max_retries, openai.NotGiven)
    assert options.model_copy() is not options


def test_an_upload_knows_whether_it_can_be_sent_again() -> None:
    options = FinalRequestOptions.construct(method="post", url="/x", content=iter([b"once"]))
    assert _base_client._RequestBodyReplay(options).rewind() is False


def test_a_stream_hands_its_events_out_through_dunder_stream_and_keeps_its_response() -> None:
    for stream in (openai.Stream, openai.AsyncStream):
        assert inspect.isgeneratorfunction(stream.__stream__) or inspect.isasyncgenfunction(stream.__stream__)
        assert "response" in stream.__annotations__


def test_raw_responses_hold_their_http_response_and_retries() -> None:
    for response in (LegacyAPIResponse, BaseAPIResponse):
        assert {"http_response", "retries_taken"} <= set(response.__annotations__)


def test_an_answer_is_made_of_a_response_by_methods_that_take_what_they_took() -> None:
    for client in CLIENTS:
        assert {"cast_to", "options", "response", "stream", "stream_cls"} <= set(
            inspect.signature(client._process_response).parameters
        )
        assert [*inspect.signature(client._maybe_override_cast_to).parameters] == ["self", "cast_to", "options"]
        assert [*inspect.signature(client._prepare_url).parameters] == ["self", "url"]


def test_the_rest_is_where_it_was() -> None:
    client = openai.OpenAI(api_key="sk-fake")
    assert client._validate_max_retries(2) is None
    assert isinstance(client._idempotency_key(), str)
    assert 0 <= _base_client.random() < 1
    assert _base_client.log.name == "openai._base_client"
    assert openai.DEFAULT_MAX_RETRIES == 2
    assert http_response_types()


def test_the_http_clients_that_the_sdk_makes_close_themselves_and_are_made_of_these_options() -> None:
    wrappers = (_base_client.SyncHttpxClientWrapper, _base_client.AsyncHttpxClientWrapper)
    bases = (_base_client.SyncAPIClient, _base_client.AsyncAPIClient)
    for wrapper, client, base in zip(wrappers, (openai.OpenAI, openai.AsyncOpenAI), bases, strict=True):
        assert issubclass(client, base)
        assert "__del__" in vars(wrapper)
        assert type(client(api_key="sk-fake")._client) is wrapper
    limits = openai.DEFAULT_CONNECTION_LIMITS
    assert (limits.max_connections, limits.max_keepalive_connections) == (1000, 100)
    assert openai.Timeout(600, connect=5.0) == openai.DEFAULT_TIMEOUT


def test_the_aiohttp_client_is_there_when_its_name_is_and_has_its_transports_where_httpx2_keeps_them() -> None:
    assert issubclass(openai.DefaultAioHttpClient, _base_client.Httpx2AiohttpClient)
    client = openai.DefaultAioHttpClient()
    assert {"_transport", "_mounts"} <= set(vars(client))
    assert not client.is_closed


# --- what the fast paths lean on


def test_json_is_written_in_one_way_and_what_is_no_json_is_an_error() -> None:
    value = {"a": ["ü☀", 1, 0.1, None, True], "b": {"c": {}}}
    assert openapi_dumps(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    assert openapi_dumps([datetime(2026, 1, 2, tzinfo=UTC)]) == b'["2026-01-02T00:00:00+00:00"]'
    message = ChatCompletionMessage.construct(role="assistant", content=None)
    assert openapi_dumps(message) == b'{"content":null,"role":"assistant"}'
    for wrong in (float("nan"), "\ud83d"):
        with pytest.raises(ValueError):
            openapi_dumps(wrong)
    with pytest.raises(TypeError):
        openapi_dumps(object())


def test_extra_body_replaces_what_is_typed_where_it_stands() -> None:
    merged = _base_client._merge_mappings({"a": [], "b": 1, "c": 2}, {"a": [2], "c": openai.omit, "d": 3})
    assert [*merged.items()] == [("a", [2]), ("b", 1), ("d", 3)]
    assert _sdk.replaces_in_place()


def test_options_keep_what_is_handed_over_and_drop_what_is_not_given() -> None:
    class Listed(list[Any]):
        pass

    given: Any = {"a": Listed(), "b": openai.NOT_GIVEN, "c": openai.omit}
    options = FinalRequestOptions.construct(method="post", url="/x", json_data={**given}, extra_json=given)
    for kept in (options.json_data, options.extra_json):
        assert type(kept) is dict
        assert kept == {"a": [], "c": openai.omit}
        assert kept["a"] is given["a"]


def test_the_body_is_the_typed_parameters_then_what_is_extra_and_content_takes_their_place() -> None:
    client = openai.OpenAI(api_key="sk-fake")
    options = FinalRequestOptions.construct(method="post", url="/x", json_data={"a": 1}, extra_json={"b": 2})
    assert client._build_request(options).content == b'{"a":1,"b":2}'
    written = FinalRequestOptions.construct(method="post", url="/x", content=b'{"a":1,"b":2}')
    requests = [client._build_request(each) for each in (options, written)]
    assert requests[0].headers == requests[1].headers
    assert requests[0].content == requests[1].content
    assert client.default_headers["Content-Type"] == "application/json"


def test_only_azures_clients_look_into_the_body_or_the_url_before_it_is_sent() -> None:
    assert [_sdk.builds_requests_as_usual(client) for client in CLIENTS] == [True, True, False, False]
    assert [_sdk.joins_urls_as_usual(client) for client in CLIENTS] == [True, True, False, False]


def test_the_types_of_parameters_carry_what_the_walk_does_with_them() -> None:
    info = PropertyInfo(alias="a", format="iso8601", discriminator="type")
    assert (info.alias, info.format, info.discriminator) == ("a", "iso8601", "type")
    assert PropertyInfo().alias is PropertyInfo().discriminator is None


def test_the_resources_are_where_they_are_looked_for_and_their_methods_are_the_sdks_own() -> None:
    clients = (openai.OpenAI(api_key="sk-fake"), openai.AsyncOpenAI(api_key="sk-fake"))
    for client, base in zip(clients, (SyncAPIResource, AsyncAPIResource), strict=True):
        resources = (client.chat.completions, client.responses, client.beta.responses, client.embeddings)
        for resource in (*resources, client.chat, client.beta, client.beta.chat.completions):
            assert isinstance(resource, base)
            assert _sdk.is_async_resource(resource) is (base is AsyncAPIResource)
            name = f"{type(resource).__module__}.{type(resource).__qualname__}"
            assert name in {*requests.SURFACES, *requests._PARENTS}
        for resource in resources:
            assert _sdk.is_own(resource.create)


def test_a_method_of_another_package_is_not_the_sdks_own() -> None:
    scope: dict[str, Any] = {}
    for path, own in ((f"{openai.__path__[0]}/x.py", True), (f"{openai.__path__[0]}_tracing/x.py", False)):
        exec(compile("class Resource:\n def create(self): pass", path, "exec"), scope)
        assert _sdk.is_own(scope["Resource"]().create) is own


def test_the_sdks_own_methods_of_an_async_resource_check_their_arguments_when_called() -> None:
    client = openai.AsyncOpenAI(api_key="sk-fake")
    completions: Any = client.chat.completions
    for method, given in (
        (completions.create, "messages"),
        (completions.parse, "messages"),
        (client.embeddings.create, "input"),
    ):
        with pytest.raises(TypeError, match="model"):
            method(**{given: []})
    coroutine = completions.create(**CHAT)
    assert inspect.iscoroutine(coroutine)
    assert completions.create.__name__ == coroutine.__name__ == "create"
    assert completions.create.__qualname__ == coroutine.__qualname__
    coroutine.close()


def test_events_are_cut_and_decoded_in_these_steps() -> None:
    lines = _SSELineDecoder()
    decoder = SSEDecoder()
    found = [*lines.feed(b"event: a\r\ndata: {"), *lines.feed(b'"b":1}\n\ndata'), *lines.finish()]
    assert found == [b"event: a", b'data: {"b":1}', b"", b"data"]
    (event,) = [event for line in found if (event := decoder.decode(line.decode()))]
    assert (event.event, event.data, event.json()) == ("a", '{"b":1}', {"b": 1})
    made = ServerSentEvent(event="a", data="1")
    assert (made.event, made.data, made.id, made.retry, made.json()) == ("a", "1", None, None, 1)


@pytest.mark.parametrize("of", [openai.OpenAI, openai.AsyncOpenAI])
def test_a_stream_has_a_decoder_that_can_be_replaced_and_options_that_say_what_becomes_of_its_data(of: Any) -> None:
    client = of(api_key="sk-fake")
    options = FinalRequestOptions.construct(method="post", url="/x")
    response = httpx2.Response(200, request=httpx2.Request("POST", "https://fake.test"))
    stream_class: Any = openai.AsyncStream if of is openai.AsyncOpenAI else openai.Stream
    stream = stream_class(cast_to=ChatCompletion, response=response, client=client, options=options)
    assert (stream._cast_to, stream._options, type(stream._decoder)) == (ChatCompletion, options, SSEDecoder)
    assert options.synthesize_event_and_data is None
    assert _sdk.takes_plain_events(stream)
    assert _sdk.reads_events_as_usual(stream_class)
    assert {"iter_bytes", "aiter_bytes"} <= set(vars(SSEDecoder))
    assert client._strict_response_validation is False


def test_an_answer_is_finished_by_the_methods_parser_and_gets_the_request_id() -> None:
    assert isinstance(FinalRequestOptions.construct(method="post", url="/x").post_parser, openai.NotGiven)
    message = ChatCompletionMessage.construct(role="assistant", content=None)
    add_request_id(message, "req_1")
    assert message._request_id == "req_1"
    assert message.to_dict() == {"role": "assistant", "content": None}


def test_what_processes_an_answer_takes_these_names() -> None:
    for client in CLIENTS:
        names = ["self", "cast_to", "options", "response", "stream", "stream_cls", "retries_taken"]
        assert list(inspect.signature(client._process_response).parameters) == names
        assert list(inspect.signature(client._process_response_data).parameters) == [
            "self", "data", "cast_to", "response",
        ]  # fmt: skip


def test_a_raw_response_is_asked_for_in_a_header() -> None:
    fake = FakeOpenAI()
    client = openai.OpenAI(api_key="sk-fake", base_url=fake.base_url, http_client=fake.http_client())
    client.chat.completions.create(**CHAT)
    client.chat.completions.with_raw_response.create(**CHAT)
    with client.chat.completions.with_streaming_response.create(**CHAT):
        pass
    assert [RAW_RESPONSE_HEADER in request.headers for request in fake.requests] == [False, True, True]


def test_unions_are_told_by_their_origin() -> None:
    assert is_union(type(int | str))
    assert not is_union(list)


async def test_what_a_method_makes_of_the_json_can_be_compared() -> None:
    seen: list[Any] = []

    async def watch(request: Request, call_next: CallNext) -> Any:
        seen.append(request.variant())
        return await call_next(request)

    client = FakeOpenAI().async_client(middleware=[watch])
    plain: Any = {"model": "m", "input": "a"}
    for options in ({}, {}, {"encoding_format": "base64"}, {"extra_query": {"a": "b"}}):
        await client.embeddings.create(**plain | options)
    await client.post("/embeddings", cast_to=object, body=plain)
    await client.post("/embeddings", cast_to=object, body=plain)
    assert [seen.index(variant) for variant in seen] == [0, 0, 2, 3, 4, 4]
    assert all(isinstance(hash(variant), int) for variant in seen)


async def test_a_client_asks_the_function_that_it_keeps_for_a_key_before_each_request() -> None:
    keys = iter(["sk-one", "sk-two", "sk-three"])

    async def get_key() -> str:
        return next(keys)

    fake = FakeOpenAI().error(500, headers={"retry-after-ms": "1"})
    client = openai.AsyncOpenAI(api_key=get_key, base_url=fake.base_url, http_client=fake.async_http_client())
    assert _sdk.key_source(client) is _sdk.key_source(client.copy()) is get_key
    for asked in (client, client.with_options(timeout=3)):
        await asked.chat.completions.create(**CHAT)
    assert [request.headers["authorization"][7:] for request in fake.requests] == ["sk-one", "sk-two", "sk-three"]
    for plain in (openai.OpenAI(api_key="sk-x"), openai.AzureOpenAI(api_key="x", base_url="http://x", api_version="1")):
        assert _sdk.key_source(plain) is None
