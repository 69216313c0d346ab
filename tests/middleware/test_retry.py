from __future__ import annotations

import dataclasses
import io
import logging
from typing import Any

import httpx2
import openai
import pytest
from surfaces import CHAT

import llmkit
from llmkit import CallNext, CallRecord, Request, Retry, Timeouts, UsageLog
from llmkit.testing import FakeOpenAI, virtual_time


def client_for(fake: FakeOpenAI, *layers: Any, **options: Any) -> tuple[llmkit.AsyncOpenAI, list[CallRecord]]:
    records: list[CallRecord] = []
    stack = [UsageLog(sinks=[records.append]), *(layers or (Retry(),))]
    return fake.async_client(middleware=stack, **options), records


async def test_a_call_that_fails_twice_succeeds_and_tells_of_its_attempts() -> None:
    fake = FakeOpenAI().error(500).error(429, headers={"retry-after": "7"}).reply("there")
    client, (records) = client_for(fake)
    with virtual_time() as clock:
        raw = await client.chat.completions.with_raw_response.create(**CHAT)
    assert raw.retries_taken == 2
    assert raw.parse().choices[0].message.content == "there"
    assert [r.headers["x-stainless-retry-count"] for r in fake.requests] == ["0", "1", "2"]
    assert 0 < clock.sleeps[0] <= 0.5
    assert clock.sleeps[1] == 7
    assert records[0].attempts == 3
    assert records[0].retry_wait == sum(clock.sleeps)
    assert records[0].error is None
    assert records[0].complete


async def test_spent_attempts_raise_the_apis_own_last_error() -> None:
    fake = FakeOpenAI().error(500).error(502).error(503, code="overloaded")
    client, records = client_for(fake)
    with virtual_time(), pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(**CHAT)
    assert caught.value.status_code == 503
    assert len(fake.requests) == 3
    assert (records[0].attempts, records[0].error, records[0].status_code) == (3, "InternalServerError", 503)
    assert records[0].error_code == "overloaded"


async def test_an_exhausted_quota_is_asked_once() -> None:
    fake = FakeOpenAI().error(429, code="insufficient_quota")
    client, _ = client_for(fake)
    with virtual_time() as clock, pytest.raises(openai.RateLimitError):
        await client.chat.completions.create(**CHAT)
    assert len(fake.requests) == 1
    assert clock.sleeps == []


async def test_connection_errors_are_retried() -> None:
    fake = FakeOpenAI().fail(httpx2.ConnectError("refused")).fail(httpx2.ReadTimeout("slow")).reply("ok")
    client, records = client_for(fake)
    with virtual_time():
        await client.chat.completions.create(**CHAT)
    assert records[0].attempts == 3


@pytest.mark.parametrize(
    ("policy", "options", "per_client", "attempts"),
    [
        (None, {}, {}, 3),  # the SDK's default
        (5, {}, {}, 6),  # the policy's, when the user set no ceiling
        (5, {"max_retries": 1}, {}, 2),
        (5, {"max_retries": 2}, {}, 3),  # two, said aloud, is a ceiling, too
        (1, {"max_retries": 4}, {}, 2),
        (None, {"max_retries": 4}, {}, 5),
        (5, {}, {"max_retries": 0}, 1),
        (5, {}, {"max_retries": 2}, 3),
        (0, {}, {}, 1),
    ],
)
async def test_the_users_max_retries_is_the_ceiling(
    policy: int | None, options: dict[str, int], per_client: dict[str, int], attempts: int
) -> None:
    fake = FakeOpenAI()
    for _ in range(10):
        fake.error(500)
    client, _ = client_for(fake, Retry(max_retries=policy), **options)
    with virtual_time(), pytest.raises(openai.InternalServerError):
        await client.with_options(**per_client).chat.completions.create(**CHAT)  # type: ignore[arg-type]
    assert len(fake.requests) == attempts


async def test_a_per_call_ceiling_counts_and_nonsense_is_refused_as_by_the_sdk() -> None:
    fake = FakeOpenAI().error(500)
    client, _ = client_for(fake)
    with virtual_time(), pytest.raises(openai.InternalServerError):
        await client.post("/chat/completions", body=CHAT, cast_to=object, options={"max_retries": 0})
    assert len(fake.requests) == 1
    with pytest.raises(ValueError, match="max_retries"):
        await client.post("/chat/completions", body=CHAT, cast_to=object, options={"max_retries": -1})


