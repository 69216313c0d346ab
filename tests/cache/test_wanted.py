from __future__ import annotations

import re
from typing import Any

import pytest

from llmkit.cache.wanted import InvalidRequest, Wanted, read_wanted

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.mark.parametrize(
    ("body", "operation"),
    [
        (CHAT, "chat.completions"),
        ({"model": "gpt-4o", "input": "Hi"}, "responses"),
        ({"model": "gpt-4o", "prompt": {"id": "pmpt_1"}}, "responses"),
        ({"prompt": {"id": "pmpt_1"}}, "responses"),
        ({"model": "text-embedding-3-small", "input": "Hi"}, "embeddings"),
        ({"model": "gpt-3.5-turbo-instruct", "prompt": "Hi"}, "completions"),
    ],
)
def test_a_body_says_by_itself_what_it_is_for(body: dict[str, Any], operation: str) -> None:
    assert read_wanted(body) == Wanted(operation=operation, body=body, tags={})
    assert read_wanted({**body, "tags": {"user": "alice", "none": None}}).tags == {"user": "alice"}


@pytest.mark.parametrize("form", [{"operation": "chat.completions"}, {"url": "/v1/chat/completions", "custom_id": "1"}])
def test_a_body_may_stand_beside_its_operation_or_url(form: dict[str, str]) -> None:
    assert read_wanted({**form, "body": CHAT, "tags": {"n": 1}}) == Wanted(
        operation="chat.completions", body=CHAT, tags={"n": 1}
    )


def test_the_operation_wins_over_the_look_of_the_body() -> None:
    body = {"model": "bge-m3", "input": "Hi"}
    assert read_wanted({"operation": "embeddings", "body": body}).operation == "embeddings"
    assert read_wanted({"url": "/v1/moderations", "body": {"input": "Hi"}}).operation == "moderations"


def test_a_request_for_a_stream_is_one_for_the_answer() -> None:
    streamed = {**CHAT, "stream": True, "stream_options": {"include_usage": True}}
    assert read_wanted(streamed).body == CHAT
    assert streamed["stream"] is True


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ([1], "it is a list, not an object: write a body with 'messages', 'input' or 'prompt', or one under 'body'"),
        ({}, "it is no request: write a body with"),
        ({"messages": []}, "it has no 'model', which chat.completions needs"),
        ({"model": "m", "messages": None}, "it has no 'messages', which chat.completions needs"),
        ({"url": "/v1/embeddings", "body": {"model": "m"}}, "it has no 'input', which embeddings needs"),
        ({"url": "/v1/files", "body": {}}, "its 'operation' or 'url' is none of chat.completions, responses, "),
        ({"body": {}}, "its 'operation' or 'url' is none of"),
        ({"operation": ["x"], "body": {}}, "its 'operation' or 'url' is none of"),
        ({"body": "text"}, "its 'body' is not an object"),
        ({**CHAT, "tags": ["a"]}, "its 'tags' are not an object"),
        ({**CHAT, "tags": {"a": [1]}}, "tag a is a list; use text, a number, a bool or None"),
        ({**CHAT, "tags": {"self": "a"}}, "tags.__init__() got multiple values for argument 'self'"),
    ],
)
def test_what_is_no_request_is_an_error_that_says_what_is_missing(request_: Any, message: str) -> None:
    with pytest.raises(InvalidRequest, match="^" + re.escape(message)):
        read_wanted(request_)


def test_a_prompt_is_in_no_repr() -> None:
    assert "Hi" not in repr(read_wanted(CHAT))
