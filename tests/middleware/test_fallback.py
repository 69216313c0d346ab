from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Iterable
from typing import Any

import httpx2
import openai
import pytest
from surfaces import ASYNC, CHAT, RESPONSES, SYNC

import llmkit
from llmkit import CallNext, CallRecord, MiddlewareError, Request, Retry, UsageLog, wrap
from llmkit.middleware.fallback import Fallback
from llmkit.middleware.key_ring import KeyRing
from llmkit.middleware.timeouts import Timeouts
from llmkit.testing import FakeOpenAI, virtual_time

MODEL = CHAT["model"]


def client_for(fake: FakeOpenAI, *layers: Any, **options: Any) -> tuple[llmkit.AsyncOpenAI, list[CallRecord]]:
    records: list[CallRecord] = []
    return fake.async_client(middleware=[UsageLog(sinks=[records.append]), *layers], max_retries=0, **options), records


def elsewhere() -> tuple[FakeOpenAI, llmkit.AsyncOpenAI]:
    """Another provider, and a client for it."""
    fake = FakeOpenAI(base_url="https://elsewhere.test/v1")
    return fake, fake.async_client(api_key="sk-other", middleware=[])


def models(fake: FakeOpenAI) -> list[str]:
    return [request.body["model"] for request in fake.requests]


def sent(record: CallRecord) -> tuple[str | None, str | None]:
    return record.sent_model, record.sent_to


def notes(error: BaseException) -> list[str]:
    """What a Fallback noted on an error."""
    return [note for note in getattr(error, "__notes__", []) if "fallback" in note.partition("\n")[0]]


async def test_a_call_that_works_is_left_alone() -> None:
    fake = FakeOpenAI()
    client, records = client_for(fake, Fallback("gpt-4.1-mini"))
    await client.chat.completions.create(**CHAT)
    assert models(fake) == [MODEL]
    assert (sent(records[0]), records[0].failures) == ((None, None), [])


async def test_models_of_the_same_client_are_asked_in_turn() -> None:
    fake = FakeOpenAI().error(503).error(404).reply("from the third")
    client, records = client_for(fake, Fallback("gpt-4.1-mini", "gpt-4.1-nano", "never-asked"))
    answer = await client.chat.completions.create(**CHAT)
    assert answer.choices[0].message.content == "from the third"
    assert models(fake) == [MODEL, "gpt-4.1-mini", "gpt-4.1-nano"]
    (record,) = records
    assert (record.model, record.response_model, sent(record)) == (MODEL, "gpt-4.1-nano", ("gpt-4.1-nano", None))
    assert [(failure.model, failure.status_code) for failure in record.failures] == [
        (MODEL, 503),
        ("gpt-4.1-mini", 404),
    ]
    assert (record.error, record.complete, record.attempts) == (None, True, 3)


async def test_another_client_answers_with_its_own_key_and_the_same_model() -> None:
    fake = FakeOpenAI().error(500)
    other, other_client = elsewhere()
    client, records = client_for(fake, Fallback(other_client))
    await client.chat.completions.create(**CHAT)
    assert models(other) == [MODEL]
    assert other.requests[0].headers["authorization"] == "Bearer sk-other"
    assert sent(records[0]) == (None, "https://elsewhere.test/v1/")


async def test_a_password_in_a_base_url_is_not_in_the_record() -> None:
    other = FakeOpenAI(base_url="https://me:secret@elsewhere.test/v1").error(500).reply("ok")
    target = other.async_client(middleware=[])
    client, records = client_for(FakeOpenAI().error(500), Fallback((target, "a"), (target, "b")))
    await client.chat.completions.create(**CHAT)
    assert sent(records[0]) == ("b", "https://elsewhere.test/v1/")
    assert "secret" not in str(records[0])


async def test_another_client_answers_with_a_model_of_its_own() -> None:
    fake = FakeOpenAI().fail(httpx2.ConnectError("refused"))
    other, other_client = elsewhere()
    client, records = client_for(fake, Fallback((other_client, "llama-3-70b")))
    await client.responses.create(**RESPONSES)
    assert models(other) == ["llama-3-70b"]
    assert sent(records[0]) == ("llama-3-70b", "https://elsewhere.test/v1/")


async def test_a_wrapped_client_is_a_target_and_its_own_stack_does_not_run() -> None:
    ran: list[str] = []

    async def note(request: Request, call_next: CallNext) -> Any:
        ran.append(str(request.model))
        return await call_next(request)

    other = FakeOpenAI()
    bare = openai.AsyncOpenAI(api_key="sk-b", base_url="https://b.test/v1", http_client=other.async_http_client())
    client, _ = client_for(FakeOpenAI().error(500), Fallback((wrap(bare, middleware=[note]), "m")), note)
    await client.chat.completions.create(**CHAT)
    assert ran == [MODEL, "m"]
    assert len(other.requests) == 1


