"""What a loop was asked to do, checked once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import openai

from llmkit.tools.loop.limits import Limits
from llmkit.tools.loop.toolset import ToolChoice, Toolset
from llmkit.tools.loop.wire import JSONObject, plain

_NEVER_SAVED: Final = frozenset({"extra_headers", "extra_query", "extra_body", "timeout"})
"""Options that may hold secrets, or that belong to the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The loop's own arguments and the request's other options."""

    model: str
    stream: bool
    limits: Limits
    tool_choice: ToolChoice | None
    parallel_tool_calls: bool | None
    options: Mapping[str, Any]

    def request(self, tools: Toolset, *, first: bool) -> JSONObject:
        """The fields of a request, but for its history and the format of the answer."""
        body: JSONObject = {"model": self.model, **self.options}
        params = tools.params
        if params:
            chosen = {
                "tools": params,
                "tool_choice": tools.choice(self.tool_choice, first=first),
                "parallel_tool_calls": self.parallel_tool_calls,
            }
            body |= {name: value for name, value in chosen.items() if value is not None}
        return body

    def to_json(self) -> JSONObject:
        """The arguments that make the same settings, without those that must be given again."""
        options = {name: value for name, value in self.options.items() if name not in _NEVER_SAVED}
        cost = self.limits.max_cost
        return {
            **{name: value for name, value in options.items() if _is_json(value)},
            "model": self.model,
            "stream": self.stream,
            "max_steps": self.limits.max_steps,
            "max_tokens": self.limits.max_tokens,
            "max_cost": None if cost is None else str(cost),
            "tool_choice": plain(self.tool_choice),
            "parallel_tool_calls": self.parallel_tool_calls,
        }


def checked_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are set, as plain values; raises for one that a loop cannot serve."""
    options = {name: value for name, value in given.items() if not isinstance(value, openai.Omit | openai.NotGiven)}
    if (options.get("n") or 1) != 1:
        raise ValueError(f"n={options['n']!r}: a loop follows one answer; leave n out")
    return {name: value if name in _NEVER_SAVED else plain(value) for name, value in options.items()}


def history_of(messages: Iterable[Any] | None, input: str | Iterable[Any] | None) -> list[JSONObject]:
    """The messages or the input as new JSON objects; raises unless just one of them is given."""
    if (messages is None) == (input is None):
        given = "both" if messages is not None else "neither"
        raise TypeError(f"give messages= for Chat or input= for Responses, not {given}")
    if messages is None:
        return [{"role": "user", "content": input}] if isinstance(input, str) else _listed("input", input)
    if isinstance(messages, str):
        raise TypeError('messages= is a list, such as [{"role": "user", "content": "..."}]; a text can be input=')
    return _listed("messages", messages)


def _listed(name: Literal["messages", "input"], given: object) -> list[JSONObject]:
    if not isinstance(given, Iterable) or isinstance(given, Mapping):
        raise TypeError(f"{name}={given!r:.200} is no list of messages")
    listed: list[JSONObject] = plain(given)
    return listed


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
