"""What a call is going to use, as far as that is known before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from llmkit.request import Request
from llmkit.tokens import count_request, estimate_tokens
from llmkit.tokens.vocabulary import is_loaded, load_soon

_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_TEXTS = ("messages", "input", "prompt", "instructions", "tools")
_QUICK = 12_000
"""Estimated tokens that are counted in about 5 ms; more are counted in a thread."""
_NO_OUTPUT = frozenset({"embeddings", "moderations"})


class Expected(NamedTuple):
    """Tokens of one call."""

    input_tokens: int
    output_tokens: int


async def expected_tokens(request: Request, *, output_tokens: int) -> Expected:
    """The input tokens, counted when that can be done now or else estimated, and the output tokens.

    The output is what the request allows, for each of its `n` answers; `output_tokens` where it sets no limit.
    """
    return Expected(await _input(request), _output(request, output_tokens))


async def _input(request: Request) -> int:
    if request.record.predicted_tokens is not None:
        return request.record.predicted_tokens
    texts = [request.body[name] for name in _TEXTS if name in request.body]
    estimate = _estimated(texts)
    if not texts or not isinstance(request.model, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        return estimate

    def count() -> int:
        try:
            return count_request(request.body, operation=request.operation).total
        except (TypeError, ValueError, RecursionError):
            return estimate

    load_soon(request.model)
    if not is_loaded(request.model):
        return estimate
    return count() if estimate < _QUICK else await request.runtime.run_blocking(count)


def _estimated(texts: list[Any]) -> int:
    try:
        return _estimate(texts)
    except RecursionError:
        return 0  # nested beyond what can be sent: the SDK's own error will say so


def _estimate(value: Any) -> int:
    """A figure for what cannot be counted: a quarter of its text's bytes, and one for each token id."""
    if isinstance(value, str):
        return 0 if value.startswith("data:") else estimate_tokens(value)
    if isinstance(value, Mapping):
        return sum(_estimate(item) for item in value.values())  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, list | tuple):
        return sum(1 if isinstance(item, int) else _estimate(item) for item in value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return 0


def _output(request: Request, otherwise: int) -> int:
    if request.operation in _NO_OUTPUT:
        return 0
    given = next((body for name in _LIMITS if type(body := request.body.get(name)) is int and body > 0), otherwise)
    answers = request.body.get("n")
    return given * (answers if type(answers) is int and answers > 1 else 1)