@pytest.mark.parametrize(("status", "asked"), [(400, 0), (422, 0), (401, 0), (403, 0), (404, 1), (429, 1), (500, 1)])
async def test_which_errors_lead_to_another_model(status: int, asked: int) -> None:
    fake = FakeOpenAI().error(status)
    client, records = client_for(fake, Fallback("gpt-4.1-mini"))
    if asked:
        await client.chat.completions.create(**CHAT)
    else:
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(**CHAT)
        assert notes(caught.value) == []
        assert records[0].status_code == status
    assert len(fake.requests) == 1 + asked


async def test_a_refused_key_leads_to_another_client_only() -> None:
    fake = FakeOpenAI().error(401)
    other, other_client = elsewhere()
    client, _ = client_for(fake, Fallback("gpt-4.1-mini", (other_client, "m")))
    await client.chat.completions.create(**CHAT)
    assert (models(fake), models(other)) == ([MODEL], ["m"])


async def test_on_chooses_the_errors() -> None:
    fake = FakeOpenAI().error(400).reply("there").error(500)
    client, _ = client_for(fake, Fallback("gpt-4.1-mini", on=(400,)))
    await client.chat.completions.create(**CHAT)
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(**CHAT)
    assert models(fake) == [MODEL, "gpt-4.1-mini", MODEL]
    seen: list[str] = []

    def always(error: Exception) -> bool:
        seen.append(type(error).__name__)
        return True

    fake = FakeOpenAI().error(422)
    client, _ = client_for(fake, Fallback("a", "b", on=always))
    await client.chat.completions.create(**CHAT)
    assert (seen, models(fake)) == (["UnprocessableEntityError"], [MODEL, "a"])


async def test_when_all_fail_the_first_error_is_raised_with_a_note_on_the_others() -> None:
    fake = FakeOpenAI().error(503, message="SECRET").error(400, message="SECRET")
    other, other_client = elsewhere()
    other.fail(httpx2.ConnectError("SECRET"))
    client, records = client_for(fake, Fallback("gpt-4.1-mini", (other_client, "m")))
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(**CHAT)
    assert notes(caught.value) == [
        "The fallbacks failed, too: gpt-4.1-mini at fake.openai.test with BadRequestError 400, "
        "m at elsewhere.test with APIConnectionError."
    ]
    (record,) = records
    assert (record.error, record.status_code, sent(record)) == ("InternalServerError", 503, (None, None))
    assert [failure.error for failure in record.failures] == [
        "InternalServerError",
        "BadRequestError",
        "APIConnectionError",
    ]


async def test_a_model_that_failed_is_not_asked_again() -> None:
    fake = FakeOpenAI().error(500).error(500)
    client, _ = client_for(fake, Fallback(MODEL, "gpt-4.1-mini", "gpt-4.1-mini", MODEL))
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(**CHAT)
    assert models(fake) == [MODEL, "gpt-4.1-mini"]


