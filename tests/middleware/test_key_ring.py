from __future__ import annotations

import asyncio
import copy
import io
import json
import logging
import pickle
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from surfaces import ASYNC, CHAT, SYNC

import llmkit
from llmkit import CallNext, CallRecord, Request, Retry, UsageLog
from llmkit.errors import NoUsableKey
from llmkit.keys.ring import KeyStatus
from llmkit.middleware.fallback import Fallback
from llmkit.middleware.key_ring import KeyRing
from llmkit.middleware.rate_limit import RateLimit
from llmkit.testing import FakeOpenAI, virtual_time
from llmkit.testing.fake.records import FakeRequest

A, B, C = "sk-first-key-of-ours-1111", "sk-second-key-of-ours-2222", "sk-third-key-of-ours-3333"


def client_for(
    fake: FakeOpenAI, ring: KeyRing, *layers: Any, **options: Any
) -> tuple[llmkit.AsyncOpenAI, list[CallRecord]]:
    records: list[CallRecord] = []
    stack = [UsageLog(sinks=[records.append]), *(layers or (Retry(),))]
    return fake.async_client(api_key=ring, middleware=stack, **options), records


def keys_of(fake: FakeOpenAI) -> list[str]:
    return [request.headers["authorization"].removeprefix("Bearer ") for request in fake.requests]


class Gatekeeper:
    """Answers by the key of a request: 401 for the revoked ones."""

    def __init__(self, *revoked: str, status: int = 401, code: str = "invalid_api_key") -> None:
        self.revoked = set(revoked)
        self.status = status
        self.code = code

    def __call__(self, request: FakeRequest) -> httpx2.Response:
        key = request.headers.get("api-key") or request.headers["authorization"].removeprefix("Bearer ")
        if key in self.revoked:
            return httpx2.Response(self.status, json={"error": {"message": "no", "code": self.code}})
        reply = {"role": "assistant", "content": "ok"}
        choice = {"index": 0, "finish_reason": "stop", "message": reply}
        body = {"id": "c", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        return httpx2.Response(200, json=body)


def guarded(gatekeeper: Gatekeeper, requests: int) -> FakeOpenAI:
    fake = FakeOpenAI()
    for _ in range(requests):
        fake.respond(gatekeeper)
    return fake


async def test_calls_take_the_keys_in_turn_and_say_which() -> None:
    fake = FakeOpenAI()
    client, records = client_for(fake, KeyRing(A, B))
    for _ in range(3):
        await client.chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, B, A]
    assert [record.key for record in records] == ["...1111", "...2222", "...1111"]


@pytest.mark.parametrize("status", [401, 402])
async def test_a_refused_key_is_parked_and_the_call_goes_on_with_another_at_once(status: int) -> None:
    fake = FakeOpenAI().error(status).reply("ok")
    client, records = client_for(fake, KeyRing(A, B))
    with virtual_time() as clock:
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
        for _ in range(2):
            await client.chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, B, B, B]
    assert clock.sleeps == []
    assert raw.retries_taken == 0
    record = records[0]
    assert (record.key, record.attempts, record.error, record.retry_wait) == ("...2222", 2, None, 0.0)
    assert [failure.status_code for failure in record.failures] == [status]


async def test_a_spent_quota_parks_and_the_call_goes_on() -> None:
    fake = FakeOpenAI().error(429, code="insufficient_quota").reply("ok")
    ring = KeyRing(A, B)
    client, _ = client_for(fake, ring)
    with virtual_time(start=1000):
        await client.chat.completions.create(**CHAT)
        assert ring.status() == [
            KeyStatus(label="...1111", usable=False, parked_because="429 insufficient_quota", until=1600.0),
            KeyStatus(label="...2222", usable=True, parked_because=None, until=None),
        ]
    assert keys_of(fake) == [A, B]


