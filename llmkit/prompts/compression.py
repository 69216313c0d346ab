"""Compression of a prompt, step by step."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from llmkit.context.items import Item
from llmkit.prompts.minify import minify_json
from llmkit.prompts.whitespace import squeeze_whitespace
from llmkit.tokens import count_tokens


class Step(Protocol):
    """Returns shorter messages, in a new list; a function of your own will do."""

    def __call__(self, messages: Sequence[Item], *, model: str) -> list[Item]:
        """The messages, compressed; those given stay as they are."""
        ...


LOSSLESS: Final[tuple[Step, ...]] = (squeeze_whitespace, minify_json)
"""Steps that take nothing away that a reader would miss."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """Compressed messages, and the tokens that were saved."""

    messages: list[Item] = field(repr=False)
    saved_tokens: int
    steps: tuple[tuple[str, int], ...]
    """The name of each step and what it saved, in their order."""


def compress(messages: Sequence[Item], *, model: str, steps: Sequence[Step] = LOSSLESS) -> Compression:
    """Compress Chat messages with `steps` until none of them saves any more; the messages given stay as they are.

    The default loses nothing; `(stub_tool_results(keep_last=3), drop_repeats(), *LOSSLESS)` saves more. What does
    not save tokens is not done, and tool calls keep their results.
    """
    for step in steps:
        if isinstance(step, type) or not callable(step):
            raise TypeError(
                f"{step!r} is no step; use a function or an instance, such as stub_tool_results(keep_last=3)"
            )
    current = list(messages)
    first = size = count_tokens(current, model=model).total
    saved = [0] * len(steps)
    before = size + 1
    while size < before:
        before = size
        for index, step in enumerate(steps):
            shorter = step(current, model=model)
            tokens = count_tokens(shorter, model=model).total
            if tokens < size:
                saved[index] += size - tokens
                current, size = shorter, tokens
    named = tuple((_name(step), tokens) for step, tokens in zip(steps, saved, strict=True))
    return Compression(messages=current, saved_tokens=first - size, steps=named)


def _name(step: Step) -> str:
    inner = step.func if isinstance(step, functools.partial) else step
    return getattr(inner, "__name__", type(inner).__name__)
