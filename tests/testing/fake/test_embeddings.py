"""Embeddings: unit vectors in which similar texts are near."""

from __future__ import annotations

import math

import openai
import pytest


def embed(client: openai.OpenAI, *texts: str, **options: object) -> list[list[float]]:
    reply = client.embeddings.create(model="text-embedding-3-small", input=list(texts), **options)
    return [item.embedding for item in reply.data]


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_vectors_have_length_one_and_the_models_width(sdk: openai.OpenAI) -> None:
    (vector,) = embed(sdk, "Hello")
    assert len(vector) == 1536
    assert math.hypot(*vector) == pytest.approx(1, abs=1e-6)
    assert len(sdk.embeddings.create(model="text-embedding-3-large", input="x").data[0].embedding) == 3072


def test_similar_texts_are_nearer_than_others(sdk: openai.OpenAI) -> None:
    question, similar, other = embed(
        sdk,
        "What is the capital of France?",
        "what's the capital of  France",
        "Fix my bicycle brakes",
    )
    assert cosine(question, similar) > 0.8 > 0.2 > cosine(question, other)


def test_the_same_text_gets_the_same_vector(sdk: openai.OpenAI) -> None:
    one, other = embed(sdk, "same", "same")
    assert one == other


def test_base64_and_float_give_the_same_numbers(sdk: openai.OpenAI) -> None:
    assert embed(sdk, "Hello", encoding_format="float") == embed(sdk, "Hello")


def test_dimensions_set_the_width(sdk: openai.OpenAI) -> None:
    assert [len(vector) for vector in embed(sdk, "a", "b", dimensions=8)] == [8, 8]


def test_tokens_of_all_inputs_are_counted(sdk: openai.OpenAI) -> None:
    usage = sdk.embeddings.create(model="m", input=["12345", "1"]).usage
    assert (usage.prompt_tokens, usage.total_tokens) == (3, 3)


def test_token_ids_are_one_text_and_lists_of_them_several(sdk: openai.OpenAI) -> None:
    assert len(sdk.embeddings.create(model="m", input=[1, 2, 3]).data) == 1
    assert len(sdk.embeddings.create(model="m", input=[[1, 2], [3]]).data) == 2


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input"),
        ({"input": {}}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "dimensions": "8"}, "dimensions"),
    ],
)
def test_what_the_api_rejects_is_rejected(sdk: openai.OpenAI, options: dict[str, object], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        sdk.embeddings.create(model="m", **options)
    assert caught.value.param == param
