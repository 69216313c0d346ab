"""Queueing answers, and reading what was asked."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import pytest

import llmkit
import llmkit.testing
from llmkit.testing import FakeOpenAI, FakeRequest

HELLO = [{"role": "user", "content": "Hello"}]


def ask(client: openai.OpenAI) -> str | None:
    return client.chat.completions.create(model="gpt-4o", messages=HELLO).choices[0].message.content


def test_with_nothing_queued_it_repeats_the_last_user_text(sdk: openai.OpenAI) -> None:
    assert ask(sdk) == "You said: Hello"


async def test_it_works_under_the_raw_async_sdk(fake: FakeOpenAI) -> None:
    async with openai.AsyncOpenAI(
        api_key="sk-fake", base_url=fake.base_url, http_client=fake.async_http_client()
    ) as client:
        reply = await client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert reply.choices[0].message.content == "You said: Hello"


def test_client_is_an_llmkit_client_that_takes_the_sdks_options(fake: FakeOpenAI) -> None:
    with fake.client(max_retries=0, timeout=3) as client:
        assert isinstance(client, llmkit.OpenAI)
        assert (client.max_retries, client.timeout) == (0, 3)
        assert ask(client) == "You said: Hello"


async def test_async_client_is_an_llmkit_client_that_takes_middleware(fake: FakeOpenAI) -> None:
    seen = []

    async def watch(request: llmkit.Request, call_next: llmkit.CallNext) -> object:
        seen.append(request.operation)
        return await call_next(request)

    async with fake.async_client(middleware=[watch]) as client:
        assert isinstance(client, llmkit.AsyncOpenAI)
        reply = await client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert (reply.choices[0].message.content, seen) == ("You said: Hello", ["chat.completions"])


def test_queued_answers_come_first_in_first_out_and_then_the_default(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply("one").error(500).reply("two")
    assert ask(sdk) == "one"
    with pytest.raises(openai.InternalServerError):
        ask(sdk)
    assert [ask(sdk), ask(sdk)] == ["two", "You said: Hello"]


def test_ids_and_creation_times_are_the_same_in_every_run(sdk: openai.OpenAI) -> None:
    first, second = (sdk.chat.completions.create(model="gpt-4o", messages=HELLO) for _ in range(2))
    assert (first.id, second.id, first.created) == ("chatcmpl-fake-1", "chatcmpl-fake-2", 1_700_000_000)
    assert second._request_id == "req_fake_2"


def test_answers_name_the_requests_model_or_the_one_given(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    assert sdk.chat.completions.create(model="gpt-x", messages=HELLO).model == "gpt-x"
    with FakeOpenAI(model="gpt-4o-2024-08-06").client() as dated:
        assert dated.chat.completions.create(model="gpt-4o", messages=HELLO).model == "gpt-4o-2024-08-06"


def test_requests_are_recorded_in_order_with_decoded_bodies(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    ask(sdk)
    sdk.models.list(extra_query={"limit": 2})
    first, second = fake.requests
    assert (first.method, first.path, first.body["messages"]) == ("POST", "/v1/chat/completions", HELLO)
    assert first.headers["authorization"] == "Bearer sk-fake"
    assert (second.method, second.path, second.query, second.body) == ("GET", "/v1/models", {"limit": "2"}, {})


def test_successes_carry_the_apis_headers(sdk: openai.OpenAI) -> None:
    headers = sdk.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO).headers
    assert headers["content-type"] == "application/json"
    assert headers["x-request-id"] == "req_fake_1"
    assert headers["openai-processing-ms"].isdigit()
    assert headers["x-ratelimit-remaining-requests"] == "9999"
    assert headers["x-ratelimit-remaining-tokens"] == "1999992"
    assert headers["x-ratelimit-reset-tokens"] == "1ms"


@pytest.mark.parametrize(
    ("status", "expected", "kind", "code"),
    [
        (400, openai.BadRequestError, "invalid_request_error", None),
        (401, openai.AuthenticationError, "invalid_request_error", "invalid_api_key"),
        (403, openai.PermissionDeniedError, "invalid_request_error", None),
        (404, openai.NotFoundError, "invalid_request_error", "model_not_found"),
        (429, openai.RateLimitError, "requests", "rate_limit_exceeded"),
        (503, openai.InternalServerError, "server_error", None),
    ],
)
def test_errors_say_what_the_api_says_for_the_status(
    fake: FakeOpenAI,
    sdk: openai.OpenAI,
    status: int,
    expected: type[openai.APIStatusError],
    kind: str,
    code: str | None,
) -> None:
    fake.error(status)
    with pytest.raises(expected) as caught:
        ask(sdk)
    assert (caught.value.type, caught.value.code, caught.value.request_id) == (kind, code, "req_fake_1")


def test_an_error_takes_its_own_words_and_headers(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.error(400, code="c", message="m", type="t", param="p", headers={"retry-after": "2"})
    with pytest.raises(openai.BadRequestError) as caught:
        ask(sdk)
    assert caught.value.body == {"message": "m", "type": "t", "param": "p", "code": "c"}
    assert caught.value.response.headers["retry-after"] == "2"


def test_a_spent_quota_is_a_429_of_its_own_type(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.error(429, code="insufficient_quota")
    with pytest.raises(openai.RateLimitError, match="exceeded your current quota") as caught:
        ask(sdk)
    assert caught.value.type == "insufficient_quota"


def test_fail_raises_in_the_transport(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.fail(httpx2.ConnectError("refused")).fail(httpx2.ReadTimeout("slow"))
    with pytest.raises(openai.APIConnectionError) as caught:
        ask(sdk)
    assert isinstance(caught.value.__cause__, httpx2.ConnectError)
    with pytest.raises(openai.APITimeoutError):
        ask(sdk)


def test_the_sdks_own_retry_reaches_the_answer_behind_an_error(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.error(429, headers={"retry-after-ms": "1"}).reply("made it")
    assert ask(sdk.with_options(max_retries=1)) == "made it"


def test_respond_sends_a_response_of_ones_own(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.respond(httpx2.Response(502, html="<h1>Bad gateway</h1>"))
    with pytest.raises(openai.InternalServerError) as caught:
        ask(sdk)
    assert caught.value.response.text == "<h1>Bad gateway</h1>"


def test_respond_can_make_the_response_from_the_request(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    def answer(request: FakeRequest) -> httpx2.Response:
        return httpx2.Response(418, json={"error": {"message": request.body["model"]}})

    fake.respond(answer)
    with pytest.raises(openai.APIStatusError, match="gpt-4o"):
        ask(sdk)


def test_respond_keeps_the_chunks_of_an_iterator(fake: FakeOpenAI) -> None:
    fake.respond(httpx2.Response(200, content=iter([b"data: 1\n", b"\nda"])))
    with fake.http_client() as client, client.stream("GET", "https://any.test/v1/x") as response:
        assert list(response.iter_raw()) == [b"data: 1\n", b"\nda"]


def test_respond_refuses_a_body_that_only_a_loop_can_read(fake: FakeOpenAI) -> None:
    async def body() -> object:
        yield b""

    with pytest.raises(TypeError, match="plain iterator"):
        fake.respond(httpx2.Response(200, content=body()))
    fake.respond(lambda request: httpx2.Response(200, content=body()))
    with fake.http_client() as client, pytest.raises(TypeError, match="plain iterator"):
        client.get("https://any.test/v1/x")


def test_replies_wait_for_a_request_that_generates_text(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply("for the chat")
    sdk.embeddings.create(model="text-embedding-3-small", input="x")
    with pytest.raises(openai.BadRequestError):
        sdk.chat.completions.create(model="gpt-4o", messages=[])
    assert ask(sdk) == "for the chat"


def test_errors_answer_any_request_even_an_invalid_one(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.error(503).error(503)
    with pytest.raises(openai.InternalServerError):
        sdk.models.list()
    with pytest.raises(openai.InternalServerError):
        sdk.chat.completions.create(model="gpt-4o", messages=[])


def test_threads_share_the_queue_without_losing_an_answer(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    expected = [f"answer {index}" for index in range(64)]
    for text in expected:
        fake.reply(text)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(sdk), expected))
    assert sorted(answers) == sorted(expected)
    assert len(fake.requests) == 64


def test_pending_counts_the_answers_nobody_has_taken(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    assert fake.pending == 0
    fake.reply("one").error(500).respond(httpx2.Response(200))
    assert fake.pending == 3
    ask(sdk)
    assert fake.pending == 2


def test_importing_the_package_imports_neither_pytest_nor_the_sdk() -> None:
    code = (
        "import sys, llmkit.testing as t; assert not {'pytest', 'openai'} & set(sys.modules); "
        "t.FakeOpenAI, t.virtual_time; assert 'pytest' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_lists_its_names_and_knows_no_others() -> None:
    assert llmkit.testing.__all__ == sorted(llmkit.testing.__all__)
    assert set(llmkit.testing.__all__) <= set(dir(llmkit.testing))
    assert all(getattr(llmkit.testing, name) for name in llmkit.testing.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        llmkit.testing.nonsense  # noqa: B018
