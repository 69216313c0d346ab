from __future__ import annotations

import copy

import pytest

from llmkit.cache.semantic.question import Question, split

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def user(content):
    return {"role": "user", "content": content}


def text(value, kind="text"):
    return {"type": kind, "text": value}


def test_the_last_text_of_a_chat_is_taken_out_and_all_else_stays():
    tools = [{"type": "function", "function": {"name": "f"}}]
    before = [{"role": "system", "content": "Be brief."}, user("Hi"), {"role": "assistant", "content": "Hello."}]
    body = {"model": "m", "messages": [*before, user("Why?")], "tools": tools, "temperature": 0}
    assert split("chat.completions", body) == Question(
        text="Why?", rest={"model": "m", "messages": [*before, user(None)], "tools": tools, "temperature": 0}
    )


@pytest.mark.parametrize(
    ("operation", "body", "rest"),
    [
        ("chat.completions", {"messages": [user([text("Why?")])]}, {"messages": [user([text(None)])]}),
        (
            "chat.completions",
            {"messages": [{"role": "user", "name": "ann", "content": "Why?"}]},
            {"messages": [{"role": "user", "name": "ann", "content": None}]},
        ),
        (
            "chat.completions",
            {"messages": [user([text("A long document."), text("Why?")])]},
            {"messages": [user([text("A long document."), text(None)])]},
        ),
        (
            "chat.completions",
            {"messages": [user([text("Look."), IMAGE]), {"role": "assistant", "content": "A cat."}, user("Why?")]},
            {"messages": [user([text("Look."), IMAGE]), {"role": "assistant", "content": "A cat."}, user(None)]},
        ),
        ("responses", {"input": "Why?", "instructions": "Be brief."}, {"input": None, "instructions": "Be brief."}),
        ("responses", {"input": [user("Hi"), user("Why?")]}, {"input": [user("Hi"), user(None)]}),
        (
            "responses",
            {"input": [{"type": "message", **user([text("Why?", "input_text")])}], "previous_response_id": "r"},
            {"input": [{"type": "message", **user([text(None, "input_text")])}], "previous_response_id": "r"},
        ),
        ("completions", {"prompt": "Why?", "suffix": "."}, {"prompt": None, "suffix": "."}),
        ("completions", {"prompt": "Why?", "echo": False}, {"prompt": None, "echo": False}),
    ],
)
def test_the_rest_is_the_whole_body_without_the_text(operation, body, rest):
    before = copy.deepcopy(body)
    assert split(operation, body) == Question(text="Why?", rest=rest)
    assert body == before


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("embeddings", {"input": "Why?"}),
        ("chat.completions", {}),
        ("chat.completions", {"messages": []}),
        ("chat.completions", {"messages": [user("Hi"), {"role": "tool", "tool_call_id": "1", "content": "5"}]}),
        ("chat.completions", {"messages": [user("Hi"), {"role": "assistant", "content": "Well,"}]}),
        ("chat.completions", {"messages": [{"role": "system", "content": "Hi"}]}),
        ("chat.completions", {"messages": [user("")]}),
        ("chat.completions", {"messages": [user(" \n")]}),
        ("chat.completions", {"messages": [user(None)]}),
        ("chat.completions", {"messages": [user([])]}),
        ("chat.completions", {"messages": [user([text("")])]}),
        ("chat.completions", {"messages": [user([text("Look."), IMAGE])]}),
        ("chat.completions", {"messages": [user([IMAGE, text("Look.")])]}),
        ("chat.completions", {"messages": [user(["Hi"])]}),
        ("chat.completions", {"messages": ["Hi"]}),
        ("responses", {"input": [user([text("Look.", "input_text"), {"type": "input_image", "image_url": "u"}])]}),
        ("responses", {"input": [user("Hi"), {"type": "function_call_output", "call_id": "1", "output": "5"}]}),
        ("responses", {"prompt": {"id": "p", "variables": {"q": "Why?"}}}),
        ("completions", {"prompt": ["Why?"]}),
        ("completions", {"prompt": ["Why?", "When?"]}),
        ("completions", {"prompt": [1, 2, 3]}),
        ("completions", {"prompt": [[1, 2], [3]]}),
        ("completions", {"prompt": "Why?", "echo": True}),
    ],
)
def test_there_is_nothing_to_compare_where_no_text_alone_says_what_is_asked(operation, body):
    assert split(operation, body) is None


def test_a_request_that_differs_elsewhere_has_another_rest():
    first = split("chat.completions", {"messages": [{"role": "system", "content": "A"}, user("Why?")]})
    other = split("chat.completions", {"messages": [{"role": "system", "content": "B"}, user("Why?")]})
    assert first.text == other.text
    assert first.rest != other.rest


def test_the_text_is_not_shown():
    assert "Why" not in repr(split("responses", {"input": "Why?"}))
