from __future__ import annotations

import json
from typing import Any

import pytest

from llmkit.cache.answers import OPERATIONS, Verdict, whole
from llmkit.testing import FakeOpenAI

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TEXT = {"type": "message", "status": "completed", "content": [{"type": "output_text", "text": "Hi"}]}
REFUSAL = {"type": "message", "status": "completed", "content": [{"type": "refusal", "refusal": "No"}]}
REASONING = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm"}]}
KEEP = Verdict(keep=True)
KEEP_CALLS = Verdict(keep=True, why="calls tools", calls_tools=True)


def told(operation: str, answer: Any) -> Verdict:
    return whole(operation, json.dumps(answer).encode())


def chat(*choices: dict[str, Any], **fields: Any) -> Verdict:
    return told("chat.completions", {"id": "1", "choices": choices, **fields})


def choice(finish: Any = "stop", **message: Any) -> dict[str, Any]:
    return {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}


def response(*items: dict[str, Any], status: str | None = "completed", **fields: Any) -> Verdict:
    return told("responses", {"id": "r", "object": "response", "status": status, "output": items, **fields})


def test_it_knows_what_a_cache_can_keep() -> None:
    assert {"chat.completions", "responses", "embeddings", "completions", "moderations"} == OPERATIONS
    assert told("images", {"data": []}) == Verdict(keep=False, why="of an unknown kind")


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b'{"choices": [', "not JSON"),
        (b"<html></html>", "not JSON"),
        (b'"\xff"', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"error": {"message": "Overloaded"}}', "an error"),
    ],
)
def test_no_json_and_an_error_are_not_kept(operation: str, body: bytes, why: str) -> None:
    assert whole(operation, body) == Verdict(keep=False, why=why)


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
@pytest.mark.parametrize("answer", [{}, {"id": "x"}, [], None, "text", 5])
def test_what_is_no_answer_of_the_operation_is_not_kept(operation: str, answer: Any) -> None:
    verdict = told(operation, answer)
    assert (verdict.keep, verdict.why) in [(False, "malformed"), (False, "empty")]


# ---- Chat


@pytest.mark.parametrize(
    "message",
    [
        {"content": "Hi"},
        {"content": "Hi", "refusal": None, "tool_calls": None},
        {"content": None, "audio": {"id": "a", "data": "AA"}},
        {"content": "", "images": [{"type": "image_url"}]},
    ],
)
def test_a_chat_answer_that_says_something_is_kept(message: dict[str, Any]) -> None:
    assert chat(choice(**message), choice(content="Ho"), error=None) == KEEP


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (choice("length", content="Hi"), "cut at its token limit"),
        (choice("length", content=""), "cut at its token limit"),
        (choice("content_filter", content="Hi"), "filtered"),
        (choice(None, content="Hi"), "not finished"),
        (choice("eos", content="Hi"), "not finished"),
        (choice(7, content="Hi"), "not finished"),
        (choice(content=None, refusal="No"), "refused"),
        (choice(content="Well", refusal="No"), "refused"),
        (choice(content=""), "empty"),
        (choice(content=None, reasoning_content="Hm"), "empty"),
        (choice("tool_calls", content=None, tool_calls=[]), "empty"),
    ],
)
def test_one_bad_choice_is_enough(bad: dict[str, Any], why: str) -> None:
    assert chat(bad) == chat(choice(content="Hi"), bad) == Verdict(keep=False, why=why)


def test_a_chat_answer_without_choices_or_messages_is_not_kept() -> None:
    assert chat() == Verdict(keep=False, why="empty")
    assert chat({"index": 0, "finish_reason": "stop"}) == Verdict(keep=False, why="malformed")
    assert chat(choice(content="Hi"), {"finish_reason": "stop", "message": "Hi"}).why == "malformed"


@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
def test_chat_answers_that_call_tools_say_so(finish: str) -> None:
    assert chat(choice(finish, content=None, tool_calls=[CALL])) == KEEP_CALLS
    assert chat(choice(content="Hi"), choice(finish, content="", tool_calls=[CALL])) == KEEP_CALLS
    assert chat(choice("function_call", content=None, function_call={"name": "f", "arguments": ""})) == KEEP_CALLS
    cut = chat(choice("length", content=None, tool_calls=[CALL]))
    assert cut == Verdict(keep=False, why="cut at its token limit", calls_tools=True)


