"""Reads Chat messages and Responses items, dicts or SDK objects, in one way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

Item: TypeAlias = Any
"""A Chat message or a Responses input item: a dict or an object of the SDK."""
CallId: TypeAlias = str | None
"""What ties a tool's result to its call; None: to the nearest call before it (the old `function` role)."""

INSTRUCTION_ROLES = frozenset({"system", "developer"})
INPUT_ROLES = frozenset({"user", *INSTRUCTION_ROLES})
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})
_RESULT_NEEDED = frozenset({"function_call", "custom_tool_call"})
_NONE: tuple[CallId, ...] = ()


def read(item: Item, name: str) -> Any:
    """The field of a dict or of an object; None when it has none."""
    if type(item) is dict or isinstance(item, Mapping):  # the first is a fast path
        return cast("Mapping[str, Any]", item).get(name)
    return getattr(item, name, None)


def change(item: Item, name: str, value: object) -> Item:
    """A copy of the item with one field changed."""
    if isinstance(item, Mapping):
        return {**cast("Mapping[str, Any]", item), name: value}
    return item.model_copy(update={name: value})


def calls(item: Item) -> tuple[CallId, ...]:
    """The ids of the tool calls the item makes."""
    if read(item, "role") == "assistant":
        if made := read(item, "tool_calls"):
            return tuple(read(call, "id") for call in made)
        return (None,) if read(item, "function_call") else _NONE
    kind: str = read(item, "type") or ""
    if kind == "mcp_approval_request":
        return (read(item, "id"),)
    return (read(item, "call_id"),) if kind.endswith("_call") or kind == "program" else _NONE


def answers(item: Item) -> tuple[CallId, ...]:
    """The ids of the calls the item needs before it: the call it is the result of, the program it runs in."""
    role = read(item, "role")
    if role == "tool":
        return (read(item, "tool_call_id"),)
    if role is not None:
        return (None,) if role == "function" else _NONE
    kind: str = read(item, "type") or ""
    if kind.endswith("_output"):
        return (read(item, "call_id"),)
    if kind == "mcp_approval_response":
        return (read(item, "approval_request_id"),)
    caller = read(item, "caller")
    return (read(caller, "caller_id"),) if caller and read(caller, "caller_id") else _NONE


def needs_results(item: Item) -> bool:
    """Whether the API refuses the item's calls without their results."""
    if read(item, "tool_calls"):
        return True
    return read(item, "type") in _RESULT_NEEDED and not read(item, "async")


def map_text(item: Item, change_text: Callable[[str], str]) -> Item:
    """The item with every text that may be cut passed through `change_text`; the item itself if none changed.

    Left alone: instructions, reasoning, the arguments of calls, and answers the server has stored under an id.
    """
    role, kind = read(item, "role"), read(item, "type")
    if role in INSTRUCTION_ROLES or (role == "assistant" and kind == "message" and read(item, "id")):
        return item
    name = "output" if role is None else "content"
    if kind == "reasoning" or (name == "output" and not str(kind).endswith("_output")):
        return item
    before = read(item, name)
    after = _map_content(before, change_text)
    return item if after is before else change(item, name, after)


def _map_content(content: object, change_text: Callable[[str], str]) -> object:
    if isinstance(content, str):
        after = change_text(content)
        return content if after == content else after
    if not isinstance(content, list | tuple):
        return content
    before = list(cast("Iterable[Item]", content))
    parts: list[Item] = [_map_part(part, change_text) for part in before]
    if all(new is old for new, old in zip(parts, before, strict=True)):
        return cast("object", content)
    return parts


def _map_part(part: Item, change_text: Callable[[str], str]) -> Item:
    text = read(part, "text")
    if read(part, "type") not in _TEXT_PARTS or not isinstance(text, str):
        return part
    after = change_text(text)
    return part if after == text else change(part, "text", after)
