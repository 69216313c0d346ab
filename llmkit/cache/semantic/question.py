"""The text of a request that is compared by meaning, apart from the rest, which must be equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmkit.tokens.plain import is_list, is_mapping

_FIELDS = {"chat.completions": "messages", "responses": "input", "completions": "prompt"}
_TEXT_PARTS = {"text", "input_text"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The last user text of a request, and the request without it."""

    text: str = field(repr=False)
    rest: dict[str, Any] = field(repr=False)
    """The body with None in the place of the text. It shares its other values with the body: do not change it."""


def split(operation: str, body: Mapping[str, Any]) -> Question | None:
    """Take the last user text out of a request; None when no text alone says what is asked.

    That is so when the last message is not the user's, or has images, audio or files, or is blank, and for several
    prompts, token ids and `echo`, whose answer repeats the prompt. Of several text parts the last one is the question.
    """
    name = _FIELDS.get(operation)
    if name is None or body.get("echo"):
        return None
    asked = body.get(name)
    cut = _cut_message(asked[-1]) if is_list(asked) and asked else _cut_text(asked)
    if cut is None:
        return None
    text, left = cut
    return Question(text=text, rest={**body, name: [*asked[:-1], left] if is_list(asked) else left})


def _cut_text(value: object) -> tuple[str, Any] | None:
    return (value, None) if isinstance(value, str) and value.strip() else None


def _cut_message(message: Any) -> tuple[str, Any] | None:
    if not is_mapping(message) or message.get("role") != "user":
        return None
    content = message.get("content")
    cut = _cut_parts(content) if is_list(content) else _cut_text(content)
    return None if cut is None else (cut[0], {**message, "content": cut[1]})


def _cut_parts(parts: Sequence[Any]) -> tuple[str, Any] | None:
    if not parts or not all(is_mapping(part) and part.get("type") in _TEXT_PARTS for part in parts):
        return None
    *before, last = parts
    cut = _cut_text(last.get("text"))
    return None if cut is None else (cut[0], [*before, {**last, "text": None}])
