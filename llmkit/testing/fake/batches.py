"""Batches of the fake API: a file of requests that are answered like others, and fetched later."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from llmkit.testing.fake.files import StoredFiles
from llmkit.testing.fake.records import CREATED, ApiError, FakeRequest, JSONObject, Turn, as_object, json_bytes

_PATH = re.compile(r"/(?P<kind>files|batches)(?:/(?P<id>[^/]+))?(?P<rest>/content|/cancel)?")

Ending: TypeAlias = Literal["completed", "failed", "expired", "cancelled"]
Made: TypeAlias = Callable[[Turn], "JSONObject | bytes"]
Answered: TypeAlias = Callable[[str, JSONObject], tuple[int, JSONObject]]
"""The status and the body that a request to a path gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """How a batch goes."""

    polls: int = 1
    """How often it is still in progress when it is asked for."""
    status: Ending = "completed"
    done: int | None = None
    """How many lines are answered in the end; None for all."""
    failing: Mapping[int, int] = field(default_factory=dict[int, int])
    """HTTP statuses of lines, counted from 1, that fail."""


@dataclass(slots=True, kw_only=True)
class _Batch:
    described: JSONObject
    lines: list[JSONObject]
    plan: BatchPlan
    polls: int = 0


class StoredBatches:
    """/files and /batches."""

    def __init__(self, answered: Answered) -> None:
        self.plans: deque[BatchPlan] = deque()
        self._answered = answered
        self._files = StoredFiles()
        self._batches: dict[str, _Batch] = {}

    def serve(self, request: FakeRequest, path: str) -> Made | ApiError | None:
        """What makes the answer to a request, or why it cannot have one; None for other paths."""
        found = _PATH.fullmatch(path)
        if found is None:
            return None
        what = f"{request.method} {found['kind']}{'/id' if found['id'] else ''}{found['rest'] or ''}"
        if what == "POST files":
            return lambda turn: self._files.upload(request, turn.number)
        if what == "POST batches":
            return self._creation(request)
        if what == "GET batches":
            return lambda _: self._page(request.query)
        return self._of_file(what, found["id"]) if found["kind"] == "files" else self._of_batch(what, found["id"])

    def _of_file(self, what: str, file_id: str) -> Made | ApiError | None:
        file = self._files.find(file_id)
        if isinstance(file, ApiError):
            return file
        made: dict[str, Made] = {
            "GET files/id": lambda _: file[0],
            "GET files/id/content": lambda _: file[1],
            "DELETE files/id": lambda _: self._files.delete(file_id),
        }
        return made.get(what)

    def _of_batch(self, what: str, batch_id: str) -> Made | ApiError | None:
        batch = self._batches.get(batch_id)
        if batch is None:
            return ApiError(status=404, message=f"No batch found with id '{batch_id}'.", param="id")
        made: dict[str, Made] = {
            "GET batches/id": lambda _: self._polled(batch),
            "POST batches/id/cancel": lambda _: self._cancelled(batch),
        }
        return made.get(what)

    def _creation(self, request: FakeRequest) -> Made | ApiError:
        file = self._files.find(request.body.get("input_file_id", ""))
        return file if isinstance(file, ApiError) else lambda turn: self._create(request.body, file[1], turn.number)

    def _create(self, body: JSONObject, content: bytes, number: int) -> JSONObject:
        plan = self.plans.popleft() if self.plans else BatchPlan()
        lines = [as_object(_decoded(line)) for line in content.splitlines()]
        problems = list(_problems(lines, body))
        if problems or plan.status == "failed":
            plan = BatchPlan(status="failed", polls=plan.polls, done=0)
            problems = problems or [_problem(1, "invalid_request", "The fake batch was planned to fail.")]
        batch_id = f"batch_fake_{number}"
        described = {
            **{key: body.get(key) for key in ("endpoint", "input_file_id", "completion_window", "metadata")},
            "id": batch_id,
            "object": "batch",
            "created_at": CREATED,
            "status": "validating",
            "errors": {"object": "list", "data": problems} if problems else None,
            "output_file_id": None,
            "error_file_id": None,
            "request_counts": {"total": 0 if problems else len(lines), "completed": 0, "failed": 0},
        }
        self._batches[batch_id] = _Batch(described=described, lines=lines, plan=plan)
        return described

    def _page(self, query: Mapping[str, str]) -> JSONObject:
        """Newest first, as the API lists them."""
        ids = [*reversed(self._batches)]
        start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
        page = ids[start : start + int(query.get("limit", 20))]
        data = [self._batches[batch_id].described for batch_id in page]
        return {"object": "list", "data": data, "has_more": start + len(page) < len(ids)}

    def _polled(self, batch: _Batch) -> JSONObject:
        batch.polls += 1
        if batch.polls == batch.plan.polls + 1:
            self._end(batch, batch.plan)
        elif batch.polls <= batch.plan.polls:
            batch.described = batch.described | {"status": "in_progress"}
        return batch.described

    def _cancelled(self, batch: _Batch) -> JSONObject:
        if batch.polls <= batch.plan.polls:
            batch.polls = batch.plan.polls + 1
            self._end(batch, BatchPlan(status="cancelled", done=0))
        return batch.described

    def _end(self, batch: _Batch, plan: BatchPlan) -> None:
        lines = batch.lines[: plan.done]
        results = [self._result(number, line, plan.failing) for number, line in enumerate(lines, 1)]
        outputs = [result for result in results if result["response"]["status_code"] == 200]
        errors = [result for result in results if result["response"]["status_code"] != 200]
        if plan.status == "expired":
            errors += [_unanswered(line) for line in batch.lines[len(lines) :]]
        counts = {"total": len(batch.lines), "completed": len(outputs), "failed": len(errors)}
        files = {"output_file_id": self._write(batch, "output", outputs), "error_file_id": None}
        files["error_file_id"] = self._write(batch, "errors", errors)
        batch.described = batch.described | {"status": plan.status, "request_counts": counts} | files

    def _write(self, batch: _Batch, kind: str, results: list[JSONObject]) -> str | None:
        if not results:
            return None
        file_id = f"{batch.described['id'].replace('batch_', 'file-')}-{kind}"
        # The API's order is any order, so nobody may count on that of the requests.
        content = b"\n".join(json_bytes(result) for result in reversed(results)) + b"\n"
        self._files.add(file_id, content, name=f"{file_id}.jsonl", purpose="batch_output")
        return file_id

    def _result(self, number: int, line: JSONObject, failing: Mapping[int, int]) -> JSONObject:
        if number in failing:
            error = {"message": f"The fake API answered {failing[number]}.", "type": "server_error", "code": None}
            status, body = failing[number], {"error": error}
        else:
            status, body = self._answered(line["url"], line["body"])
        response = {"status_code": status, "request_id": f"req_fake_line_{number}", "body": body}
        return {
            "id": f"batch_req_fake_{number}",
            "custom_id": line["custom_id"],
            "response": response,
            "error": None,
        }


