"""The tool calls in what a model answered."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from llmkit.context.items import read

Api = Literal["chat", "responses"]
Kind = Literal["function", "custom"]

_OUTPUT_ITEMS: Final[Mapping[Any, Kind]] = {"function_call": "function", "custom_tool_call": "custom"}
_CHAT_CALLS: Final = frozenset({"function", "custom"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """One call of a tool, whichever API it came through."""

    id: str
    name: str
    arguments: str
    """JSON text as the model wrote it; the free text of a custom tool as `{"input": text}`."""
    kind: Kind = "function"
    api: Api = "chat"
    legacy: bool = False
    """Made through Chat's old `function_call` field, which has no id."""


def calls_in(message: Any) -> list[ToolCall]:
    """The tool calls of an assistant message, a chat completion (its first choice) or a Response, in their order.

    Takes the SDK's objects and plain dicts, and lists of Responses output items or of Chat tool calls. A call whose
    id came before is left out. Raises a TypeError that names any other type.
    """
    if made := _read(message, "tool_calls"):
        return _distinct([_chat_call(call) for call in made])
    if isinstance(message, list | tuple):
        return _distinct(_listed(cast("list[Any]", message)))
    if type(message) is not dict and not _is_answer(message):
        raise TypeError(
            f"no tool calls can be read from a {type(message).__qualname__}: give an assistant message, a chat "
            "completion, a Response, or its output items"
        )
    if (choices := _read(message, "choices")) is not None:
        return _distinct(_of_message(_read(choices[0], "message"))) if choices else []
    if (output := _read(message, "output")) is not None:
        return _distinct(_listed(output))
    return _distinct(_of_message(message))


def _is_answer(message: Any) -> bool:
    if isinstance(message, Mapping):
        return True
    return any(hasattr(message, name) for name in ("choices", "output", "tool_calls", "function_call", "call_id"))


def _of_message(message: Any) -> list[ToolCall]:
    if made := _read(message, "tool_calls"):
        return [_chat_call(call) for call in made]
    if legacy := _read(message, "function_call"):
        name, arguments = _text(_read(legacy, "name")), _text(_read(legacy, "arguments"))
        return [ToolCall(id="", name=name, arguments=arguments, legacy=True)]
    return _listed([message])


def _listed(items: Iterable[Any]) -> list[ToolCall]:
    """The calls among the output items of a Response, or the tool calls of a Chat message."""
    calls: list[ToolCall] = []
    for item in items:
        kind = _read(item, "type")
        if kind in _OUTPUT_ITEMS:
            calls.append(_response_call(item, _OUTPUT_ITEMS[kind]))
        elif _read(item, "tool_calls") or (kind in _CHAT_CALLS and _read(item, kind) is None):
            raise TypeError("a list of messages says not which calls are open: give the last assistant message")
        elif kind in _CHAT_CALLS:
            calls.append(_chat_call(item))
    return calls


def _chat_call(call: Any) -> ToolCall:
    id, function = _text(_read(call, "id")), _read(call, "function")
    if function is None and (custom := _read(call, "custom")) is not None:
        return ToolCall(id=id, name=_text(_read(custom, "name")), arguments=_input(custom), kind="custom")
    return ToolCall(id=id, name=_text(_read(function, "name")), arguments=_text(_read(function, "arguments")))


def _response_call(item: Any, kind: Kind) -> ToolCall:
    id, name = _text(_read(item, "call_id")), _text(_read(item, "name"))
    arguments = _input(item) if kind == "custom" else _text(_read(item, "arguments"))
    return ToolCall(id=id, name=name, arguments=arguments, kind=kind, api="responses")


def _input(call: Any) -> str:
    return json.dumps({"input": _read(call, "input") or ""}, ensure_ascii=False)


def _read(item: Any, name: str) -> Any:
    if type(item) is dict:  # what nearly all calls are made of, at a third of the price
        return item.get(name)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return read(item, name)


def _text(value: Any) -> str:
    """A field that should be text; some servers leave it out, send numbers, or send arguments already decoded."""
    if type(value) is str:
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _distinct(calls: list[ToolCall]) -> list[ToolCall]:
    if len(calls) < 2:
        return calls
    first: dict[Any, ToolCall] = {}
    for index, call in enumerate(calls):
        first.setdefault(call.id or index, call)
    return list(first.values())