async def test_each_fallback_is_logged_once_without_content(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeOpenAI().error(503, message="SECRET").error(429, message="SECRET")
    client, _ = client_for(fake, Fallback("gpt-4.1-mini", "gpt-4.1-nano"))
    with caplog.at_level(logging.INFO, logger="llmkit"):
        await client.chat.completions.create(**CHAT)
    assert [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "llmkit"] == [
        (
            "WARNING",
            f"{MODEL} at fake.openai.test failed with InternalServerError 503; asking gpt-4.1-mini at fake.openai.test",
        ),
        (
            "WARNING",
            "gpt-4.1-mini at fake.openai.test failed with RateLimitError 429; asking gpt-4.1-nano at fake.openai.test",
        ),
    ]


async def test_each_target_has_its_own_retries_and_time() -> None:
    fake = FakeOpenAI().error(500).error(500).error(500).reply("there")
    client, records = client_for(fake, Fallback("gpt-4.1-mini"), Timeouts(total=60), Retry(max_retries=1))
    client = client.with_options(max_retries=1)
    with virtual_time():
        await client.chat.completions.create(**CHAT)
    assert models(fake) == [MODEL, MODEL, "gpt-4.1-mini", "gpt-4.1-mini"]
    assert [request.headers["x-stainless-retry-count"] for request in fake.requests] == ["0", "1", "0", "1"]
    assert records[0].attempts == 4


async def test_a_call_that_takes_too_long_falls_back() -> None:
    slow = FakeOpenAI(delay=5)
    _, other_client = elsewhere()
    client, records = client_for(slow, Fallback(other_client), Timeouts(total=2))
    with virtual_time() as clock:
        await client.chat.completions.create(**CHAT)
        assert clock.monotonic() == 2
    assert (records[0].error, records[0].complete) == (None, True)
    assert [(failure.base_url, failure.error) for failure in records[0].failures] == [
        ("https://fake.openai.test/v1/", "CallTimeout")
    ]
    assert slow.open_streams == 0


@pytest.mark.parametrize("surface", ["create", "create_stream", "stream_helper", "parse", "raw", "raw_stream",
                                     "streaming_response", "streaming_response_lines", "responses_create",
                                     "responses_stream", "responses_helper", "responses_parse"])  # fmt: skip
async def test_every_way_to_call_falls_back(surface: str) -> None:
    fake = FakeOpenAI().error(500)
    other, other_client = elsewhere()
    client, records = client_for(fake, Fallback((other_client, "gpt-4.1-mini")))
    await ASYNC[surface](client)
    assert (len(fake.requests), models(other)) == (1, ["gpt-4.1-mini"])
    assert (len(records), records[0].error, records[0].complete) == (1, None, True)
    assert other.open_streams == 0


@pytest.mark.parametrize("surface", ["sync_create", "sync_create_stream", "sync_stream_helper", "sync_raw",
                                     "sync_responses_stream", "sync_responses_parse"])  # fmt: skip
def test_every_way_to_call_falls_back_in_a_sync_client(surface: str) -> None:
    fake, other = FakeOpenAI().error(500), FakeOpenAI(base_url="https://elsewhere.test/v1")
    records: list[CallRecord] = []
    stack = [UsageLog(sinks=[records.append]), Fallback("gpt-4.1-nano", (other.client(middleware=[]), "gpt-4.1-mini"))]
    client = fake.error(429).client(middleware=stack, max_retries=0)
    SYNC[surface](client)
    assert (models(fake), models(other)) == ([fake.requests[0].body["model"], "gpt-4.1-nano"], ["gpt-4.1-mini"])
    assert sent(records[0]) == ("gpt-4.1-mini", "https://elsewhere.test/v1/")


async def test_a_stream_that_breaks_off_is_not_started_again() -> None:
    fake = FakeOpenAI().drop("Hello there", after=2)
    client, records = client_for(fake, Fallback("gpt-4.1-mini"))
    with pytest.raises(openai.APIConnectionError):
        async for _ in await client.chat.completions.create(**CHAT, stream=True):
            pass
    assert models(fake) == [MODEL]
    assert records[0].error == "APIConnectionError"


async def test_embeddings_files_and_lists_do_not_fall_back() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake, Fallback("gpt-4.1-mini", elsewhere()[1]))
    for call in (
        lambda: client.embeddings.create(model="text-embedding-3-small", input="blue"),
        client.models.list,
        lambda: client.files.create(file=b"{}", purpose="batch"),
    ):
        fake.error(500)
        with pytest.raises(openai.InternalServerError):
            await call()
    assert len(fake.requests) == 3


async def test_a_request_that_cannot_be_sent_twice_is_not() -> None:
    async def sent_for_good(request: Request, call_next: CallNext) -> Any:
        return await call_next(dataclasses.replace(request, rewind=lambda: False))

    fake = FakeOpenAI().error(500)
    client, records = client_for(fake, sent_for_good, Fallback("gpt-4.1-mini"))
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(**CHAT)
    assert notes(caught.value) == ["No fallback was asked: the request cannot be sent a second time."]
    assert (len(fake.requests), sent(records[0])) == (1, (None, None))


async def test_a_cancelled_call_is_not_sent_to_anybody_else() -> None:
    asked: list[str] = []
    reached = asyncio.Event()

    async def hangs(request: Request, call_next: CallNext) -> Any:
        asked.append(str(request.model))
        reached.set()
        await asyncio.Event().wait()

    client, records = client_for(FakeOpenAI(), Fallback("gpt-4.1-mini", on=lambda error: True), hangs)
    task = asyncio.create_task(client.chat.completions.create(**CHAT))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (asked, records[0].error) == ([MODEL], "CancelledError")