def _unanswered(line: JSONObject) -> JSONObject:
    message = "This request could not be executed before the completion window expired."
    error = {"code": "batch_expired", "message": message}
    return {"id": "batch_req_fake", "custom_id": line["custom_id"], "response": None, "error": error}


def _decoded(line: bytes) -> object:
    with suppress(ValueError):
        return json.loads(line)
    return None


def _problems(lines: list[JSONObject], body: JSONObject) -> Iterator[JSONObject]:
    """What the API finds before it begins."""
    seen: set[object] = set()
    for number, line in enumerate(lines, 1):
        custom_id, model = line.get("custom_id"), as_object(line.get("body")).get("model")
        if not line:
            yield _problem(number, "invalid_json_line", "This line is not parseable as valid JSON.")
        elif line.get("url") != body.get("endpoint"):
            yield _problem(number, "mismatched_endpoint", "The URL does not match the endpoint of the batch.")
        elif custom_id is None or custom_id in seen:
            yield _problem(number, "duplicate_custom_id", "The custom_id is missing or used before.")
        elif model != as_object(lines[0].get("body")).get("model"):
            yield _problem(number, "mismatched_model", "The requests of a batch must have the same model.")
        seen.add(custom_id)
    if not lines:
        yield _problem(None, "empty_file", "The input file is empty.")


def _problem(line: int | None, code: str, message: str) -> JSONObject:
    return {"code": code, "message": message, "param": None, "line": line}
