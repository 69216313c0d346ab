"""What a server says that an answer used, under one set of names. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import inf
from typing import Final

from llmkit.fields import Fields, values_of


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenUsage:
    """The figures of one answer. What has a name of its own is a part of the input or the output, not more of it."""

    input_tokens: int | None = None
    """None, like the next two, where no tokens are counted."""
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    """The part of the input read from the provider's prompt cache."""
    cache_write_tokens: int | None = None
    """The part of the input written to it."""
    input_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    reasoning_tokens: int | None = None
    """The part of the output spent on reasoning."""
    output_audio_tokens: int | None = None
    output_image_tokens: int | None = None
    audio_seconds: float | None = None
    """Of a recording that is billed by its length."""


FIGURES: Final = tuple(field.name for field in fields(TokenUsage))
"""The names of the figures, which are those of a `CallRecord`, too."""


def read_usage(usage: object) -> TokenUsage | None:
    """The figures of a `usage` of any of the API's answers, a model of the SDK's or its JSON; None without figures.

    Chat says prompt and completion, Responses and images say input and output. Reasoning that a server (xAI's) counts
    in the total, but not in the output, is put into the output.
    """
    said = values_of(usage)
    given = _first(said, "prompt_tokens", "input_tokens")
    if given is None:
        return _length(said.get("seconds"))
    made = _first(said, "completion_tokens", "output_tokens") or 0
    total = _count(said.get("total_tokens")) or given + made
    read = _details(said, "prompt_tokens_details", "input_tokens_details", "input_token_details")
    written = _details(said, "completion_tokens_details", "output_tokens_details")
    reasoning = _count(written.get("reasoning_tokens"))
    if reasoning and total == given + made + reasoning:
        made += reasoning
    drawn = _count(written.get("image_tokens"))
    if drawn is None and read.get("image_tokens") is not None and "prompt_tokens" not in said:
        drawn = made  # the images API need not say what it has drawn
    return TokenUsage(
        input_tokens=given,
        output_tokens=made,
        total_tokens=total,
        cached_tokens=_count(read.get("cached_tokens")),
        cache_write_tokens=_count(read.get("cache_write_tokens")),
        input_audio_tokens=_count(read.get("audio_tokens")),
        input_image_tokens=_count(read.get("image_tokens")),
        reasoning_tokens=reasoning,
        output_audio_tokens=_count(written.get("audio_tokens")),
        output_image_tokens=drawn,
    )


def _length(seconds: object) -> TokenUsage | None:
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < inf:
        return None
    return TokenUsage(audio_seconds=seconds)


def _details(said: Fields, *names: str) -> Fields:
    for name in names:
        if (found := said.get(name)) is not None:
            return values_of(found)
    return {}


def _first(said: Fields, *names: str) -> int | None:
    for name in names:
        if (found := _count(said.get(name))) is not None:
            return found
    return None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and value.__class__ is not bool and value >= 0 else None
