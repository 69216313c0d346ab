"""The text that a stream event adds, and the event that says in one what several said."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

from openai.types.chat import ChatCompletionChunk
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from pydantic import BaseModel

T = TypeVar("T")

_TEXTS = frozenset(
    f"response.{name}.delta"
    for name in (
        "code_interpreter_call_code",
        "custom_tool_call_input",
        "function_call_arguments",
        "mcp_call_arguments",
        "output_text",
        "reasoning_summary_text",
        "reasoning_text",
        "refusal",
    )
)
_STEPS = frozenset({"text_delta", "refusal_delta", "reasoning_delta"})
_PADDING = "obfuscation"
"""Random text that hides the length of an event; of no meaning."""


class Piece(NamedTuple):
    """The text of one event and where it belongs: the texts of equal places, one after the other, are one text."""

    place: tuple[Any, ...]
    text: str


def piece_of(event: Any) -> Piece | None:
    """The text that `event` adds; None for an event that says, or might say, anything besides.

    Text is a str, a Chat chunk of one choice with nothing but content, a Responses delta of text, reasoning, refusal
    or arguments, and the steps of a tool loop with `type` "text_delta", "refusal_delta" and "reasoning_delta".
    """
    if isinstance(event, str):
        return Piece((str,), event)
    if isinstance(event, ChatCompletionChunk):
        return _chunk_piece(event)
    kind = getattr(event, "type", None)
    if not isinstance(kind, str):
        return None
    if kind in _TEXTS and isinstance(event, BaseModel):
        return _delta_piece(event, kind)
    return _step_piece(event) if kind in _STEPS else None


def with_text(event: T, text: str) -> T:
    """A copy of an event that has a piece of text, with another text; everything else is as in `event`."""
    if isinstance(event, str):
        return cast("T", text)
    if isinstance(event, ChatCompletionChunk):
        [choice] = event.choices
        delta = choice.delta.model_copy(update={"content": text})
        return event.model_copy(update={"choices": [choice.model_copy(update={"delta": delta})]})
    if isinstance(event, BaseModel):
        return event.model_copy(update={"delta": text})
    return cast("T", dataclasses.replace(cast("Any", event), text=text))


def _chunk_piece(chunk: ChatCompletionChunk) -> Piece | None:
    choices = chunk.choices
    if len(choices) != 1 or chunk.usage is not None or chunk.moderation is not None:
        return None
    choice = choices[0]
    if choice.finish_reason is not None or choice.logprobs is not None:
        return None
    text, filtered = choice.delta.content, choice.model_extra  # Azure repeats its filter's results in each chunk
    if not isinstance(text, str) or _says_more(choice.delta) or _adds(filtered, "content_filter_results"):
        return None
    place = (chunk.id, chunk.model, chunk.service_tier, chunk.system_fingerprint, chunk.model_extra, choice.index)
    return Piece((*place, filtered), text)


def _says_more(delta: ChoiceDelta) -> bool:
    fields = list(delta.__dict__.values())
    return fields.count(None) < len(fields) - 1 or _adds(delta.model_extra)


def _delta_piece(event: BaseModel, kind: str) -> Piece | None:
    found = event.__dict__
    text = found.get("delta")
    if not isinstance(text, str) or found.get("logprobs") or _adds(event.model_extra, _PADDING):
        return None
    keys = ("item_id", "output_index", "content_index", "summary_index")
    return Piece((kind, *(found.get(key) for key in keys)), text)


def _step_piece(step: Any) -> Piece | None:
    text = getattr(step, "text", None)
    if not isinstance(text, str) or not dataclasses.is_dataclass(step):
        return None
    return Piece(_others(cast("Any", type(step)))(step), text)


@functools.cache
def _others(kind: Any) -> Callable[[Any], tuple[Any, ...]]:
    """Reads all that a step says besides its text."""
    names = [field.name for field in dataclasses.fields(kind) if field.name != "text"]
    return lambda step: (kind, *(getattr(step, name) for name in names))


def _adds(extra: dict[str, Any] | None, known: str = "") -> bool:
    """Whether a server put fields of its own into an event: a copy of the last event would lose the others'."""
    return extra is not None and any(value is not None for name, value in extra.items() if name != known)