async def test_two_retries_in_a_stack_do_not_multiply() -> None:
    fake = FakeOpenAI()
    for _ in range(20):
        fake.error(500)
    client, records = client_for(fake, Retry(max_retries=2), Retry(max_retries=2))
    with virtual_time(), pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(**CHAT)
    assert len(fake.requests) == records[0].attempts == 3


async def test_without_a_retry_layer_the_sdk_retries_and_attempts_are_still_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("openai._base_client.BaseClient._calculate_retry_timeout", lambda *_, **__: 0)
    fake = FakeOpenAI().error(500).reply("ok")
    records: list[CallRecord] = []
    client = fake.async_client(middleware=[UsageLog(sinks=[records.append])])
    raw = await client.chat.completions.with_raw_response.create(**CHAT)
    assert raw.retries_taken == 1
    assert records[0].attempts == 2


async def test_layers_inside_retry_run_for_every_attempt() -> None:
    seen: list[int] = []

    async def inner(request: Request, call_next: CallNext) -> Any:
        seen.append(request.retries_taken)
        return await call_next(request)

    client, _ = client_for(FakeOpenAI().error(500).error(500).reply("ok"), Retry(), inner)
    with virtual_time():
        await client.chat.completions.create(**CHAT)
    assert seen == [0, 1, 2]


async def test_the_callers_own_retry_count_header_is_kept() -> None:
    fake = FakeOpenAI().error(500).reply("ok")
    client, _ = client_for(fake)
    with virtual_time():
        await client.chat.completions.create(**CHAT, extra_headers={"X-Stainless-Retry-Count": "42"})
    assert [r.headers["x-stainless-retry-count"] for r in fake.requests] == ["42", "42"]


async def test_a_raw_response_asked_for_with_a_custom_class_survives_a_retry() -> None:
    fake = FakeOpenAI().error(500).respond(httpx2.Response(200, content=b"sound"))
    client, _ = client_for(fake)
    with virtual_time():
        async with client.audio.speech.with_streaming_response.create(
            model="tts-1", voice="alloy", input="hi"
        ) as response:
            assert await response.read() == b"sound"


def upload_to(seen: list[bytes]) -> Any:
    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.read())
        status = 500 if len(seen) == 1 else 200
        return httpx2.Response(status, json={"id": "file-1", "object": "file", "filename": "f"})

    return httpx2.MockTransport(handle)


def test_an_uploaded_file_is_rewound_before_the_next_attempt() -> None:
    seen: list[bytes] = []
    client = llmkit.OpenAI(
        api_key="sk-fake", http_client=httpx2.Client(transport=upload_to(seen)), middleware=[Retry()]
    )
    with virtual_time():
        client.files.create(file=("f", io.BytesIO(b"all of it")), purpose="batch")
    assert len(seen) == 2
    assert all(b"all of it" in body for body in seen)


def test_an_upload_that_cannot_be_rewound_is_not_sent_again() -> None:
    class OneShot(io.BytesIO):
        def seekable(self) -> bool:
            return False

    seen: list[bytes] = []
    client = llmkit.OpenAI(
        api_key="sk-fake", http_client=httpx2.Client(transport=upload_to(seen)), middleware=[Retry()]
    )
    with virtual_time() as clock, pytest.raises(openai.InternalServerError):
        client.files.create(file=("f", OneShot(b"all of it")), purpose="batch")
    assert len(seen) == 1
    assert clock.sleeps == []


def test_the_same_retry_blocks_in_a_sync_client() -> None:
    fake = FakeOpenAI().error(503, headers={"retry-after-ms": "1500"}).reply("ok")
    client = fake.client(middleware=[Retry()])
    with virtual_time() as clock:
        assert client.chat.completions.create(**CHAT).choices[0].message.content == "ok"
    assert clock.sleeps == [1.5]


