"""Batches that answer the lines of a file."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from llmkit.testing import FakeOpenAI

CHAT = "/v1/chat/completions"


def line(number: int, text: str = "Hello", **changes: object) -> dict[str, Any]:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}
    return {"custom_id": f"id-{number}", "method": "POST", "url": CHAT, "body": body} | changes


def start(sdk: openai.OpenAI, *lines: object, content: bytes | None = None) -> Any:
    given = b"\n".join(json.dumps(item).encode() for item in lines) if content is None else content
    file = sdk.files.create(file=("in.jsonl", given), purpose="batch")
    return sdk.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata={"team": "search"}
    )


def results(sdk: openai.OpenAI, file_id: str | None) -> dict[str, Any]:
    assert file_id is not None
    return {item["custom_id"]: item for item in map(json.loads, sdk.files.content(file_id).text.splitlines())}


def test_a_batch_answers_its_lines_with_the_queued_replies(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.reply("first").drop("second", after=0)
    batch = start(sdk, line(1), line(2), line(3))
    assert (batch.status, batch.metadata) == ("validating", {"team": "search"})
    assert sdk.batches.retrieve(batch.id).status == "in_progress"
    batch = sdk.batches.retrieve(batch.id)
    assert (batch.status, batch.request_counts.total) == ("completed", 3)
    assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 1)
    answers = results(sdk, batch.output_file_id)
    said = {key: item["response"]["body"]["choices"][0]["message"]["content"] for key, item in answers.items()}
    assert said == {"id-1": "first", "id-3": "You said: Hello"}
    assert [*answers] == ["id-3", "id-1"]  # not in the order of the lines
    assert results(sdk, batch.error_file_id)["id-2"]["response"]["status_code"] == 500
    assert sdk.batches.retrieve(batch.id) == batch
    assert len(fake.requests) == 7  # the lines are none


def test_a_planned_batch_goes_as_planned(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.batch(polls=0, status="expired", done=2, failing={2: 429})
    batch = sdk.batches.retrieve(start(sdk, line(1), line(2), line(3)).id)
    assert batch.status == "expired"
    assert [*results(sdk, batch.output_file_id)] == ["id-1"]
    errors = results(sdk, batch.error_file_id)
    assert errors["id-2"]["response"]["status_code"] == 429
    assert errors["id-3"]["error"]["code"] == "batch_expired"


def test_a_line_that_the_api_rejects_is_an_error_of_its_own(sdk: openai.OpenAI) -> None:
    batch = start(sdk, line(1, body={"model": "gpt-4o", "messages": []}))
    sdk.batches.retrieve(batch.id)
    batch = sdk.batches.retrieve(batch.id)
    assert batch.output_file_id is None
    assert results(sdk, batch.error_file_id)["id-1"]["response"]["body"]["error"]["code"] == "empty_array"


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        ([line(1), "oops"], "invalid_json_line", 2),
        ([line(1), line(1)], "duplicate_custom_id", 2),
        ([line(1, custom_id=None)], "duplicate_custom_id", 1),
        ([line(1, url="/v1/responses")], "mismatched_endpoint", 1),
        ([line(1), line(2, body={"model": "other"})], "mismatched_model", 2),
        ([], "empty_file", None),
    ],
)
def test_a_file_that_is_no_batch_fails_with_its_lines(
    sdk: openai.OpenAI, lines: list[object], code: str, number: int | None
) -> None:
    batch = start(sdk, *lines)
    sdk.batches.retrieve(batch.id)
    batch = sdk.batches.retrieve(batch.id)
    assert batch.status == "failed"
    assert [(error.code, error.line) for error in batch.errors.data] == [(code, number)]


def test_lines_that_are_no_json_are_found(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.batch(polls=0)
    batch = sdk.batches.retrieve(start(sdk, content=b"{oops\n").id)
    assert batch.errors.data[0].code == "invalid_json_line"


def test_batches_are_listed_newest_first_in_pages(sdk: openai.OpenAI) -> None:
    ids = [start(sdk, line(1)).id for _ in range(5)]
    assert [batch.id for batch in sdk.batches.list(limit=2)] == ids[::-1]
    assert len(sdk.batches.list().data) == 5


def test_a_batch_is_cancelled_while_it_runs_and_not_after(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.batch(polls=9).batch(polls=0)
    running, done = start(sdk, line(1)), start(sdk, line(1))
    sdk.batches.retrieve(done.id)
    assert [sdk.batches.cancel(batch.id).status for batch in (running, done)] == ["cancelled", "completed"]
    assert sdk.batches.retrieve(running.id).status == "cancelled"


def test_what_is_not_there_is_not_found(sdk: openai.OpenAI) -> None:
    for ask in (
        lambda: sdk.batches.retrieve("batch_none"),
        lambda: sdk.batches.create(input_file_id="file-none", endpoint=CHAT, completion_window="24h"),
        lambda: sdk.files.list(),
        lambda: sdk.post(f"/batches/{start(sdk, line(1)).id}", cast_to=object),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()


def test_ids_still_count_the_requests(fake: FakeOpenAI, sdk: openai.OpenAI) -> None:
    fake.error(500)
    with pytest.raises(openai.InternalServerError):
        sdk.files.create(file=("x", b"y"), purpose="batch")
    assert sdk.files.create(file=("x", b"y"), purpose="batch").id == "file-fake-2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"polls": -1}, "polls"),
        ({"status": "done"}, "status='done' is no end of a batch; use one of completed, failed, expired, cancelled"),
        ({"failing": {0: 400}}, "a line of failing"),
        ({"failing": {1: 200}}, "the status of a failing line"),
    ],
)
def test_impossible_plans_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FakeOpenAI().batch(**options)
