"""Trim a history to a budget of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from llmkit.context.fit import check_strategy, fit
from llmkit.context.history import Count, Figures
from llmkit.context.items import Item
from llmkit.context.strategies import DropOldest, Strategy
from llmkit.tokens import count_request

FIELDS: Final = {"chat.completions": "messages", "responses": "input"}
_DROP_OLDEST: Final = DropOldest()


def trim_messages(
    messages: Sequence[Item],
    *,
    max_tokens: int,
    model: str,
    tools: Sequence[Any] | None = None,
    response_format: Any = None,
    strategy: Strategy = _DROP_OLDEST,
    operation: str = "chat.completions",
) -> list[Item]:
    """Trim messages so that the request has at most `max_tokens` input tokens; what fits comes back as it was.

    Kept: the leading system and developer messages, and everything from the last user message on. Tool calls and
    their results stay or go together. `tools` and `response_format` are counted, too. Returns a new list. For
    Responses items pass `operation="responses"`. Raises `ContextLengthExceeded` when what must be kept is too
    large, `InvalidHistory` when something must go and a tool call is without its result.
    """
    body = request_body(messages, model=model, tools=tools, response_format=response_format, operation=operation)
    return list(trim_body(body, max_tokens=max_tokens, operation=operation, strategy=strategy)[FIELDS[operation]])


def trim_body(
    body: Mapping[str, Any],
    *,
    max_tokens: int,
    operation: str,
    strategy: Strategy = _DROP_OLDEST,
) -> dict[str, Any]:
    """Trim a request's body to at most `max_tokens` input tokens; returns a copy with new `messages` or `input`.

    `operation` is "chat.completions" or "responses". Raises as `trim_messages` does.
    """
    field, items = split_body(body, operation=operation)
    check_budget(max_tokens)
    check_strategy(strategy)
    held = bool(body.get("previous_response_id") or body.get("conversation"))
    kept = fit(items, count=counter(body, operation), max_tokens=max_tokens, strategy=strategy, held_by_server=held)
    return join_body(body, field, kept)


def request_body(
    messages: Sequence[Item], *, model: str, tools: Any, response_format: Any, operation: str
) -> dict[str, Any]:
    """The body of a request with these messages; what is None is left out."""
    body: dict[str, Any] = {"model": model, _field(operation): messages}
    if tools is not None:
        body["tools"] = tools
    if response_format is not None:
        named = (
            {"text": {"format": response_format}} if operation == "responses" else {"response_format": response_format}
        )
        body |= named
    return body


def _field(operation: str) -> str:
    if operation not in FIELDS:
        raise ValueError(f"operation={operation!r} has no messages to trim; use one of {', '.join(FIELDS)}")
    return FIELDS[operation]


def split_body(body: Mapping[str, Any], *, operation: str) -> tuple[str, Sequence[Item]]:
    """The name of the field the messages are in, and the messages."""
    field = _field(operation)
    given = body.get(field)
    if field == "input" and (isinstance(given, str) or given is None):
        return field, [] if given is None else [{"role": "user", "content": given}]
    if not isinstance(given, list | tuple):
        raise TypeError(f"{field}={given!r:.200} is a {type(given).__name__}; give a list of messages")
    return field, cast("Sequence[Item]", given)


def join_body(body: Mapping[str, Any], field: str, kept: list[Item]) -> dict[str, Any]:
    """A copy of the body with the kept messages; a string that was given as the input stays one."""
    if isinstance(body.get(field), str):
        return {**body, field: kept[0]["content"]}
    return {**body, field: kept} if kept or field in body else dict(body)


def counter(body: Mapping[str, Any], operation: str) -> Count:
    """Counts the body with other messages."""
    field = _field(operation)

    def count(items: Sequence[Item]) -> Figures:
        return count_request({**body, field: items}, operation=operation)

    return count


def check_budget(max_tokens: object) -> None:
    """Raise an error that names a budget that is no positive whole number."""
    if not isinstance(max_tokens, int) or isinstance(max_tokens, bool):
        raise TypeError(f"max_tokens={max_tokens!r} is not a whole number")
    if max_tokens < 1:
        raise ValueError(f"max_tokens={max_tokens!r} leaves no room for any message; use at least 1")
