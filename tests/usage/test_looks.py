from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx2
import pytest

from llmkit import AsyncOpenAI, CallRecord, UsageLog
from llmkit.testing import FakeOpenAI, VirtualClock
from llmkit.usage import looks
from llmkit.usage.looks import is_new_usage

USAGE = {"input_tokens": 1_000_000, "output_tokens": 0, "total_tokens": 1_000_000}


@pytest.fixture(autouse=True)
def nothing_counted() -> None:
    looks._counted.clear()


def client_of(*answers: dict[str, Any]) -> tuple[AsyncOpenAI, list[CallRecord]]:
    fake, records = FakeOpenAI(), list[CallRecord]()
    for answer in answers:
        fake.respond(httpx2.Response(200, json=answer))
    return fake.async_client(middleware=[UsageLog(sinks=[records.append], cost=True)]), records


def response(**fields: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "model": "gpt-4o", "status": "completed", "output": [], **fields}


async def test_a_look_at_an_answer_is_not_billed_again() -> None:
    client, records = client_of(response(usage=USAGE), response(usage=USAGE))
    await client.responses.create(model="gpt-4o", input="x")
    await client.responses.retrieve("resp_1")
    assert [record.operation for record in records] == ["responses", "responses.get"]
    assert [record.total_tokens for record in records] == [1_000_000, None]
    assert [record.cost for record in records] == [Decimal("2.5"), None]


async def test_what_was_made_in_the_background_is_billed_to_the_first_look_that_finds_it_ended() -> None:
    waiting = response(background=True, status="queued", usage=None)
    under_way = response(background=True, status="in_progress", usage=USAGE)
    ended = response(background=True, usage=USAGE)
    client, records = client_of(waiting, under_way, ended, ended)
    await client.responses.create(model="gpt-4o", input="x", background=True)
    for _ in range(3):
        await client.responses.retrieve("resp_1")
    assert [record.total_tokens for record in records] == [None, None, 1_000_000, None]


async def test_a_batch_is_billed_once_and_with_its_discount() -> None:
    batch = {"id": "batch_1", "object": "batch", "model": "gpt-4o", "endpoint": "/v1/responses", "created_at": 1}
    under_way, ended = ({**batch, "status": status, "usage": USAGE} for status in ("in_progress", "completed"))
    client, records = client_of(under_way, ended, ended)
    for _ in range(3):
        await client.batches.retrieve("batch_1")
    assert [(record.operation, record.total_tokens, record.cost) for record in records] == [
        ("batches.get", None, None),
        ("batches.get", 1_000_000, Decimal("1.25")),
        ("batches.get", None, None),
    ]


async def test_a_background_response_that_has_ended_at_once_is_billed_once() -> None:
    ended = response(background=True, usage=USAGE)
    client, records = client_of(ended, ended)
    await client.responses.create(model="gpt-4o", input="x", background=True)
    await client.responses.retrieve("resp_1")
    assert [record.total_tokens for record in records] == [1_000_000, None]


async def test_a_change_of_a_stored_answer_is_not_billed() -> None:
    stored = {"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o", "choices": [], "usage": USAGE}
    client, records = client_of(stored)
    await client.chat.completions.update("chatcmpl-1", metadata={"a": "b"})
    assert [(record.operation, record.total_tokens) for record in records] == [("chat.completions.update", None)]


def new(operation: str, answer: dict[str, Any], *, at: float = 1.0) -> bool:
    record = CallRecord(operation=operation, model=None, runtime=VirtualClock())
    record.started_at = at
    return is_new_usage(record, answer)


def test_what_cannot_be_told_apart_is_not_counted() -> None:
    assert not new("responses.get", response(background=True, id=None))
    assert not new("chat.completions.get", {"object": "chat.completion", "id": "chatcmpl-1"})
    assert not new("threads.runs", {"object": "thread.run.step", "id": "step_1", "status": "completed"})
    assert new("chat.completions", {"object": "chat.completion", "id": "chatcmpl-1"})


def test_the_call_that_has_counted_a_run_may_see_its_end_again() -> None:
    run = {"object": "thread.run", "id": "run_1", "status": "completed"}
    assert [new("threads.runs", run, at=at) for at in (1.0, 1.0, 2.0)] == [True, True, False]


def test_looks_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "_MOST", 2)
    for number in range(5):
        assert new("responses.get", response(background=True, id=f"resp_{number}"))
    assert list(looks._counted) == ["resp_3", "resp_4"]
