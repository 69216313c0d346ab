"""Every private name of the SDK that llmkit._sdk leans on; when the SDK moves one, this says which."""

from __future__ import annotations

import inspect

import openai
from openai import _base_client
from openai._httpx2 import http_response_types
from openai._legacy_response import LegacyAPIResponse
from openai._models import FinalRequestOptions
from openai._response import BaseAPIResponse

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


def test_the_rest_is_where_it_was() -> None:
    client = openai.OpenAI(api_key="sk-fake")
    assert client._validate_max_retries(2) is None
    assert isinstance(client._idempotency_key(), str)
    assert 0 <= _base_client.random() < 1
    assert _base_client.log.name == "openai._base_client"
    assert openai.DEFAULT_MAX_RETRIES == 2
    assert http_response_types()