async def test_with_all_keys_parked_the_apis_error_has_a_note_and_later_calls_are_not_sent() -> None:
    fake = FakeOpenAI().error(429, code="insufficient_quota").error(401)
    client, records = client_for(fake, KeyRing(A, B))
    with virtual_time() as clock:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(**CHAT)
        clock.advance(100)
        with pytest.raises(NoUsableKey) as refused:
            await client.chat.completions.create(**CHAT)
    parked = "all 2 keys of the ring are parked: ...1111 (429 insufficient_quota), ...2222 (401 invalid_api_key)"
    assert caught.value.__notes__[0] == f"{parked}."
    assert str(refused.value) == (
        f"{parked}; the next one is tried again in 500 s; no other key comes from the KeyRing's own arguments"
    )
    assert len(fake.requests) == 2
    assert (records[1].error, records[1].attempts, records[1].key) == ("NoUsableKey", 0, None)


async def test_a_parked_key_is_tried_again_by_one_call_and_comes_back() -> None:
    fake = FakeOpenAI().error(401)
    client, _ = client_for(fake, KeyRing(A, retry_parked_after=60))
    with virtual_time() as clock:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(**CHAT)
        clock.advance(60)
        await client.chat.completions.create(**CHAT)
        await client.chat.completions.create(**CHAT)
    assert caught.value.__notes__[0] == "...1111 (401 invalid_api_key) is parked."
    assert keys_of(fake) == [A, A, A]


async def test_a_key_that_is_too_fast_rests_and_another_takes_its_place() -> None:
    fake = FakeOpenAI().error(429, headers={"retry-after": "20"})
    ring = KeyRing(A, B)
    client, _ = client_for(fake, ring)
    with virtual_time(start=1000) as clock:
        for _ in range(3):
            await client.chat.completions.create(**CHAT)
        assert ring.status()[0] == KeyStatus(label="...1111", usable=False, parked_because="429", until=1020.0)
        clock.advance(20)
        assert ring.status()[0].usable
        await client.chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, B, B, B, A]
    assert clock.sleeps == []


async def test_when_all_keys_are_too_fast_retry_waits_for_as_long_as_the_server_says() -> None:
    fake = FakeOpenAI().error(429, headers={"retry-after": "20"}).error(429, headers={"retry-after": "7"}).reply("ok")
    client, records = client_for(fake, KeyRing(A, B))
    with virtual_time() as clock:
        await client.chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, B, B]
    assert clock.sleeps == [7]
    assert (records[0].attempts, records[0].retry_wait) == (3, 7)


async def test_a_key_at_rest_is_better_than_none() -> None:
    fake = FakeOpenAI().error(429, headers={"retry-after": "20"}).reply("ok").error(401).reply("ok")
    client, _ = client_for(fake, KeyRing(A, B))
    with virtual_time() as clock:
        await client.chat.completions.create(**CHAT)
        await client.chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, B, B, A]
    assert clock.sleeps == []


async def test_a_call_whose_last_key_is_wrong_waits_for_the_one_that_was_too_fast() -> None:
    fake = FakeOpenAI().error(429, headers={"retry-after": "20"}).error(401).reply("ok")
    client, _ = client_for(fake, KeyRing(A, B))
    with virtual_time() as clock:
        await client.chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, B, A]
    assert clock.sleeps == [20]


@pytest.mark.parametrize(
    "plan",
    [
        lambda fake: fake.error(400),
        lambda fake: fake.error(403),
        lambda fake: fake.error(401, message="You have insufficient permissions. Missing scopes: model.request."),
        lambda fake: fake.error(503),
        lambda fake: fake.fail(httpx2.ConnectError("refused")),
    ],
)
async def test_errors_that_are_not_the_keys_go_up_as_they_are(plan: Callable[[FakeOpenAI], Any]) -> None:
    fake = FakeOpenAI()
    plan(fake)
    ring = KeyRing(A, B)
    client, _ = client_for(fake, ring, Retry(max_retries=0))
    with pytest.raises(openai.APIError):
        await client.chat.completions.create(**CHAT)
    assert len(fake.requests) == 1
    assert [status.usable for status in ring.status()] == [True, True]


async def test_a_call_with_a_key_of_its_own_parks_none_of_the_rings() -> None:
    fake = FakeOpenAI().error(401)
    ring = KeyRing(A, B)
    client, _ = client_for(fake, ring)
    with pytest.raises(openai.AuthenticationError):
        await client.chat.completions.create(**CHAT, extra_headers={"Authorization": "Bearer sk-mine"})
    assert keys_of(fake) == ["sk-mine"]
    assert [status.usable for status in ring.status()] == [True, True]


