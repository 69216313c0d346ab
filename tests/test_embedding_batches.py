from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from llmkit.embedding_batches import count_inputs, merged_body, read_inputs, shares, split_answer, usage_of
from llmkit.errors import InvalidResponse
from llmkit.tokens import count_text

MODEL = "text-embedding-3-small"


def answer(vectors: list[float], *, indexes: list[Any] | None = None, **fields: Any) -> CreateEmbeddingResponse:
    places = indexes or [*range(len(vectors))]
    data = [
        {"object": "embedding", "index": place, "embedding": [vector]}
        for place, vector in zip(places, vectors, strict=True)
    ]
    usage = {"prompt_tokens": 10, "total_tokens": 10}
    return CreateEmbeddingResponse.construct(
        **{"object": "list", "model": MODEL, "data": data, "usage": usage} | fields
    )


@pytest.mark.parametrize(
    ("value", "kind", "items"),
    [
        ("one", "texts", ("one",)),
        (["one", "two"], "texts", ("one", "two")),
        (("one",), "texts", ("one",)),
        ([1, 2], "token_ids", ([1, 2],)),
        ([[1, 2], [3]], "token_ids", ([1, 2], [3])),
    ],
)
def test_inputs_are_texts_or_token_ids(value: object, kind: str, items: tuple[object, ...]) -> None:
    inputs = read_inputs(value)
    assert inputs is not None
    assert (inputs.kind, inputs.items) == (kind, items)


@pytest.mark.parametrize("value", [None, "", [], ["a", ""], ["a", 1], [[1], "a"], [[]], [[1], []], [True], {"a": 1}, 7])
def test_what_the_api_does_not_take_is_left_to_it(value: object) -> None:
    assert read_inputs(value) is None


@given(st.lists(st.text(min_size=1), min_size=1))
def test_the_bound_is_never_below_the_count(texts: list[str]) -> None:
    inputs = read_inputs(texts)
    assert inputs is not None
    assert (
        inputs.most_tokens >= sum(count_text(text, model=MODEL) for text in texts) == count_inputs([inputs], MODEL)[0]
    )


def test_token_ids_count_as_they_are() -> None:
    inputs = read_inputs([[1, 2, 3], [4]])
    assert inputs is not None
    assert (inputs.most_tokens, count_inputs([inputs], MODEL)) == (4, [4])


def test_a_merged_body_has_all_inputs_in_order_and_the_rest_as_it_was() -> None:
    parts = [read_inputs("a"), read_inputs(["b", "c"])]
    body = {"model": MODEL, "input": "a", "dimensions": 3}
    assert merged_body(body, parts) == {"model": MODEL, "input": ["a", "b", "c"], "dimensions": 3}


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1))
def test_shares_sum_to_the_total_and_are_fair_to_one_token(total: int, weights: list[int]) -> None:
    parts = shares(total, weights)
    assert sum(parts) == total
    if any(weights):
        for part, weight in zip(parts, weights, strict=True):
            assert abs(part - total * weight / sum(weights)) <= 1


@given(st.lists(st.integers(1, 10**4), min_size=1))
def test_a_bill_that_is_the_sum_of_the_counts_is_split_into_the_counts(tokens: list[int]) -> None:
    assert shares(sum(tokens), tokens) == tokens


def test_shares_without_weights_are_equal() -> None:
    assert shares(5, [0, 0]) == [3, 2]


@given(st.lists(st.lists(st.text(min_size=1), min_size=1, max_size=5), min_size=1, max_size=8), st.randoms())
def test_each_part_gets_its_own_embeddings_numbered_from_zero(groups: list[list[str]], random: Any) -> None:
    parts = [read_inputs(group) for group in groups]
    count = sum(map(len, groups))
    whole = answer([float(place) for place in range(count)])
    random.shuffle(whole.data)
    answers = split_answer(whole, parts, [1] * len(parts))
    assert answers is not None
    assert [len(mine.data) for mine in answers] == [len(group) for group in groups]
    assert [item.embedding[0] for mine in answers for item in mine.data] == [float(place) for place in range(count)]
    assert all([item.index for item in mine.data] == [*range(len(mine.data))] for mine in answers)
    assert sum(mine.usage.prompt_tokens for mine in answers) == 10
    assert whole.usage.total_tokens == 10  # the answer itself is left as it was


@pytest.mark.parametrize("indexes", [[0, 0], [None, None], [1, 2]])
def test_without_a_numbering_the_order_of_the_answer_counts(indexes: list[Any]) -> None:
    parts = [read_inputs("a"), read_inputs("b")]
    answers = split_answer(answer([5.0, 6.0], indexes=indexes), parts, [1, 1])
    assert answers is not None
    assert [mine.data[0].embedding for mine in answers] == [[5.0], [6.0]]


def test_a_server_without_usage_has_none_split() -> None:
    parts = [read_inputs("a"), read_inputs("b")]
    answers = split_answer(answer([5.0, 6.0], usage=None), parts, [1, 1])
    assert answers is not None
    assert [mine.usage for mine in answers] == [None, None]


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 7}, [(5, 5), (2, 2)]),
        ({"prompt_tokens": 7, "total_tokens": None}, [(5, 5), (2, 2)]),
        ({"prompt_tokens": 7, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 7}}, [(5, 9), (2, 5)]),
        ({"total_tokens": 7}, [(None, 5), (None, 2)]),
    ],
)
def test_each_figure_of_a_usage_that_is_not_whole_is_shared(usage: dict[str, Any], expected: list[Any]) -> None:
    answers = split_answer(answer([5.0, 6.0], usage=usage), [read_inputs("a"), read_inputs("b")], [2, 1])
    assert answers is not None
    shared = [mine.usage.to_dict() for mine in answers]
    assert [(mine.get("prompt_tokens"), mine.get("total_tokens")) for mine in shared] == expected
    assert all("prompt_tokens_details" not in mine for mine in shared)  # of all, it would count for each


@pytest.mark.parametrize("usage", [{"prompt_tokens": "7"}, {"prompt_tokens": 7.5, "total_tokens": True}, "7 tokens"])
def test_figures_that_cannot_be_shared_are_nobodys(usage: object) -> None:
    answers = split_answer(answer([5.0, 6.0], usage=usage), [read_inputs("a"), read_inputs("b")], [2, 1])
    assert answers is not None
    assert [mine.usage for mine in answers] == [None, None]
    assert usage_of(answers) == {}


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8))
def test_the_shares_are_together_what_was_billed(tokens: list[int]) -> None:
    parts = [read_inputs("a") for _ in tokens]
    usage = {"prompt_tokens": 10, "completion_tokens": 0}
    answers = split_answer(answer([1.0] * len(tokens), usage=usage), parts, tokens)
    assert answers is not None
    assert usage_of(answers) == {"prompt_tokens": 10, "completion_tokens": 0, "total_tokens": 10}


@pytest.mark.parametrize("data", [[], None, [{"object": "embedding", "index": 0, "embedding": [1.0]}]])
def test_too_few_embeddings_are_nobodys(data: object) -> None:
    found = len(data) if isinstance(data, list) else 0
    with pytest.raises(InvalidResponse, match=f"answered 2 inputs with {found} embeddings") as caught:
        split_answer(answer([], data=data), [read_inputs("secret one"), read_inputs("secret two")], [1, 1])
    assert caught.value.missing == f"data[{found}]"
    assert "secret" not in str(caught.value)


def test_an_answer_of_another_type_cannot_be_split() -> None:
    assert split_answer({"data": []}, [read_inputs("a")], [1]) is None