# ---- Responses


def test_a_response_that_says_something_is_kept() -> None:
    assert response(TEXT) == response(REASONING, TEXT, error=None, incomplete_details=None) == KEEP


@pytest.mark.parametrize(
    ("status", "fields", "why"),
    [
        ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}, "cut at its token limit"),
        ("incomplete", {"incomplete_details": {"reason": "content_filter"}}, "filtered"),
        ("incomplete", {"incomplete_details": {"reason": "new"}}, "not finished"),
        ("completed", {"incomplete_details": {"reason": "content_filter"}}, "filtered"),
        ("failed", {"error": {"code": "server_error"}}, "an error"),
        ("failed", {}, "an error"),
        ("completed", {"error": {"code": "server_error"}}, "an error"),
        ("queued", {}, "not finished"),
        ("in_progress", {}, "not finished"),
        ("cancelled", {}, "not finished"),
        (None, {}, "not finished"),
    ],
)
def test_a_response_that_did_not_complete_is_not_kept(status: str | None, fields: dict[str, Any], why: str) -> None:
    assert response(TEXT, status=status, **fields) == Verdict(keep=False, why=why)


@pytest.mark.parametrize(
    ("items", "why"),
    [
        ((), "empty"),
        ((REASONING,), "empty"),
        (({**TEXT, "content": []},), "empty"),
        ((REFUSAL,), "refused"),
        ((TEXT, REFUSAL), "refused"),
        (({**TEXT, "status": "incomplete"},), "not finished"),
        (({**TEXT, "status": "in_progress"},), "not finished"),
    ],
)
def test_a_response_that_says_nothing_or_no_is_not_kept(items: tuple[dict[str, Any], ...], why: str) -> None:
    assert response(*items) == Verdict(keep=False, why=why)


@pytest.mark.parametrize("kind", ["function_call", "custom_tool_call", "web_search_call", "mcp_list_tools", "new"])
def test_responses_that_call_tools_say_so(kind: str) -> None:
    assert response(REASONING, {"type": kind, "status": "completed"}) == KEEP_CALLS
    assert response({"type": kind}, TEXT) == KEEP_CALLS
    failed = Verdict(keep=False, why="an error", calls_tools=True)
    assert response({"type": kind, "status": "failed"}, TEXT) == failed


# ---- the rest


def test_embeddings_are_kept_when_each_has_its_vector() -> None:
    good = {"object": "embedding", "index": 0, "embedding": [0.1]}
    assert told("embeddings", {"object": "list", "data": [good, {**good, "embedding": "AAAA"}]}) == KEEP
    assert told("embeddings", {"object": "list", "data": []}).why == "empty"
    assert told("embeddings", {"object": "list", "data": [good, {**good, "embedding": []}]}).why == "malformed"


def test_legacy_completions_are_kept_when_each_has_its_text() -> None:
    good = {"index": 0, "text": "Hi", "finish_reason": "stop"}
    assert told("completions", {"choices": [good, good]}) == KEEP
    assert told("completions", {"choices": [good, {**good, "finish_reason": "length"}]}).why == "cut at its token limit"
    assert told("completions", {"choices": [good, {**good, "text": ""}]}).why == "empty"
    assert told("completions", {"choices": [good, {**good, "finish_reason": None}]}).why == "not finished"


def test_moderations_are_kept_when_there_are_results() -> None:
    assert told("moderations", {"id": "m", "results": [{"flagged": False}]}) == KEEP
    assert told("moderations", {"id": "m", "results": []}).why == "empty"


def test_what_the_api_answers_is_kept() -> None:
    with FakeOpenAI().client(middleware=[]) as client:
        raw = client.chat.completions.with_raw_response.create(model="m", messages=[{"role": "user", "content": "x"}])
        assert whole("chat.completions", raw.content) == KEEP
        assert whole("responses", client.responses.with_raw_response.create(model="m", input="x").content) == KEEP
        raw_embeddings = client.embeddings.with_raw_response.create(model="m", input=["x", "y"])
        assert whole("embeddings", raw_embeddings.content) == KEEP
        raw_text = client.completions.with_raw_response.create(model="m", prompt="x")
        assert whole("completions", raw_text.content) == KEEP