async def test_a_call_with_a_key_of_its_own_is_not_said_to_have_used_the_rings() -> None:
    records: list[CallRecord] = []
    layers = [UsageLog(sinks=[records.append]), Retry()]
    client = FakeOpenAI().async_client(api_key=KeyRing(A, B), middleware=layers)
    await client.chat.completions.create(**CHAT, extra_headers={"authorization": "Bearer sk-mine"})
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json={"object": "list", "data": []}))
    azure = llmkit.AsyncAzureOpenAI(
        api_key=KeyRing(A, B),
        azure_endpoint="https://acme.openai.azure.com",
        api_version="2024-10-21",
        http_client=httpx2.AsyncClient(transport=transport),
        middleware=layers,
    )
    await azure.models.list(extra_headers={"Api-Key": "mine"})
    await azure.models.list()
    assert [record.key for record in records] == [None, None, f"...{B[-4:]}"]


def test_an_upload_that_cannot_be_sent_again_is_not() -> None:
    class OneShot(io.BytesIO):
        def seekable(self) -> bool:
            return False

    fake = FakeOpenAI().error(401)
    client = fake.client(api_key=KeyRing(A, B), middleware=[Retry()])
    with pytest.raises(openai.AuthenticationError):
        client.files.create(file=("f", OneShot(b"all of it")), purpose="batch")
    assert len(fake.requests) == 1


def test_the_same_ring_serves_a_sync_client() -> None:
    fake = FakeOpenAI().error(401).reply("ok")
    client = fake.client(api_key=KeyRing(A, B), middleware=[Retry()])
    assert client.chat.completions.create(**CHAT).choices[0].message.content == "ok"
    client.chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, B, B]


@pytest.mark.parametrize("surface", ASYNC.values(), ids=ASYNC)
async def test_every_surface_goes_on_with_another_key(surface: Any) -> None:
    fake = FakeOpenAI()
    if surface.__name__ not in ("raw", "pages"):
        fake.error(401)
    client, _ = client_for(fake, KeyRing(A, B))
    await surface(client)
    assert keys_of(fake)[-1] == (A if surface.__name__ in ("raw", "pages") else B)


@pytest.mark.parametrize("surface", SYNC.values(), ids=SYNC)
def test_every_sync_surface_goes_on_with_another_key(surface: Any) -> None:
    fake = FakeOpenAI().error(401)
    surface(fake.client(api_key=KeyRing(A, B), middleware=[Retry()]))
    assert keys_of(fake)[:2] == [A, B]


class ListedKey:
    """A layer inside the ring, which sees what a RateLimit per key would."""

    def __init__(self) -> None:
        self.keys: list[str | None] = []

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        self.keys.append(request.record.key)
        return await call_next(request)


async def test_layers_below_the_ring_see_the_key_of_each_attempt() -> None:
    ring, inner = KeyRing(A, B), ListedKey()
    client, _ = client_for(FakeOpenAI().error(401).reply("ok"), ring, Retry(), ring, inner)
    await client.chat.completions.create(**CHAT)
    assert inner.keys == ["...1111", "...2222"]


async def test_each_key_has_a_rate_limit_of_its_own_where_a_limit_per_key_is_listed_below() -> None:
    fake, ring = FakeOpenAI(), KeyRing(A, B)
    limit = RateLimit(requests_per_minute=6, burst_seconds=10, per="key")
    client, records = client_for(fake, ring, Retry(), ring, limit)
    with virtual_time() as clock:
        for _ in range(2):
            await client.chat.completions.create(**CHAT)
        assert clock.sleeps == []
        await client.chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, B, A]
    assert [record.limit_wait for record in records] == [0, 0, pytest.approx(10)]


async def test_without_a_retry_the_sdks_own_attempts_leave_a_key_parked_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_, **__: 0)
    ring = KeyRing(A, B)
    other = guarded(Gatekeeper(A), 3).client(api_key=ring, middleware=[])

    def fails_while_a_is_revoked(_: FakeRequest) -> httpx2.Response:
        for _ in range(2):
            other.chat.completions.create(**CHAT)
        return httpx2.Response(500, json={})

    fake = FakeOpenAI().respond(fails_while_a_is_revoked)
    await fake.async_client(api_key=ring, middleware=[]).chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, B]