async def test_calls_at_the_same_time_fall_back_each_on_its_own() -> None:
    gate = asyncio.Event()
    waiting: list[None] = []

    async def fails_on_odd_days(request: Request, call_next: CallNext) -> Any:
        odd, model = int(request.tags["number"]) % 2, request.model
        waiting.append(None)
        if len(waiting) == 6:
            gate.set()
        await gate.wait()
        if model == MODEL and odd:
            raise openai.APIConnectionError(request=httpx2.Request("POST", request.base_url))
        return await call_next(request)

    fake = FakeOpenAI()
    client, records = client_for(fake, Fallback("gpt-4.1-mini"), fails_on_odd_days)

    async def call(number: int) -> str:
        with llmkit.tags(number=number):
            return (await client.chat.completions.create(**CHAT)).model

    answers = await asyncio.gather(*map(call, range(6)))
    assert answers == [MODEL, "gpt-4.1-mini"] * 3
    assert {int(record.tags["number"]): record.sent_model for record in records} == {
        number: "gpt-4.1-mini" if number % 2 else None for number in range(6)
    }


async def test_a_model_that_a_layer_above_chose_is_put_back_when_all_fail() -> None:
    async def route(request: Request, call_next: CallNext) -> Any:
        request.record.sent_model = "small"
        return await call_next(request.replace(model="small"))

    fake = FakeOpenAI().error(500).error(500)
    client, records = client_for(fake, route, Fallback("gpt-4.1-mini"))
    with pytest.raises(openai.InternalServerError):
        await client.chat.completions.create(**CHAT)
    assert sent(records[0]) == ("small", None)
    fake.error(500)
    client, records = client_for(fake, route, Fallback(MODEL))
    await client.chat.completions.create(**CHAT)
    assert (models(fake)[-2:], sent(records[0])) == (["small", MODEL], (None, None))


async def test_a_target_of_an_inner_fallback_stays_with_the_client_of_the_outer() -> None:
    fake = FakeOpenAI().error(500).error(500)
    other, other_client = elsewhere()
    other.error(500)
    client, records = client_for(fake, Fallback(other_client), Fallback("gpt-4.1-mini"))
    await client.chat.completions.create(**CHAT)
    assert models(other) == [MODEL, "gpt-4.1-mini"]
    assert sent(records[0]) == ("gpt-4.1-mini", "https://elsewhere.test/v1/")


async def test_credentials_given_with_a_call_go_to_no_other_provider() -> None:
    fake = FakeOpenAI().error(500).error(500)
    other, other_client = elsewhere()
    client, _ = client_for(fake, Fallback("gpt-4.1-mini", other_client))
    headers = {"Authorization": "Bearer sk-mine", "OpenAI-Project": "proj_1", "x-trace": "t"}
    await client.chat.completions.create(**CHAT, extra_headers=headers)
    assert [request.headers["authorization"] for request in fake.requests] == ["Bearer sk-mine"] * 2
    (asked,) = other.requests
    assert (asked.headers["authorization"], asked.headers["x-trace"]) == ("Bearer sk-other", "t")
    assert "openai-project" not in asked.headers


async def test_adapt_changes_what_another_model_does_not_take() -> None:
    def plainer(request: Request) -> Request:
        return request.replace(body={name: value for name, value in request.body.items() if name != "store"})

    fake = FakeOpenAI().error(500)
    other, other_client = elsewhere()
    client, _ = client_for(fake, Fallback((other_client, "m"), adapt=plainer))
    await client.chat.completions.create(**CHAT, store=True, extra_body={"seed": 7})
    assert other.requests[0].body == {"model": "m", "messages": CHAT["messages"], "seed": 7}


# --- Azure: the deployment in the URL comes from the model


def azure(fake: FakeOpenAI, client_class: Any = llmkit.AsyncAzureOpenAI, **options: Any) -> Any:
    is_async = issubclass(client_class, openai.AsyncOpenAI)
    return client_class(
        azure_endpoint="https://mine.openai.azure.com",
        api_version="2024-10-21",
        api_key="azure-key",
        http_client=fake.async_http_client() if is_async else fake.http_client(),
        max_retries=0,
        **options,
    )


def answered() -> httpx2.Response:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
    return httpx2.Response(200, json=answer)


def paths(fake: FakeOpenAI) -> list[str]:
    return [request.path for request in fake.requests]


async def test_another_deployment_of_azure_is_asked() -> None:
    fake = FakeOpenAI().error(404, code="DeploymentNotFound").respond(answered())
    client = azure(fake, middleware=[Fallback("my-mini")])
    await client.chat.completions.create(**CHAT)
    assert paths(fake) == [f"/openai/deployments/{name}/chat/completions" for name in (MODEL, "my-mini")]
    assert models(fake) == [MODEL, "my-mini"]


