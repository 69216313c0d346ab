"""Crashes, lost answers and errors at every step of a batch job."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

import llmkit
from llmkit import CallNext, Request, Retry
from llmkit.batches import FailedRequest, run_batch
from llmkit.batches.job import TAG
from llmkit.errors import BatchFailed, LLMKitError
from llmkit.testing import FakeOpenAI, virtual_time


def ask(text: str, model: str = "gpt-4o") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


REQUESTS = [ask("one"), ask("two", "gpt-4o-mini"), ask("three")]
TEXTS = ["You said: one", "You said: two", "You said: three"]


def texts(results: list[Any]) -> list[Any]:
    return [
        result.code if isinstance(result, FailedRequest) else result.choices[0].message.content for result in results
    ]


class Crash(BaseException):
    """The end of the process."""


class Unlucky(httpx2.AsyncBaseTransport):
    """Raises `error` at HTTP request number `at`, before the server has seen it or after it has done its work."""

    def __init__(self, fake: FakeOpenAI, *, at: int, seen: bool, error: BaseException) -> None:
        self._inner = fake.async_http_client()._transport
        self._at = at
        self._seen = seen
        self._error = error
        self.requests = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1
        if self.requests != self._at:
            return await self._inner.handle_async_request(request)
        if self._seen:
            answer = await self._inner.handle_async_request(request)
            await answer.aclose()
        raise self._error


def client_on(fake: FakeOpenAI, transport: Any = None, **options: Any) -> llmkit.AsyncOpenAI:
    given = {} if transport is None else {"http_client": httpx2.AsyncClient(transport=transport)}
    return fake.async_client(**{"middleware": [], "max_retries": 0} | given | options)


async def batches_of(fake: FakeOpenAI) -> list[Any]:
    return [batch async for batch in client_on(fake).batches.list()]


def paths(fake: FakeOpenAI) -> list[str]:
    return [f"{request.method} {request.path.removeprefix('/v1')}" for request in fake.requests]


async def run(client: Any, state: Path, requests: Any = REQUESTS, **options: Any) -> Any:
    with virtual_time():
        return await run_batch(client, requests, state=state, **options)


async def test_a_job_takes_as_many_requests_as_it_must(tmp_path: Path) -> None:
    fake = FakeOpenAI().batch(polls=2)
    requests = [ask("one"), ask("two")]
    assert texts(await run(client_on(fake), tmp_path / "job.json", requests)) == TEXTS[:2]
    assert paths(fake) == [
        "POST /files",
        "POST /batches",
        "GET /batches/batch_fake_2",
        "GET /batches/batch_fake_2",
        "GET /batches/batch_fake_2",
        "GET /files/file-fake_2-output/content",
    ]
    assert fake.requests[1].body["input_file_id"] == "file-fake-1"
    assert fake.requests[1].body["completion_window"] == "24h"
    assert os.listdir(tmp_path) == ["job.json"]


async def test_each_model_has_a_batch_and_the_results_are_in_order(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    assert texts(await run(client_on(fake), tmp_path / "job.json")) == TEXTS
    assert Counter(path for path in paths(fake) if path.startswith("POST")) == {"POST /files": 2, "POST /batches": 2}
    tags = {batch.metadata[TAG] for batch in await batches_of(fake)}
    assert len(tags) == 2


async def test_the_state_has_no_prompt_and_the_files_are_gone(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    await run(client_on(fake), tmp_path / "job.json", [ask("the patient is called Rosalind")])
    assert os.listdir(tmp_path) == ["job.json"]
    assert "Rosalind" not in (tmp_path / "job.json").read_text()


async def count_of_steps(tmp_path: Path) -> int:
    transport = Unlucky(FakeOpenAI(), at=0, seen=False, error=Crash())
    await run(client_on(FakeOpenAI(), transport), tmp_path / "count.json")
    return transport.requests


@pytest.mark.parametrize("seen", [False, True])
async def test_a_crash_at_any_request_loses_nothing_and_pays_nothing_twice(tmp_path: Path, seen: bool) -> None:
    steps = await count_of_steps(tmp_path)
    assert steps == 10
    for step in range(1, steps + 1):
        fake, state = FakeOpenAI(), tmp_path / f"{step}.json"
        with pytest.raises(Crash):
            await run(client_on(fake, Unlucky(fake, at=step, seen=seen, error=Crash())), state)
        assert texts(await run(client_on(fake), state)) == TEXTS
        assert len(await batches_of(fake)) == 2, f"crash at step {step}"


async def test_a_crash_at_any_write_loses_nothing_and_pays_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, left = os.fsync, [0]

    def crashing(descriptor: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise Crash
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", crashing)
    writes = 0
    while left[0] <= 0:
        writes += 1
        fake, state = FakeOpenAI(), tmp_path / f"{writes}.json"
        left[0] = writes
        try:
            await run(client_on(fake), state)
        except Crash:
            assert texts(await run(client_on(fake), state)) == TEXTS
        assert len(await batches_of(fake)) == 2
    # At the start, and for each part when it is uploaded, before it is created and after: a file and its folder.
    assert writes == 2 * 7 + 1


@pytest.mark.parametrize("stack", [[], [Retry(max_retries=3)]])
@pytest.mark.parametrize("seen", [False, True])
async def test_a_lost_answer_to_the_creation_creates_no_second_batch(
    tmp_path: Path, seen: bool, stack: list[Any]
) -> None:
    fake = FakeOpenAI()
    transport = Unlucky(fake, at=2, seen=seen, error=httpx2.ReadTimeout("slow"))
    client = client_on(fake, transport, max_retries=3, middleware=stack)
    with virtual_time() as clock:
        results = await run_batch(client, [ask("one")], state=tmp_path / "job.json")
    assert texts(results) == TEXTS[:1]
    assert len(await batches_of(fake)) == 1
    assert clock.sleeps[0] == 5
    assert "GET /batches" in paths(fake)


async def test_a_batch_is_found_among_many(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    state = tmp_path / "job.json"
    with pytest.raises(Crash):
        await run(client_on(fake, Unlucky(fake, at=2, seen=True, error=Crash())), state, [ask("one")])
    other = client_on(fake)
    for _ in range(150):
        await other.batches.create(
            input_file_id="file-fake-1", endpoint="/v1/chat/completions", completion_window="24h"
        )
    assert texts(await run(client_on(fake), state, [ask("one")])) == TEXTS[:1]
    assert len(await batches_of(fake)) == 151


async def test_a_server_without_any_batch_ends_the_search(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    with pytest.raises(Crash):
        await run(client_on(fake, Unlucky(fake, at=2, seen=False, error=Crash())), tmp_path / "job.json", [ask("one")])
    assert texts(await run(client_on(fake), tmp_path / "job.json", [ask("one")])) == TEXTS[:1]


async def test_an_error_that_does_not_pass_ends_the_creation(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    client = client_on(fake)
    state = tmp_path / "job.json"

    async def refusing(request: Request, call_next: CallNext) -> Any:
        if request.operation == "batches":
            fake.error(400, code="billing")
        return await call_next(request)

    with pytest.raises(openai.BadRequestError):
        await run(client_on(fake, middleware=[refusing]), state, [ask("one")])
    assert os.listdir(tmp_path) == ["job.json"]
    assert texts(await run(client, state, [ask("one")])) == TEXTS[:1]
    assert paths(fake).count("POST /files") == 1


async def test_a_creation_that_keeps_failing_raises_the_apis_error(tmp_path: Path) -> None:
    fake = FakeOpenAI()

    async def busy(request: Request, call_next: CallNext) -> Any:
        if request.operation == "batches":
            fake.error(503)
        return await call_next(request)

    with virtual_time() as clock, pytest.raises(openai.InternalServerError):
        await run_batch(client_on(fake, middleware=[busy]), [ask("one")], state=tmp_path / "job.json")
    assert clock.sleeps == [5, 15, 45]
    assert paths(fake).count("POST /batches") == 4


class Troubled:
    """Middleware that raises `error` for so many polls."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error = error
        self.left = times

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        if request.operation == "batches.get" and not request.body and self.left:
            self.left -= 1
            raise self.error
        return await call_next(request)