async def test_a_key_taken_out_of_the_source_while_its_call_runs_costs_the_call_nothing(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(A)

    def rotated(_: FakeRequest) -> httpx2.Response:
        path.write_text(f"{B}\n{C}\n")
        return httpx2.Response(401, json={"error": {"message": "no"}})

    fake = FakeOpenAI().respond(rotated).reply("ok")
    ring = KeyRing.from_file(path)
    client, _ = client_for(fake, ring)
    await client.chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, B]
    assert repr(ring) == "KeyRing(...2222, ...3333)"


async def test_a_key_revoked_before_the_file_says_so_is_replaced_within_the_second(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(A)
    fake = FakeOpenAI().error(401).reply("ok")
    client, _ = client_for(fake, KeyRing.from_file(path))
    with virtual_time() as clock:
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(**CHAT)
        path.write_text(B)
        with pytest.raises(NoUsableKey):
            await client.chat.completions.create(**CHAT)
        clock.advance(1)
        await client.chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, B]


async def test_a_file_that_is_emptied_broken_or_gone_leaves_its_last_keys_in_use_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys"
    path.write_text(A)
    fake = FakeOpenAI()
    client, _ = client_for(fake, KeyRing.from_file(path, refresh=0))
    for broken in (b"", b"sk-half and half", b"\xff\xfe"):
        path.write_bytes(broken)
        await client.chat.completions.create(**CHAT)
    path.unlink()
    await client.chat.completions.create(**CHAT)
    path.write_text(B)
    await client.chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, A, A, A, B]
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == [
        f"KeyRing goes on with its last keys: the file {path} gives no others: no API key comes from the file {path}",
    ]


async def test_keys_of_a_variable_change_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEYS", A)
    fake = FakeOpenAI()
    client, _ = client_for(fake, KeyRing.from_env("TEST_KEYS"))
    await client.chat.completions.create(**CHAT)
    monkeypatch.setenv("TEST_KEYS", f"{B} {C}")
    await client.chat.completions.create(**CHAT)
    monkeypatch.delenv("TEST_KEYS")
    await client.chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, B, C]


async def test_a_callable_is_asked_by_the_first_call_and_again_when_a_key_was_refused() -> None:
    keys = [[A], [A, B]]
    ring = KeyRing.from_callable(lambda: keys.pop(0))
    assert repr(ring) == "KeyRing()"
    fake = FakeOpenAI().reply("ok").error(401).reply("ok")
    client, _ = client_for(fake, ring)
    with virtual_time():
        await client.chat.completions.create(**CHAT)
        await client.chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, A, B]
    assert keys == []


async def test_an_async_callable_serves_async_clients_and_is_refused_by_sync_ones() -> None:
    async def get_keys() -> str:
        await asyncio.sleep(0)
        return A

    ring = KeyRing.from_callable(get_keys)
    fake = FakeOpenAI()
    client, _ = client_for(fake, ring)
    await asyncio.gather(*(client.chat.completions.create(**CHAT) for _ in range(5)))
    assert keys_of(fake) == [A] * 5
    with pytest.raises(TypeError, match=r"function .*get_keys is async, and a sync client cannot await it"):
        fake.client(api_key=ring)


async def test_a_callable_that_fails_raises_its_own_error_and_calls_that_waited_for_it_another() -> None:
    go = asyncio.Event()

    async def get_keys() -> str:
        await go.wait()
        raise PermissionError("vault is sealed")

    client, _ = client_for(FakeOpenAI(), KeyRing.from_callable(get_keys))
    calls = [asyncio.create_task(client.chat.completions.create(**CHAT)) for _ in range(2)]
    await asyncio.sleep(0)
    go.set()
    first, second = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(first, PermissionError)
    assert isinstance(second, NoUsableKey)
    assert "get_keys has given no keys; no other key comes from the function" in str(second)


def test_the_first_keys_of_a_file_or_a_variable_are_looked_at_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        KeyRing.from_file(tmp_path / "none")
    with pytest.raises(ValueError, match="variable LLMKIT_NO_SUCH is not set"):
        KeyRing.from_env("LLMKIT_NO_SUCH")
    with pytest.raises(ValueError, match="key 2 of the ring is blank"):
        KeyRing(A, "")
    with pytest.raises(ValueError, match="no API key comes from"):
        KeyRing()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KeyRing(A, retry_parked_after=0), "retry_parked_after=0 must be above 0 seconds"),
        (lambda: KeyRing.from_callable(lambda: A, refresh=-1), "refresh=-1 is negative"),
        (lambda: KeyRing.from_file("x", refresh=-1), "refresh=-1 is negative"),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


