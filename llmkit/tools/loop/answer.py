"""The model's answer, as text and as an instance of the type that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmkit.tools.answer_format import parse_answer
from llmkit.tools.loop.errors import IncompleteAnswer
from llmkit.tools.loop.reply import Reply
from llmkit.tools.loop.steps import Final
from llmkit.tools.loop.wire import JSONObject
from llmkit.usage.totals import Usage


def type_name(response_format: object) -> str | None:
    """The name of the type that answers are parsed to; None when they are not."""
    if response_format is None or isinstance(response_format, Mapping):
        return None
    return getattr(response_format, "__qualname__", None) or repr(response_format)


def final_step(reply: Reply, *, response_format: Any, usage: Usage, messages: list[JSONObject]) -> Final:
    """The last step; raises when the answer cannot be what was asked for."""
    return Final(
        text=reply.text,
        parsed=_parsed(reply, response_format),
        refusal=reply.refusal,
        finish_reason=reply.finish_reason,
        messages=messages,
        usage=usage,
        reply=reply.raw,
    )


def _parsed(reply: Reply, response_format: Any) -> Any:
    name = type_name(response_format)
    if name is None or reply.refusal:
        return None
    if reply.finish_reason in {"length", "content_filter"}:
        why = "it was filtered" if reply.finish_reason != "length" else "raise the bound on output tokens"
        raise IncompleteAnswer(
            f"The answer is no whole {name} (finish_reason={reply.finish_reason!r}): {why}; what came is in `text`.",
            text=reply.text,
            finish_reason=reply.finish_reason,
        )
    return parse_answer(response_format, reply.text)
