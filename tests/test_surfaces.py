"""The matrix: every surface by every kind of client sees the call once and logs its usage once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest
import surfaces

import llmkit
from llmkit import CallNext, CallRecord, Request, UsageLog
from llmkit.testing import FakeOpenAI


class Seen:
    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.records: list[CallRecord] = []
        self.middleware = [UsageLog(sinks=[self.records.append]), self]

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        self.requests.append(request)
        return await call_next(request)


def async_openai(fake: FakeOpenAI, seen: Seen) -> Any:
    return fake.async_client(middleware=seen.middleware)


def async_azure(fake: FakeOpenAI, seen: Seen) -> Any:
    return llmkit.AsyncAzureOpenAI(
        api_key="azure-fake",
        azure_endpoint="https://fake.azure.test",
        api_version="2025-04-01-preview",
        http_client=fake.async_http_client(),
        middleware=seen.middleware,
    )


def async_wrapped(fake: FakeOpenAI, seen: Seen) -> Any:
    raw = openai.AsyncOpenAI(api_key="sk-fake", base_url=fake.base_url, http_client=fake.async_http_client())
    return llmkit.wrap(raw, middleware=seen.middleware)


def sync_openai(fake: FakeOpenAI, seen: Seen) -> Any:
    return fake.client(middleware=seen.middleware)


def sync_azure(fake: FakeOpenAI, seen: Seen) -> Any:
    return llmkit.AzureOpenAI(
        api_key="azure-fake",
        azure_endpoint="https://fake.azure.test",
        api_version="2025-04-01-preview",
        http_client=fake.http_client(),
        middleware=seen.middleware,
    )


def sync_wrapped(fake: FakeOpenAI, seen: Seen) -> Any:
    raw = openai.OpenAI(api_key="sk-fake", base_url=fake.base_url, http_client=fake.http_client())
    return llmkit.wrap(raw, middleware=seen.middleware)


def check(seen: Seen, fake: FakeOpenAI, surface: str) -> None:
    assert len(seen.requests) == 1
    assert len(fake.requests) == 1
    (record,) = seen.records
    assert record.complete
    assert record.error is None
    assert not record.estimated
    assert fake.open_streams == 0
    if record.operation == "models.get":
        return
    assert record.input_tokens
    assert record.total_tokens == record.input_tokens + (record.output_tokens or 0)
    assert record.request_id == "req_fake_1" or "post" in surface  # plain JSON carries no request id


@pytest.mark.parametrize("make", [async_openai, async_azure, async_wrapped])
@pytest.mark.parametrize("surface", surfaces.ASYNC.values(), ids=surfaces.ASYNC)
async def test_every_async_surface_is_seen_once_and_logged_once(
    surface: Callable[[Any], Awaitable[None]], make: Callable[[FakeOpenAI, Seen], Any]
) -> None:
    fake, seen = FakeOpenAI(), Seen()
    await surface(make(fake, seen))
    check(seen, fake, surface.__name__)


@pytest.mark.parametrize("make", [sync_openai, sync_azure, sync_wrapped])
@pytest.mark.parametrize("surface", surfaces.SYNC.values(), ids=surfaces.SYNC)
def test_every_sync_surface_is_seen_once_and_logged_once(
    surface: Callable[[Any], None], make: Callable[[FakeOpenAI, Seen], Any]
) -> None:
    fake, seen = FakeOpenAI(), Seen()
    surface(make(fake, seen))
    check(seen, fake, surface.__name__)


@pytest.mark.parametrize("surface", surfaces.ASYNC.values(), ids=surfaces.ASYNC)
async def test_a_client_with_an_empty_stack_is_the_bare_sdk(surface: Callable[[Any], Awaitable[None]]) -> None:
    fake, bare = FakeOpenAI(), FakeOpenAI()
    await surface(fake.async_client(middleware=[]))
    await surface(openai.AsyncOpenAI(api_key="sk-fake", base_url=bare.base_url, http_client=bare.async_http_client()))
    assert [(r.path, r.body) for r in fake.requests] == [(r.path, r.body) for r in bare.requests]


@pytest.mark.parametrize("surface", surfaces.SYNC.values(), ids=surfaces.SYNC)
def test_a_sync_client_with_an_empty_stack_is_the_bare_sdk(surface: Callable[[Any], None]) -> None:
    fake, bare = FakeOpenAI(), FakeOpenAI()
    surface(fake.client(middleware=[]))
    surface(openai.OpenAI(api_key="sk-fake", base_url=bare.base_url, http_client=bare.http_client()))
    assert [(r.path, r.body) for r in fake.requests] == [(r.path, r.body) for r in bare.requests]