async def test_the_ring_is_the_innermost_layer_unless_it_is_listed() -> None:
    ring, inner = KeyRing(A), ListedKey()
    default = llmkit.AsyncOpenAI(api_key=ring)._llmkit.middleware  # type: ignore[attr-defined]
    assert [type(layer).__name__ for layer in default] == ["UsageLog", "Context", "Retry", "KeyRing"]
    for client in (llmkit.OpenAI(api_key=ring, middleware=[ring, inner]), llmkit.OpenAI(middleware=[ring, inner])):
        assert client._llmkit.middleware == (ring, inner)  # type: ignore[attr-defined]


async def test_copies_keep_the_ring_and_its_state() -> None:
    fake = FakeOpenAI().error(401)
    client, _ = client_for(fake, KeyRing(A, B))
    await client.with_options(timeout=3).chat.completions.create(**CHAT)
    await client.copy().copy().chat.completions.create(**CHAT)
    bare: Any = client.with_options
    await bare(middleware=[]).chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, B, B, B]


async def test_a_copy_may_have_another_key_or_another_ring() -> None:
    fake, ring, other, inner = FakeOpenAI(), KeyRing(A), KeyRing(B), ListedKey()
    client, _ = client_for(fake, ring, ring, inner)
    plain = client.with_options(api_key="sk-plain")
    await plain.chat.completions.create(**CHAT)
    await client.with_options(api_key=other).chat.completions.create(**CHAT)  # type: ignore[arg-type]
    relisted: Any = client.with_options
    await relisted(middleware=[other]).chat.completions.create(**CHAT)
    await client.chat.completions.create(**CHAT)
    assert keys_of(fake) == ["sk-plain", B, B, A]
    assert inner.keys == [None, "...2222", "...1111"]
    fake.error(401)
    await plain.with_options(api_key=KeyRing(B, C).async_provider()).chat.completions.create(**CHAT)
    assert keys_of(fake)[-2:] == [B, C]
    assert ring not in plain._llmkit.middleware  # type: ignore[attr-defined]


@pytest.mark.parametrize("listed", [[KeyRing(B)], [KeyRing(B), KeyRing(C)]])
def test_two_rings_at_once_are_refused(listed: list[KeyRing]) -> None:
    with pytest.raises(ValueError, match="the client is given two KeyRings"):
        llmkit.OpenAI(api_key=KeyRing(A), middleware=listed)
    relisted: Any = llmkit.OpenAI(api_key=KeyRing(A), middleware=[]).with_options
    with pytest.raises(ValueError, match="the client is given two KeyRings"):
        relisted(api_key=KeyRing(A), middleware=listed)


def test_a_ring_and_another_key_at_once_are_refused() -> None:
    with pytest.raises(ValueError, match="middleware= lists a KeyRing, and credentials are given beside it"):
        llmkit.AsyncOpenAI(api_key="sk-plain", middleware=[KeyRing(A)])


async def test_a_wrapped_client_takes_its_keys_from_the_ring_in_its_stack() -> None:
    fake, inner = FakeOpenAI().error(401), ListedKey()
    raw = openai.AsyncOpenAI(api_key="sk-raw", base_url=fake.base_url, http_client=fake.async_http_client())
    client = llmkit.wrap(raw, middleware=[KeyRing(A, B), inner])
    await client.chat.completions.create(**CHAT)
    await raw.chat.completions.create(**CHAT)
    assert keys_of(fake) == [A, B, "sk-raw"]
    sync_raw = openai.OpenAI(api_key="sk-raw", base_url=fake.base_url, http_client=fake.http_client())
    llmkit.wrap(sync_raw, middleware=[KeyRing(C)]).chat.completions.create(**CHAT)
    llmkit.wrap(sync_raw, middleware=[]).chat.completions.create(**CHAT)
    assert keys_of(fake)[-2:] == [C, "sk-raw"]


