"""The URL of an endpoint is put together once, and again when the client's `base_url` is another."""

from __future__ import annotations

from typing import Any

import httpx2
import openai
import pytest
from surfaces import CHAT

import llmkit
from llmkit.testing import FakeOpenAI

MESSAGES: Any = CHAT["messages"]


def url(client: Any, path: str) -> str:
    return str(client._prepare_url(path))


@pytest.fixture
def client() -> llmkit.OpenAI:
    return FakeOpenAI().client(base_url="https://one.example/v1")


def test_an_endpoint_is_parsed_once(client: llmkit.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    prepare = openai.OpenAI._prepare_url
    monkeypatch.setattr(
        openai.OpenAI, "_prepare_url", lambda self, path: parsed.append(path) or prepare(self, path), raising=False
    )
    for _ in range(3):
        client.chat.completions.create(**CHAT)
    assert parsed == ["/chat/completions"]


def test_another_base_url_is_noticed_also_when_it_is_set_later(client: llmkit.OpenAI) -> None:
    assert url(client, "/responses") == "https://one.example/v1/responses"
    assert url(client.with_options(base_url="https://two.example"), "/responses") == "https://two.example/responses"
    client.base_url = "https://three.example/x/"
    assert url(client, "/responses") == "https://three.example/x/responses"


def test_only_the_endpoints_called_all_the_time_are_remembered(client: llmkit.OpenAI) -> None:
    for number in range(5):
        assert url(client, f"/responses/resp_{number}").endswith(f"/v1/responses/resp_{number}")
        assert url(client, "/embeddings").endswith("/v1/embeddings")
    assert list(vars(client)["_llmkit_urls"]) == ["/embeddings"]


def test_an_azure_client_goes_its_own_way() -> None:
    fake = FakeOpenAI()
    client = llmkit.AzureOpenAI(
        api_key="azure-fake",
        azure_endpoint="https://mine.openai.azure.com",
        api_version="1",
        http_client=fake.http_client(),
    )
    client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    assert "_llmkit_urls" not in vars(client)
    assert len(fake.requests) == 1


def test_without_the_fast_paths_the_sdk_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMKIT_FAST", "0")
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json={"url": str(request.url)}))
    client = llmkit.OpenAI(api_key="sk-fake", http_client=httpx2.Client(transport=transport))
    assert client.post("/responses", cast_to=object) == {"url": "https://api.openai.com/v1/responses"}
    assert "_llmkit_urls" not in vars(client)
