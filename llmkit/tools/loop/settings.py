"""What a loop was asked to do, checked once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, cast

import openai

from llmkit.tools.loop.limits import Limits
from llmkit.tools.loop.toolset import ToolChoice, Toolset
from llmkit.tools.loop.wire import JSONObject, plain

_NEVER_SAVED: Final = frozenset({"extra_headers", "extra_query", "extra_body", "timeout"})
"""Options that may hold secrets, or that belong to the process."""
_WHOLE: Final[Mapping[Any, str]] = {
    "chat.completion": "its .choices[0].message",
    "response": "the items of its .output",
}
"""What of a reply is a message."""


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
        if self.stream:
            body["stream"] = True
        if params := tools.params:
            body["tools"] = params
            choice = tools.choice(self.tool_choice, first=first)
            chosen = {"tool_choice": choice, "parallel_tool_calls": self.parallel_tool_calls}
            body |= {name: value for name, value in chosen.items() if value is not None}
        return body

    def saved(self) -> Settings:
        """The same without the options that are no JSON or may hold secrets."""
        kept = {name: value for name, value in self.options.items() if name not in _NEVER_SAVED and _is_json(value)}
        return replace(self, tool_choice=plain(self.tool_choice), options=kept)

    def arguments(self) -> dict[str, Any]:
        """The arguments that make the same settings."""
        return {
            **self.options,
            **asdict(self.limits),
            "model": self.model,
            "stream": self.stream,
            "tool_choice": self.tool_choice,
            "parallel_tool_calls": self.parallel_tool_calls,
        }


def checked_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are set, as plain values; raises for one that a loop cannot serve."""
    options = {name: value for name, value in given.items() if not isinstance(value, openai.Omit | openai.NotGiven)}
    if (options.get("n") or 1) != 1:
        raise ValueError(f"n={options['n']!r}: a loop follows one answer; leave n out")
    if "text_format" in options:
        raise TypeError("text_format= is called response_format= here, for both APIs")
    return {name: value if name in _NEVER_SAVED else plain(value) for name, value in options.items()}


def history_of(messages: Iterable[Any] | None, input: str | Iterable[Any] | None) -> list[JSONObject]:
    """The messages or the input as new JSON objects; raises unless just one of them is given."""
    if (messages is None) == (input is None):
        given = "both" if messages is not None else "neither"
        raise TypeError(f"give messages= for Chat or input= for Responses, not {given}")
    if isinstance(messages, str):
        raise TypeError('messages= is a list, such as [{"role": "user", "content": "..."}]; a text can be input=')
    if isinstance(input, str):
        return [{"role": "user", "content": input}]
    return _listed("messages", messages) if input is None else _listed("input", input)


def _listed(name: str, given: object) -> list[JSONObject]:
    listed: list[Any] = plain(given)
    if not isinstance(listed, list):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"{name}= is a list, not a {type(given).__qualname__}; put {name}=[...] around it")
    for message in listed:
        if not isinstance(message, dict):
            raise TypeError(f"{name} has {message!r:.80}, which is no message; give dicts or the SDK's objects")
        whole = cast("JSONObject", message).get("object")
        if whole in _WHOLE:
            raise TypeError(f"{name} has a whole {whole}; give {_WHOLE[whole]}")
    return listed


def _is_json(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