async def test_azure_clients_send_the_key_in_their_own_header() -> None:
    fake = guarded(Gatekeeper(A), 6)
    options: dict[str, Any] = {"azure_endpoint": "https://x.azure.test", "api_version": "1", "middleware": [Retry()]}
    ring = KeyRing(A, B)
    client = llmkit.AsyncAzureOpenAI(api_key=ring, http_client=fake.async_http_client(), **options)
    await client.chat.completions.create(**CHAT)
    await client.with_options(timeout=3).chat.completions.create(**CHAT)
    sync = llmkit.AzureOpenAI(api_key=KeyRing(A, B), http_client=fake.http_client(), **options)
    sync.chat.completions.create(**CHAT)
    assert [request.headers["api-key"] for request in fake.requests] == [A, B, B, A, B]
    assert not any("authorization" in request.headers for request in fake.requests)
    with_token = client.with_options(azure_ad_token="token")
    await with_token.chat.completions.create(**CHAT)
    assert fake.requests[-1].headers["authorization"] == "Bearer token"
    assert ring not in with_token._llmkit.middleware  # type: ignore[attr-defined]


async def test_a_call_sent_by_another_client_uses_that_ones_keys() -> None:
    fake = FakeOpenAI().error(401).reply("ok").error(401)
    others, _ = client_for(fake, KeyRing(B, C))
    plain = fake.async_client(api_key="sk-plain", middleware=[])

    def sent_by(client: Any) -> Any:
        async def layer(request: Request, call_next: CallNext) -> Any:
            return await call_next(request.replace(client=client))

        return layer

    mine = KeyRing(A)
    client, records = client_for(fake, mine, sent_by(others))
    await client.chat.completions.create(**CHAT)
    unlucky, _ = client_for(fake, mine, sent_by(plain))
    with pytest.raises(openai.AuthenticationError):
        await unlucky.chat.completions.create(**CHAT)
    assert keys_of(fake) == [B, C, "sk-plain"]
    assert records[0].key == "...3333"
    assert mine.status()[0].usable


async def test_interleaved_calls_each_keep_their_own_key() -> None:
    fake = FakeOpenAI()

    def echo_key(request: FakeRequest) -> httpx2.Response:
        body = json.loads(Gatekeeper()(request).content)
        body["choices"][0]["message"]["content"] = request.headers["authorization"][-4:]
        return httpx2.Response(200, json=body)

    for _ in range(60):
        fake.respond(echo_key)
    records: dict[object, str | None] = {}

    def keep(record: CallRecord) -> None:
        records[record.tags["n"]] = record.key

    async def yields(request: Request, call_next: CallNext) -> Any:
        await asyncio.sleep(0)
        return await call_next(request)

    ring = KeyRing(A, B, C)
    client = fake.async_client(api_key=ring, middleware=[UsageLog(sinks=[keep]), ring, yields])
    answers: dict[object, str | None] = {}

    async def call(number: int) -> None:
        with llmkit.tags(n=number):
            answers[number] = (await client.chat.completions.create(**CHAT)).choices[0].message.content

    await asyncio.gather(*(call(number) for number in range(60)))
    assert records == {number: f"...{ending}" for number, ending in answers.items()}
    assert Counter(keys_of(fake)) == {A: 20, B: 20, C: 20}


def test_threads_share_a_ring() -> None:
    fake = guarded(Gatekeeper(B), 100)
    client = fake.client(api_key=KeyRing(A, B, C), middleware=[Retry()])
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                client.chat.completions.create(**CHAT)
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    sent = Counter(keys_of(fake))
    assert sent[A] + sent[C] == 80
    assert 1 <= sent[B] <= 8


class Uses:
    """Counts, at the moment a request is handed to the HTTP client, those with a key that is parked then."""

    def __init__(self, ring: KeyRing, labels: dict[str, str]) -> None:
        self.of_parked_keys = 0
        self._ring = ring
        self._labels = labels

    async def __call__(self, request: httpx2.Request) -> None:
        label = self._labels[request.headers["authorization"].removeprefix("Bearer ")]
        parked = {status.label for status in self._ring.status() if not status.usable}
        self.of_parked_keys += label in parked