async def test_retries_show_in_the_sdks_own_log(caplog: pytest.LogCaptureFixture) -> None:
    client, _ = client_for(FakeOpenAI().error(500, headers={"retry-after": "3"}).reply("ok"))
    with virtual_time(), caplog.at_level(logging.INFO, logger="openai._base_client"):
        await client.chat.completions.create(**CHAT)
    assert "Retrying request in 3.000000 seconds (retry 1 of 2)" in caplog.messages


async def test_a_deadline_ends_the_loop_before_a_wait_that_would_pass_it() -> None:
    fake = FakeOpenAI()
    for _ in range(3):
        fake.error(429, headers={"retry-after": "4"})
    client, _ = client_for(fake, Retry(max_retries=9, deadline=10))
    with virtual_time() as clock, pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(**CHAT)
    assert clock.sleeps == [4, 4]
    assert "Not retried: the wait of 4 s would pass the deadline of 10 s." in caught.value.__notes__


async def test_a_wait_that_a_limit_of_timeouts_would_cut_is_not_begun() -> None:
    fake = FakeOpenAI().error(429, headers={"retry-after": "4"}).error(429, headers={"retry-after": "4"})
    client, _ = client_for(fake, Timeouts(total=7), Retry(max_retries=9))
    with virtual_time() as clock, pytest.raises(openai.RateLimitError) as caught:
        await client.chat.completions.create(**CHAT)
    assert clock.sleeps == [4]
    assert "Not retried: the wait of 4 s would pass a limit of Timeouts." in caught.value.__notes__


async def test_a_dying_api_is_not_hammered_with_more_retries_than_a_minute_allows() -> None:
    fake = FakeOpenAI()
    for _ in range(40):
        fake.error(500)
    client, records = client_for(fake, Retry(max_retries=3, retries_per_minute=5))
    with virtual_time() as clock:
        for _ in range(4):
            with pytest.raises(openai.InternalServerError) as caught:
                await client.chat.completions.create(**CHAT)
        assert [record.attempts for record in records] == [4, 3, 1, 1]
        assert "Not retried: the 5 retries of this minute are spent." in caught.value.__notes__
        clock.advance(60)
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(**CHAT)
    assert records[-1].attempts == 4


async def test_only_the_chosen_errors_are_retried() -> None:
    client, records = client_for(FakeOpenAI().error(400).error(500), Retry(retry_on=(400,)))
    with virtual_time(), pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(**CHAT)
    assert records[0].attempts == 2


def test_a_policy_is_data() -> None:
    policy = Retry(max_retries=4, deadline=30)
    assert policy == Retry(max_retries=4, deadline=30) != Retry(max_retries=4)
    assert dataclasses.replace(policy, deadline=None) == Retry(max_retries=4)
    assert repr(Retry()) == (
        "Retry(max_retries=None, first_wait=0.5, max_wait=8.0, deadline=None, retries_per_minute=None, retry_on=None)"
    )


async def test_the_record_lists_what_went_wrong_on_the_way() -> None:
    fake = FakeOpenAI().error(429, code="rate_limit_exceeded", headers={"retry-after": "2"})
    fake.fail(httpx2.ReadTimeout("slow")).reply("there")
    client, (records) = client_for(fake)
    with virtual_time() as clock:
        await client.chat.completions.create(**CHAT)
    first, second = records[0].failures
    assert (first.at, first.model, first.error, first.status_code) == (0, CHAT["model"], "RateLimitError", 429)
    assert (first.error_code, first.base_url) == ("rate_limit_exceeded", str(client.base_url))
    assert (second.at, second.error, second.status_code) == (2, "APITimeoutError", None)
    assert second.error_code is None
    assert records[0].retry_wait == sum(clock.sleeps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_retries": -1}, "max_retries=-1 is negative"),
        ({"first_wait": 0}, "first_wait=0 must be above 0"),
        ({"first_wait": 9, "max_wait": 8}, "at most max_wait=8"),
        ({"deadline": 0}, "deadline=0 must be above 0 seconds"),
        ({"retries_per_minute": 0}, "retries_per_minute=0 must be at least 1; for none, max_retries=0"),
    ],
)
def test_an_impossible_policy_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Retry(**options)
