from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CompletionUsage, CreateEmbeddingResponse
from openai.types.audio.transcription import UsageTokens

from llmkit import CallRecord, runtime
from llmkit.fields import values_of
from llmkit.usage.tokens import FIGURES, TokenUsage, read_usage

CHAT = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 120,
    "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10, "audio_tokens": 5, "image_tokens": 6},
    "completion_tokens_details": {"reasoning_tokens": 8, "audio_tokens": 3},
}
READ = TokenUsage(
    input_tokens=100,
    output_tokens=20,
    total_tokens=120,
    cached_tokens=40,
    cache_write_tokens=10,
    input_audio_tokens=5,
    input_image_tokens=6,
    reasoning_tokens=8,
    output_audio_tokens=3,
)


@pytest.mark.parametrize(
    "usage",
    [
        CHAT,
        CompletionUsage.model_validate(CHAT),
        {
            "input_tokens": 100,
            "output_tokens": 20,
            "total_tokens": 120,
            "input_tokens_details": CHAT["prompt_tokens_details"],
            "output_tokens_details": CHAT["completion_tokens_details"],
        },
    ],
    ids=["JSON", "model", "Responses"],
)
def test_the_figures_have_one_set_of_names(usage: object) -> None:
    drawn = 20 if "input_tokens" in values_of(usage) else None  # the images API need not say that it has drawn
    assert read_usage(usage) == dataclasses.replace(READ, output_image_tokens=drawn)


def test_figures_that_the_sdk_does_not_know_yet_are_read_all_the_same() -> None:
    usage = CompletionUsage.construct(prompt_tokens=1, completion_tokens=2, total_tokens=3)
    extra = CompletionUsage.model_validate(
        {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "new": {"a": 1}}
    )
    assert read_usage(usage) == read_usage(extra) == TokenUsage(input_tokens=1, output_tokens=2, total_tokens=3)


def test_embeddings_have_no_output_and_a_transcription_may_have_no_tokens() -> None:
    given: Any = {"prompt_tokens": 7, "total_tokens": 7}
    answer = CreateEmbeddingResponse.model_validate({"data": [], "model": "m", "object": "list", "usage": given})
    assert read_usage(answer.usage) == TokenUsage(input_tokens=7, output_tokens=0, total_tokens=7)
    spoken = {"type": "tokens", "input_tokens": 9, "output_tokens": 1, "total_tokens": 10}
    heard = UsageTokens.model_validate({**spoken, "input_token_details": {"audio_tokens": 8, "text_tokens": 1}})
    assert read_usage(heard) == TokenUsage(input_tokens=9, output_tokens=1, total_tokens=10, input_audio_tokens=8)
    assert read_usage({"type": "duration", "seconds": 2.5}) == TokenUsage(audio_seconds=2.5)


def test_a_total_that_the_server_leaves_out_is_the_sum() -> None:
    assert read_usage({"prompt_tokens": 1, "completion_tokens": 2}) == TokenUsage(
        input_tokens=1, output_tokens=2, total_tokens=3
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.dictionaries(st.sampled_from([*CHAT, "seconds", "cached_tokens"]), inner) | st.lists(inner),
    )
)
def test_odd_figures_never_fail(usage: object) -> None:
    found = read_usage(usage)
    assert found is None or isinstance(found, TokenUsage)


def test_a_record_has_the_same_names() -> None:
    record = CallRecord(operation="x", model=None, runtime=runtime.current(is_async=False))
    assert all(getattr(record, name) is None for name in FIGURES)


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": None, "input_tokens": 3}, TokenUsage(input_tokens=3, output_tokens=0, total_tokens=3)),
        ({"prompt_tokens": 3, "total_tokens": 0}, TokenUsage(input_tokens=3, output_tokens=0, total_tokens=3)),
        (
            {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": -1}},
            TokenUsage(input_tokens=3, output_tokens=0, total_tokens=3),
        ),
        ({"prompt_tokens": -3}, None),
        ({"prompt_tokens": True}, None),
        ({"seconds": True}, None),
        ({"seconds": -5}, None),
        ({"seconds": float("inf")}, None),
        ("usage", None),
    ],
)
def test_what_is_no_figure_is_left_out(usage: object, read: TokenUsage | None) -> None:
    assert read_usage(usage) == read
