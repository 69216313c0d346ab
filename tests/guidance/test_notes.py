"""Notes on errors, through the public clients: once, in few lines, and without a secret."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import traceback
from collections.abc import Callable
from typing import Any

import anyio
import httpx2
import openai
import pytest
from pydantic import BaseModel
from surfaces import CHAT

import llmkit
from llmkit import CallNext, CallRecord, Request, Retry, UsageLog
from llmkit.errors import CircuitOpen
from llmkit.guidance import explain
from llmkit.testing import FakeOpenAI, virtual_time

CANARY = "sk-canary-4f9a1c77d2"
PROMPT = "the patient is called Rosalind"


def client_for(fake: FakeOpenAI, *layers: Any, **options: Any) -> tuple[llmkit.AsyncOpenAI, list[CallRecord]]:
    records: list[CallRecord] = []
    return fake.async_client(middleware=[UsageLog(sinks=[records.append]), *layers], **options), records


async def failed(client: Any, **changes: Any) -> Exception:
    with virtual_time(), pytest.raises(Exception) as caught:
        await client.chat.completions.create(**{**CHAT, **changes})
    return caught.value


async def test_an_error_gets_one_note_of_three_lines_and_the_record_a_hint() -> None:
    fake = FakeOpenAI().error(500).error(500).error(500)
    client, records = client_for(fake, Retry())
    error = await failed(client)
    (note,) = error.__notes__
    what, why, todo = note.split("\n")
    explanation = explain(error)
    assert what == f"llmkit: {explanation.what} 3 attempts were made. Request id: req_fake_3."
    assert why == f"  Why: {explanation.why}"
    assert todo == f"  What to do: {explanation.todo}"
    assert records[0].hint == explanation.todo


def test_a_sync_client_notes_the_same() -> None:
    fake = FakeOpenAI().error(401)
    with pytest.raises(openai.AuthenticationError) as caught:
        fake.client().chat.completions.create(**CHAT)
    (note,) = caught.value.__notes__
    assert note.startswith("llmkit: fake.openai.test refused the key (401 invalid_api_key). Request id: req_fake_1.\n")


async def test_an_error_that_passes_through_a_call_inside_a_call_is_noted_once() -> None:
    inner, _ = client_for(FakeOpenAI().error(400))

    async def ask_another(request: Request, call_next: CallNext) -> Any:
        return await inner.chat.completions.create(**CHAT)

    client, records = client_for(FakeOpenAI(), ask_another)
    error = await failed(client)
    assert len(error.__notes__) == 1
    assert records[0].hint == explain(error).todo


async def test_an_error_that_breaks_a_stream_is_noted_too() -> None:
    fake = FakeOpenAI(base_url="https://api.openai.com/v1").drop("one two three", after=2)
    client, records = client_for(fake)
    stream = await client.chat.completions.create(**CHAT, stream=True)
    with pytest.raises(openai.APIConnectionError) as caught:
        _ = [chunk async for chunk in stream]
    (note,) = caught.value.__notes__
    assert note.startswith("llmkit: The connection to api.openai.com broke")
    assert records[0].hint == explain(caught.value).todo


async def test_a_good_call_has_no_hint_and_an_earlier_attempts_failure_leaves_none() -> None:
    client, records = client_for(FakeOpenAI().error(500).reply("fine"), Retry())
    with virtual_time():
        await client.chat.completions.create(**CHAT)
    assert records[0].hint is None


async def test_a_call_that_its_user_cancels_has_neither_note_nor_hint() -> None:
    client, records = client_for(FakeOpenAI(delay=60))
    with anyio.move_on_after(0.01):
        await client.chat.completions.create(**CHAT)
    assert (records[0].error, records[0].hint) == ("CancelledError", None)


async def test_errors_of_llmkits_own_and_of_the_users_layers_are_left_as_they_are() -> None:
    class Spent(llmkit.LLMKitError):
        """The account of this test is empty."""

        retry_after = 3.0

    async def spend(request: Request, call_next: CallNext) -> Any:
        raise Spent("nothing left")

    async def fail(request: Request, call_next: CallNext) -> Any:
        raise ZeroDivisionError

    client, records = client_for(FakeOpenAI(), spend)
    error = await failed(client)
    explanation = explain(error)
    assert not hasattr(error, "__notes__")
    assert (explanation.kind, explanation.what) == ("spent", "nothing left")
    assert (explanation.why, explanation.retry_after) == ("The account of this test is empty.", 3.0)
    assert records[0].hint == explanation.todo == "Do what its message says."
    client, records = client_for(FakeOpenAI(), fail)
    error = await failed(client)
    assert [note.split()[0] for note in error.__notes__] == ["Raised"]
    assert explain(error).kind == "unknown"
    assert records[0].hint is None


def test_the_circuits_own_wait_is_told() -> None:
    explanation = explain(CircuitOpen("open", retry_in=12.5))
    assert (explanation.kind, explanation.retry_after, explanation.retryable) == ("circuit_open", 12.5, False)


def test_the_todo_of_an_own_error_is_that_of_the_class_it_derives_from() -> None:
    class MyOwn(llmkit.ContextLengthExceeded):
        pass

    explanation = explain(MyOwn("too long"))
    assert explanation.kind == "my_own"
    assert "Send fewer or shorter messages" in explanation.todo


class Colour(BaseModel):
    name: str


@pytest.mark.parametrize(("reason", "kind"), [("length", "length"), ("content_filter", "content_filter")])
async def test_an_answer_that_cannot_be_parsed_is_explained(reason: str, kind: str) -> None:
    client, records = client_for(FakeOpenAI().reply('{"name": "Rosalind', finish_reason=reason))
    with pytest.raises(openai.OpenAIError) as caught:
        await client.chat.completions.parse(**CHAT, response_format=Colour)
    (note,) = caught.value.__notes__
    assert explain(caught.value).kind == kind
    assert records[0].hint is not None
    assert "Rosalind" not in note


def test_what_the_sdk_says_of_itself_is_told_apart() -> None:
    request = httpx2.Request("GET", "https://api.openai.com/v1/models")
    response = httpx2.Response(200, request=request)
    assert explain(openai.OpenAIError("X.509 is not supported")).kind == "sdk_error"
    assert explain(openai.APIResponseValidationError(response, None)).kind == "invalid_response"


async def test_guidance_that_fails_never_takes_the_errors_place(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(openai.OpenAIError):
        def __str__(self) -> str:
            raise RuntimeError("Rosalind")

    async def fail(request: Request, call_next: CallNext) -> Any:
        raise Odd

    client, records = client_for(FakeOpenAI(), fail)
    with caplog.at_level(logging.DEBUG, logger="llmkit"):
        assert type(await failed(client)) is Odd
    assert caplog.messages == ["no guidance on Odd: RuntimeError"]
    assert records[0].hint is None


FAILURES: dict[str, Callable[[FakeOpenAI], object]] = {
    **{
        str(status): lambda fake, status=status: fake.error(status, message=PROMPT, headers={"x-should-retry": "false"})
        for status in (400, 401, 403, 404, 408, 409, 413, 418, 422, 429, 500, 503)
    },
    "a parameter that is a text": lambda fake: fake.error(400, param=PROMPT, type=PROMPT, message=CANARY),
    "context": lambda fake: fake.error(400, code="context_length_exceeded", message=PROMPT),
    "schema": lambda fake: fake.error(400, message=f"Invalid schema for {PROMPT}"),
    "history": lambda fake: fake.error(400, message=f"must be followed by tool messages: {PROMPT}"),
    "quota": lambda fake: fake.error(429, code="insufficient_quota", message=CANARY),
    "no connection": lambda fake: fake.fail(httpx2.ConnectError(CANARY)),
    "timeout": lambda fake: fake.fail(httpx2.ReadTimeout(PROMPT)),
    "page": lambda fake: fake.respond(httpx2.Response(200, html=f"<h1>ANSWER-TEXT {PROMPT}</h1>")),
    "no choices": lambda fake: fake.respond(httpx2.Response(200, json={"error": {"message": PROMPT, "code": PROMPT}})),
    "half of it": lambda fake: fake.respond(
        httpx2.Response(200, headers={"content-type": "application/json"}, content=b'{"id": "ANSWER-TEXT')
    ),
    "dropped": lambda fake: fake.drop("ANSWER-TEXT", after=2),
}


async def ask(client: Any, *, stream: bool) -> None:
    messages = [{"role": "user", "content": PROMPT}]
    answer = await client.chat.completions.create(model="gpt-4o", messages=messages, stream=stream)
    _ = [chunk async for chunk in answer]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_no_note_and_no_hint_has_a_key_a_prompt_or_an_answer(
    failure: Callable[[FakeOpenAI], object], stream: bool
) -> None:
    fake, records = FakeOpenAI(), list[CallRecord]()
    failure(fake)
    log = io.StringIO()
    client = llmkit.AsyncOpenAI(
        api_key=CANARY,
        base_url=fake.base_url,
        http_client=fake.async_http_client(),
        middleware=[UsageLog(sinks=[records.append, lambda record: print(llmkit.log.fields(record), file=log)])],
        max_retries=0,
    )
    with pytest.raises(openai.OpenAIError) as caught:
        await ask(client, stream=stream)
    (note,) = caught.value.__notes__
    assert note.startswith("llmkit: ")
    assert records[0].hint
    shown = [note, str(explain(caught.value)), repr(records), log.getvalue()]
    if isinstance(caught.value, llmkit.LLMKitError):
        shown.append("".join(traceback.format_exception(caught.value)))
    for secret in (CANARY, CANARY[-8:], "Rosalind", "ANSWER-TEXT"):
        assert secret not in "\n".join(shown)


def test_a_program_that_never_fails_never_loads_guidance() -> None:
    program = """
import sys
from llmkit.testing import FakeOpenAI
client = FakeOpenAI().client()
client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}])
list(client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "x"}], stream=True))
print([name for name in sys.modules if name.startswith("llmkit.guidance")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