async def test_keys_are_rotated_and_one_revoked_while_calls_are_in_flight_and_none_fails(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{A}\n{B}\n")
    gatekeeper, calls = Gatekeeper(), 200
    fake = guarded(gatekeeper, 3 * calls)
    ring = KeyRing.from_file(path, refresh=0)
    uses = Uses(ring, {A: "...1111", B: "...2222", C: "...3333"})
    with fake.serve() as url:
        http_client = httpx2.AsyncClient(event_hooks={"request": [uses]}, timeout=30)
        client = llmkit.AsyncOpenAI(api_key=ring, base_url=url, http_client=http_client, middleware=[Retry()])
        room = asyncio.Semaphore(40)
        done = 0

        async def call() -> None:
            nonlocal done
            async with room:
                await client.chat.completions.create(**CHAT)
            done += 1
            if done == 40:
                gatekeeper.revoked.add(B)
            if done == 120:
                (tmp_path / "new").write_text(f"{C}\n")
                (tmp_path / "new").replace(path)
                gatekeeper.revoked.add(A)

        await asyncio.gather(*(call() for _ in range(calls)))
        await client.close()
    assert done == calls
    assert uses.of_parked_keys == 0
    assert {A, B, C} == set(keys_of(fake))
    assert repr(ring) == "KeyRing(...3333)"


CANARY = "sk-canary-4f9a1c77d2"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [200, 401, 429, 500])
async def test_no_key_shows_in_any_log_repr_or_error(
    status: int, stream: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    path = tmp_path / "keys"
    path.write_text(f"{CANARY}\n{CANARY}-two")
    ring, fake = KeyRing.from_file(path, refresh=0), FakeOpenAI()
    for _ in range(9 if status != 200 else 0):
        fake.error(status)
    client, records = client_for(fake, ring)
    shown: list[str] = []
    with virtual_time(), caplog.at_level(logging.DEBUG):
        for broken in ("", f"{CANARY} {CANARY}"):
            try:
                await client.chat.completions.create(**CHAT, stream=stream)
            except openai.OpenAIError as error:
                shown += ["".join(traceback.format_exception(error)), repr(error), *getattr(error, "__notes__", [])]
            path.write_text(broken)
    assert fake.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    shown += [repr(ring), str(ring.status()), repr(client), repr(records), written.getvalue(), caplog.text]
    shown += [str(vars(part)) for part in (ring, ring._keys, ring._keys._supply, ring._keys._ring, ring._keys.source)]
    shown += [repr(ring._keys._ring._slots), repr(ring.async_provider()), str(client._llmkit)]  # type: ignore[attr-defined]
    assert CANARY[-8:] not in "\n".join(shown)
    for copied in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            copied(ring)


async def test_operators_are_told_of_parked_and_rotated_keys(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_KEYS", f"{A} {B}")
    client, _ = client_for(FakeOpenAI().error(401), KeyRing.from_env("TEST_KEYS"))
    with caplog.at_level(logging.INFO, logger="llmkit"):
        await client.chat.completions.create(**CHAT)
        for keys in (f"{B} {C}", f"{B}"):
            monkeypatch.setenv("TEST_KEYS", keys)
            await client.chat.completions.create(**CHAT)
    told = [record.getMessage() for record in caplog.records if "key" in record.getMessage().lower()]
    assert told == [
        "API key ...1111 is parked: 401 invalid_api_key",
        "KeyRing: ...3333 came, ...1111 went",
        "KeyRing: no key came, ...3333 went",
    ]


async def test_a_key_is_not_said_to_have_been_used_when_a_client_without_a_ring_answered() -> None:
    plain = FakeOpenAI().async_client(api_key="sk-plain", middleware=[])
    client, records = client_for(FakeOpenAI().error(500), KeyRing(A), Fallback(plain), max_retries=0)
    await client.chat.completions.create(**CHAT)
    assert records[0].key is None


async def test_a_cancelled_first_call_does_not_take_the_keys_from_those_that_wait_for_them() -> None:
    go = asyncio.Event()

    async def get_keys() -> str:
        await go.wait()
        return A

    client, records = client_for(FakeOpenAI(), KeyRing.from_callable(get_keys))
    first, *others = [asyncio.create_task(client.chat.completions.create(**CHAT)) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    go.set()
    await asyncio.gather(*others)
    assert [record.key for record in records] == [None, "...1111", "...1111"]