def down() -> openai.APIConnectionError:
    return openai.APIConnectionError(request=httpx2.Request("GET", "https://x.test"))


@pytest.mark.parametrize("error", [down(), LLMKitError("the breaker is open")])
async def test_polling_outlasts_errors_that_pass(tmp_path: Path, error: Exception) -> None:
    client = client_on(FakeOpenAI().batch(polls=0), middleware=[Troubled(error, 3)])
    with virtual_time() as clock:
        assert texts(await run_batch(client, [ask("one")], state=tmp_path / "job.json")) == TEXTS[:1]
    assert clock.sleeps == [5, 7.5, 11.25]


async def test_polling_gives_up_after_an_hour_of_errors_and_can_go_on_later(tmp_path: Path) -> None:
    fake, troubled = FakeOpenAI(), Troubled(down(), 1000)
    with virtual_time() as clock, pytest.raises(openai.APIConnectionError):
        await run_batch(client_on(fake, middleware=[troubled]), [ask("one")], state=tmp_path / "job.json")
    assert 3600 < clock.monotonic() <= 3660
    assert texts(await run(client_on(fake), tmp_path / "job.json", [ask("one")])) == TEXTS[:1]
    assert len(await batches_of(fake)) == 1


async def test_an_error_that_does_not_pass_ends_the_polling(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    gone = openai.NotFoundError(
        "gone", response=httpx2.Response(404, request=httpx2.Request("GET", "https://x.test")), body=None
    )
    with pytest.raises(openai.NotFoundError):
        await run(client_on(fake, middleware=[Troubled(gone, 1)]), tmp_path / "job.json")


async def test_waits_grow_from_the_first_to_the_longest(tmp_path: Path) -> None:
    client = client_on(FakeOpenAI().batch(polls=9))
    with virtual_time() as clock:
        await run_batch(client, [ask("one")], state=tmp_path / "job.json", first_wait=5, max_wait=30)
    assert clock.sleeps == [5, 7.5, 11.25, 16.875, 25.3125, 30, 30, 30, 30]


async def test_progress_is_told_at_each_look_and_in_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    fake = FakeOpenAI().batch(polls=2, failing={2: 400})
    await run(
        client_on(fake), tmp_path / "job.json", [ask("one"), ask("two")], progress=lambda *seen: told.append(seen)
    )
    assert told == [(0, 0, 2), (0, 0, 2), (1, 1, 2)]


async def test_lines_that_fail_fail_alone(tmp_path: Path) -> None:
    fake = FakeOpenAI().batch(failing={1: 500})
    results = await run(client_on(fake), tmp_path / "job.json", [ask("one"), ask("two"), {**ask(""), "messages": []}])
    assert [type(result).__name__ for result in results] == ["FailedRequest", "ChatCompletion", "FailedRequest"]
    assert [(result.index, result.status_code) for result in results if isinstance(result, FailedRequest)] == [
        (0, 500), (2, 400),
    ]  # fmt: skip
    assert results[2].code == "empty_array"


@pytest.mark.parametrize(("status", "code"), [("expired", "batch_expired"), ("cancelled", "batch_cancelled")])
async def test_what_was_answered_before_a_batch_ended_early_is_kept(tmp_path: Path, status: Any, code: str) -> None:
    fake = FakeOpenAI().batch(status=status, done=1)
    results = await run(client_on(fake), tmp_path / "job.json", [ask("one"), ask("two")])
    assert texts(results) == ["You said: one", code]
    assert await run(client_on(fake), tmp_path / "job.json", [ask("one"), ask("two")]) == results


async def test_a_batch_cancelled_by_somebody_ends(tmp_path: Path) -> None:
    fake = FakeOpenAI().batch(polls=1000)
    client = client_on(fake)

    async def cancel(done: int, failed: int, total: int) -> None:
        await client.batches.cancel("batch_fake_2")

    tasks: list[asyncio.Task[None]] = []
    results = run_batch(
        client,
        [ask("one")],
        state=tmp_path / "job.json",
        first_wait=0.001,
        progress=lambda *seen: tasks.append(asyncio.create_task(cancel(*seen))),
    )
    assert texts(await results) == ["batch_cancelled"]
    await asyncio.gather(*tasks)


async def test_a_refused_batch_says_which_request_and_may_be_run_again(tmp_path: Path) -> None:
    fake = FakeOpenAI().batch(status="failed", polls=0)
    with pytest.raises(BatchFailed, match=r"refused the batch batch_fake_2: requests\[0\] \(line 1\): invalid_request"):
        await run(client_on(fake), tmp_path / "job.json", [ask("one")])
    assert os.listdir(tmp_path) == []
    assert texts(await run(client_on(fake), tmp_path / "job.json", [ask("one")])) == TEXTS[:1]


async def test_a_refused_batch_leaves_the_others_of_its_job(tmp_path: Path) -> None:
    fake = FakeOpenAI().batch(polls=5).batch(status="failed")
    with pytest.raises(BatchFailed) as caught:
        await run(client_on(fake), tmp_path / "job.json")
    assert "requests[1] (line 1)" in str(caught.value)
    assert caught.value.batch_id == "batch_fake_4"
    assert caught.value.errors[0].code == "invalid_request"
    parts = json.loads((tmp_path / "job.json").read_text())["parts"]
    assert [part["batch_id"] for part in parts] == ["batch_fake_2", None]
    assert texts(await run(client_on(fake), tmp_path / "job.json")) == TEXTS
    assert len(await batches_of(fake)) == 3


async def test_a_refused_batch_is_not_what_a_crash_left_behind(tmp_path: Path) -> None:
    fake, state = FakeOpenAI().batch(polls=5).batch(status="failed"), tmp_path / "job.json"
    with pytest.raises(BatchFailed):
        await run(client_on(fake), state)
    with pytest.raises(Crash):
        await run(client_on(fake, Unlucky(fake, at=2, seen=False, error=Crash())), state)
    assert texts(await run(client_on(fake), state)) == TEXTS


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (None, "it does not say why"),
        ({"data": []}, "it does not say why"),
        (
            {"data": [{"code": "token_limit_exceeded", "message": "too many", "line": None}]},
            "token_limit_exceeded: too",
        ),
        ({"data": [{"code": "c", "message": "m", "line": 9}] * 5}, "c: m; c: m; c: m; and 2 more"),
    ],
)
async def test_a_refusal_says_what_the_api_says(tmp_path: Path, errors: object, message: str) -> None:
    async def refusing(request: Request, call_next: CallNext) -> Any:
        batch = await call_next(request)
        if request.operation == "batches.get":
            return type(batch).construct(**batch.to_dict() | {"status": "failed", "errors": errors})
        return batch

    with pytest.raises(BatchFailed, match=message):
        await run(client_on(FakeOpenAI(), middleware=[refusing]), tmp_path / "job.json", [ask("one")])