async def test_azure_answers_for_openai_and_openai_for_azure() -> None:
    there = FakeOpenAI().respond(answered())
    here = FakeOpenAI().error(500)
    client, records = client_for(here, Fallback((azure(there), "my-deployment")))
    await client.chat.completions.create(**CHAT)
    assert paths(there) == ["/openai/deployments/my-deployment/chat/completions"]
    assert there.requests[0].query == {"api-version": "2024-10-21"}
    assert there.requests[0].headers["api-key"] == "azure-key"
    assert "authorization" not in there.requests[0].headers
    assert sent(records[0]) == ("my-deployment", "https://mine.openai.azure.com/openai/")
    there, here = FakeOpenAI().error(500), FakeOpenAI()
    client = azure(there, middleware=[Fallback((here.async_client(), "gpt-4o"))])
    await client.chat.completions.create(**{**CHAT, "model": "my-deployment"})
    assert (paths(here), models(here)) == (["/v1/chat/completions"], ["gpt-4o"])
    assert here.requests[0].headers["authorization"] == "Bearer sk-fake"
    assert "api-key" not in here.requests[0].headers
    assert here.requests[0].query == {}


def test_azure_falls_back_in_a_sync_client() -> None:
    fake = FakeOpenAI().error(429).respond(answered())
    client = azure(fake, llmkit.AzureOpenAI, middleware=[Fallback("my-mini")])
    client.chat.completions.create(**CHAT)
    assert paths(fake)[-1] == "/openai/deployments/my-mini/chat/completions"


# --- what cannot be a target


@pytest.mark.parametrize(
    ("targets", "options", "error", "message"),
    [
        ((), {}, ValueError, "Fallback\\(\\) has no target"),
        (("",), {}, TypeError, "got \\(str\\)"),
        ((None,), {}, TypeError, "got \\(NoneType\\)"),
        ((("gpt-4o", "gpt-4.1-mini"),), {}, TypeError, "got \\(str, str\\); a target is"),
        ((openai.AsyncOpenAI(api_key="sk"),), {}, TypeError, "AsyncOpenAI of the openai SDK's; pass .* wrap\\(client"),
        (((openai.OpenAI(api_key="sk"), "m"),), {}, TypeError, "OpenAI of the openai SDK's"),
        (("m",), {"on": openai.RateLimitError}, TypeError, "is no choice of errors"),
        (("m",), {"on": ("429",)}, TypeError, "'429' is neither"),
    ],
)
def test_what_cannot_be_a_fallback_is_refused(
    targets: Iterable[Any], options: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Fallback(*targets, **options)


async def test_a_client_of_the_other_kind_is_refused_at_the_first_call() -> None:
    fake = FakeOpenAI()
    client, _ = client_for(fake, Fallback(fake.client()))
    with pytest.raises(MiddlewareError, match="send the calls of AsyncOpenAI by OpenAI: one is async"):
        await client.chat.completions.create(**CHAT)
    sync_client = fake.client(middleware=[Fallback("m", (fake.async_client(), "m"))])
    with pytest.raises(MiddlewareError, match="send the calls of OpenAI by AsyncOpenAI: one is async"):
        sync_client.chat.completions.create(**CHAT)
    assert fake.requests == []


@pytest.mark.parametrize("has_ring", [True, False])
async def test_a_client_with_a_ring_answers_with_another_key_when_one_is_refused(has_ring: bool) -> None:
    other = FakeOpenAI(base_url="https://elsewhere.test/v1").error(401)
    ring = KeyRing("sk-first-key-of-theirs-1111", "sk-second-key-of-theirs-2222")
    target = other.async_client(api_key=ring, middleware=[])
    key = KeyRing("sk-only-key-of-ours-3333") if has_ring else "sk-plain"
    client, records = client_for(FakeOpenAI().error(500), Fallback(target), Retry(), api_key=key)
    await client.chat.completions.create(**CHAT)
    assert [request.headers["authorization"][-4:] for request in other.requests] == ["1111", "2222"]
    assert [one.usable for one in ring.status()] == [False, True]
    assert (records[0].key, records[0].attempts, len(records[0].failures)) == ("...2222", 3, 2)


def test_a_sync_client_with_a_ring_answers_with_another_key_when_one_is_refused() -> None:
    other = FakeOpenAI(base_url="https://elsewhere.test/v1").error(401)
    ring = KeyRing("sk-first-key-of-theirs-1111", "sk-second-key-of-theirs-2222")
    target = other.client(api_key=ring, middleware=[])
    client = FakeOpenAI().error(500).client(middleware=[Fallback(target), Retry()], max_retries=0)
    client.chat.completions.create(**CHAT)
    assert [one.usable for one in ring.status()] == [False, True]
