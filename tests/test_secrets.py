"""A canary key through every path: it must come out nowhere."""

from __future__ import annotations

import io
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
import structlog
from surfaces import CHAT

import llmkit
from llmkit import CallNext, CallRecord, Request, Retry, UsageLog
from llmkit.testing import FakeOpenAI, virtual_time

CANARY = "sk-canary-4f9a1c77d2"
PROMPT = "the patient is called Rosalind"

FAILURES: dict[str, Callable[[FakeOpenAI], object]] = {
    "success": lambda fake: fake.reply("ANSWER-TEXT"),
    "unauthorised": lambda fake: fake.error(401),
    "rate limited": lambda fake: fake.error(429, headers={"retry-after": "1"}).error(429, code="insufficient_quota"),
    "server error": lambda fake: fake.error(500).error(500).error(500),
    "no connection": lambda fake: fake.fail(httpx2.ConnectError("refused")).fail(httpx2.ConnectError("refused")),
    "dropped": lambda fake: fake.drop("ANSWER-TEXT", after=2),
    "malformed": lambda fake: fake.respond(
        httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=b"data: {oops\n\n")
    ),
}


async def broken(request: Request, call_next: CallNext) -> Any:
    raise ValueError(f"cannot handle {request!r}")


def forgetful(request: Request, call_next: CallNext) -> Any:
    return None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("extra", [None, broken, forgetful])
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_neither_key_nor_prompt_nor_answer_shows_in_any_log_repr_or_error(
    failure: Callable[[FakeOpenAI], object],
    extra: Any,
    stream: bool,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.StringIO()
    monkeypatch.setattr(sys, "stderr", written)
    structlog.reset_defaults()
    fake, shown, records = FakeOpenAI(), list[str](), list[CallRecord]()
    failure(fake)
    layers = [UsageLog(), UsageLog(sinks=[records.append]), Retry(), *([extra] if extra else [])]
    client = llmkit.AsyncOpenAI(
        api_key=CANARY, base_url=fake.base_url, http_client=fake.async_http_client(), middleware=layers
    )
    messages: Any = [{"role": "user", "content": PROMPT}]
    with virtual_time(), caplog.at_level(logging.DEBUG):
        try:
            answer: Any = await client.chat.completions.create(model="gpt-4o", messages=messages, stream=stream)
            if stream:
                _ = [chunk async for chunk in answer]
        except (openai.OpenAIError, ValueError) as error:
            shown += ["".join(traceback.format_exception(error)), repr(error), *getattr(error, "__notes__", [])]
    shown += [written.getvalue(), caplog.text, repr(records), repr(client), repr(layers)]
    assert fake.requests == [] or fake.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    assert records
    everything = "\n".join(shown)
    for secret in (CANARY, CANARY[-8:], "Rosalind", "ANSWER-TEXT"):
        assert secret not in everything


def test_the_tests_own_sdk_objects_do_hold_the_key() -> None:
    client = llmkit.AsyncOpenAI(api_key=CANARY, middleware=[])
    assert CANARY in str(vars(client))  # so the check above would see it
    assert CHAT["model"] not in str(vars(client))