async def test_another_jobs_state_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    await run(client_on(fake), tmp_path / "job.json", [ask("one")])
    before, sent = (tmp_path / "job.json").read_text(), len(fake.requests)
    with pytest.raises(ValueError, match="belongs to another job"):
        await run(client_on(fake), tmp_path / "job.json", [ask("two")])
    assert ((tmp_path / "job.json").read_text(), len(fake.requests)) == (before, sent)
    assert os.listdir(tmp_path) == ["job.json"]


async def test_the_same_requests_again_give_the_same_results_at_no_cost(tmp_path: Path) -> None:
    fake = FakeOpenAI()
    first = await run(client_on(fake), tmp_path / "job.json")
    assert await run(client_on(fake), tmp_path / "job.json") == first
    assert len(await batches_of(fake)) == 2
    assert paths(fake).count("POST /files") == 2


async def test_uploads_are_deleted_when_wanted_and_results_do_not_hang_on_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake = FakeOpenAI()
    for _ in range(2):
        assert texts(await run(client_on(fake), tmp_path / "job.json", [ask("one")], delete_upload=True)) == TEXTS[:1]
    assert paths(fake).count("DELETE /files/file-fake-1") == 2
    assert "the file file-fake-1 of a batch job was not deleted: NotFoundError" in caplog.text
