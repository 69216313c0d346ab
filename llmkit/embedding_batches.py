"""Inputs of several embedding requests as those of one, and its answer as theirs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from openai.types import CreateEmbeddingResponse
from openai.types.create_embedding_response import Usage

from llmkit.errors import InvalidResponse
from llmkit.fields import values_of
from llmkit.tokens import count_request, upper_bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What one request wants embedded: only texts, or only lists of token ids."""

    kind: Literal["texts", "token_ids"]
    items: tuple[Any, ...]
    most_tokens: int
    """UTF-8 bytes or token ids: a figure that the count never exceeds."""


def read_inputs(value: object) -> Inputs | None:
    """Read `input` as `embeddings.create` takes it; None when it is nothing that the API takes."""
    items = _items(value)
    if not items:
        return None
    bound = upper_bound({"input": items}, operation="embeddings") if _are_texts(items) else sum(map(len, items))
    return Inputs(kind="texts" if _are_texts(items) else "token_ids", items=tuple(items), most_tokens=bound)


def _items(value: object) -> Sequence[Any]:
    if isinstance(value, str):
        return [value] if value else ()
    if not isinstance(value, list | tuple):
        return ()
    items = cast("Sequence[Any]", value)
    if _are_ids(items):
        return [items]
    return items if _are_texts(items) or all(_are_ids(item) for item in items) else ()


def _are_texts(items: Sequence[Any]) -> bool:
    return all(isinstance(item, str) and item for item in items)


def _are_ids(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(type(item) is int for item in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def merged_body(body: Mapping[str, Any], parts: Sequence[Inputs]) -> dict[str, Any]:
    """`body` with the inputs of all `parts`, in their order."""
    return {**body, "input": [item for part in parts for item in part.items]}


def count_inputs(parts: Sequence[Inputs], model: str) -> list[int]:
    """The tokens of each part, as the API would bill it alone."""
    return [count_request({"model": model, "input": part.items}, operation="embeddings").total for part in parts]


def split_answer(
    answer: object, parts: Sequence[Inputs], tokens: Sequence[int]
) -> list[CreateEmbeddingResponse] | None:
    """An answer for each part: its embeddings, and its share of the usage by its `tokens`.

    None when the answer is of another type; `InvalidResponse` when it has not one embedding for each input.
    """
    if not isinstance(answer, CreateEmbeddingResponse):
        return None
    data = _in_order(answer, sum(len(part.items) for part in parts))
    usages = _usages(answer, tokens)
    answers: list[CreateEmbeddingResponse] = []
    start = 0
    for part, usage in zip(parts, usages, strict=True):
        mine = data[start : start + len(part.items)]
        start += len(part.items)
        placed = [item.model_copy(update={"index": index}) for index, item in enumerate(mine)]
        answers.append(answer.model_copy(update={"data": placed, "usage": usage}))
    return answers


def _in_order(answer: CreateEmbeddingResponse, count: int) -> Sequence[Any]:
    """The embeddings by their `index`; in the order of the answer when those are no numbering."""
    data: Sequence[Any] = answer.data if type(answer.data) is list else ()  # the SDK checks nothing
    if len(data) != count:
        raise InvalidResponse(
            f"the server answered {count} inputs with {len(data)} embeddings, so nobody can tell whose they are; "
            "leave out batch_embeddings() for this server",
            operation="embeddings",
            missing=f"data[{len(data)}]",
        )
    return sorted(data, key=_index) if sorted(map(_index, data)) == [*range(count)] else data


def _index(item: Any) -> int:
    index = getattr(item, "index", None)
    return index if isinstance(index, int) else -1


def _usages(answer: CreateEmbeddingResponse, tokens: Sequence[int]) -> list[Any]:
    """Some servers send none, or not all; what is no whole number cannot be shared, and would count for each call."""
    figures = {name: value for name, value in values_of(answer.usage).items() if type(value) is int}
    if "prompt_tokens" in figures:
        figures.setdefault("total_tokens", figures["prompt_tokens"])
    if not figures:
        return [None] * len(tokens)
    parts = zip(*(shares(figure, tokens) for figure in figures.values()), strict=True)
    return [Usage.construct(**dict(zip(figures, mine, strict=True))) for mine in parts]


def usage_of(answers: Sequence[CreateEmbeddingResponse]) -> dict[str, int]:
    """What answers that `split_answer` gave have used together."""
    figures = [values_of(answer.usage) for answer in answers]
    return {name: sum(each[name] for each in figures) for name in figures[0]}


def shares(total: int, weights: Sequence[int]) -> list[int]:
    """`total` in whole parts in proportion to `weights`: what is left over goes to the largest remainders."""
    weights = weights if any(weights) else [1] * len(weights)
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: -(total * weights[place] % whole))
    for place in by_remainder[: total - sum(parts)]:
        parts[place] += 1
    return parts
