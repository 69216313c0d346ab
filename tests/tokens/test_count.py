from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import llmkit.tokens
from llmkit.tokens import count_request, count_text, count_tokens, upper_bound

MODELS = ["gpt-3.5-turbo", "gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5.6", "o3-mini", "nobody-1"]


def test_the_front_door_is_sorted_and_everything_in_it_exists() -> None:
    assert llmkit.tokens.__all__ == sorted(llmkit.tokens.__all__)
    assert set(llmkit.tokens.__all__) <= set(dir(llmkit.tokens))
    for name in llmkit.tokens.__all__:
        assert getattr(llmkit.tokens, name).__doc__
    llmkit.tokens.__dict__.pop("count_text")
    assert llmkit.tokens.count_text is count_text
    with pytest.raises(AttributeError, match=r"module 'llmkit.tokens' has no attribute 'count_words'"):
        _ = llmkit.tokens.count_words  # type: ignore[attr-defined]


def test_a_text_is_counted_as_it_is() -> None:
    assert count_text("hello world", model="gpt-4o") == 2
    assert count_text("", model="gpt-4") == 0
    with pytest.raises(TypeError, match="text is a NoneType: give a string"):
        count_text(None, model="gpt-4o")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="model is a NoneType: give a string"):
        count_text("x", model=None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given_input", "tokens"), [("hello world", 2), (["hello", "hello world"], 3), ([1, 2, 3], 3), ([[1, 2], [3]], 3)]
)
def test_embeddings_and_completions_are_their_texts(given_input: Any, tokens: int) -> None:
    embedding = {"model": "text-embedding-3-small", "input": given_input}
    assert count_request(embedding, operation="embeddings").total == tokens
    assert upper_bound(embedding) >= tokens
    completion = {"model": "gpt-3.5-turbo-instruct", "prompt": given_input}
    assert count_request(completion, operation="completions").total == tokens
    assert upper_bound(completion) >= tokens


def test_nothing_to_embed_is_nothing() -> None:
    assert count_request({"model": "text-embedding-3-small"}, operation="embeddings").total == 0
    with pytest.raises(TypeError, match="an item of input is a float"):
        count_request({"model": "text-embedding-3-small", "input": [1.5]}, operation="embeddings")
    with pytest.raises(TypeError, match="input is a dict"):
        count_request({"model": "text-embedding-3-small", "input": {}}, operation="embeddings")


def test_an_unknown_operation_is_a_value_error_that_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"'audio' requests cannot be counted: operation is one of chat.completions"):
        count_request({}, operation="audio")


def test_a_body_is_a_mapping_and_may_lack_its_model() -> None:
    with pytest.raises(TypeError, match="body is a NoneType"):
        count_request(None, operation="responses")  # type: ignore[arg-type]
    assert count_request({"input": "hi", "prompt": {"id": "p"}}, operation="responses").reason == (
        "prompt, an unknown model"
    )
    assert upper_bound({"prompt": {"id": "p"}}) > 0


texts = st.text() | st.text("ab \n{}[]\"',:é😀\ud800\x00", max_size=60)
contents = texts | st.none() | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts}), max_size=3)
calls = st.fixed_dictionaries(
    {"id": st.sampled_from("abc"), "function": st.fixed_dictionaries({"name": texts, "arguments": texts})}
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "developer"]), "content": contents},
        optional={"name": texts},
    )
    | st.fixed_dictionaries({"role": st.just("assistant"), "tool_calls": st.lists(calls, max_size=3)})
    | st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": st.sampled_from("abc"), "content": contents}),
    max_size=6,
)
tools = st.none() | st.lists(
    st.fixed_dictionaries(
        {
            "type": st.just("function"),
            "function": st.fixed_dictionaries(
                {
                    "name": texts,
                    "description": texts,
                    "parameters": st.fixed_dictionaries(
                        {"properties": st.dictionaries(texts, st.just({"type": ["string", "null"], "title": "T"}))}
                    ),
                }
            ),
        }
    ),
    max_size=2,
)
formats = st.none() | st.fixed_dictionaries(
    {
        "type": st.just("json_schema"),
        "json_schema": st.fixed_dictionaries({"name": texts, "schema": st.dictionaries(texts, texts)}),
    }
)


@given(messages, tools, formats, st.sampled_from(MODELS))
def test_the_bound_is_never_below_the_count_and_a_recount_is_the_same(
    given_messages: Any, given_tools: Any, form: Any, model: str
) -> None:
    first = count_tokens(given_messages, model=model, tools=given_tools, response_format=form)
    body = {"model": model, "messages": given_messages, "tools": given_tools, "response_format": form}
    assert count_request(body, operation="chat.completions") == first
    assert upper_bound(body) >= first.total


@given(texts, st.sampled_from(MODELS))
def test_the_bound_is_never_below_the_count_of_a_response(text: str, model: str) -> None:
    body = {
        "model": model,
        "instructions": text,
        "input": [
            {"role": "user", "content": text},
            {"type": "function_call", "call_id": "a", "id": "fc", "name": text, "arguments": text},
            {"type": "function_call_output", "call_id": "a", "output": text},
        ],
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"title": text}}},
    }
    assert upper_bound(body) >= count_request(body, operation="responses").total
    assert upper_bound({"model": model, "input": text}) >= count_text(text, model=model)


def test_the_bound_counts_unread_images_as_the_largest() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert upper_bound({"model": "gpt-4o", "messages": [{"role": "user", "content": [image]}]}) == 3 + 4 + 85 + 8 * 170
