"""The tools of a loop: what the model is shown, which run here, and which one it must call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, cast

from llmkit.tools.definition import Tool, declared
from llmkit.tools.loop.wire import JSONObject
from llmkit.tools.registry import ToolRegistry, check_list

Api: TypeAlias = Literal["chat", "responses"]
Tools: TypeAlias = ToolRegistry | Iterable[object]
"""Functions, tools, registries and tools as dicts: hosted ones such as web_search, and functions that run elsewhere.

Objects, because the type that mypy infers for a list of functions with different signatures is no Callable.
"""
ToolChoice: TypeAlias = str | Mapping[str, Any]
"""\"auto", "none", "required", the name of a tool, or what the API takes."""

_INPUT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}


class Toolset:
    """A registry, and the dicts that go to the API as they were given."""

    def __init__(self, tools: Tools, *, api: Api) -> None:
        self._api: Api = api
        self._given: dict[str, JSONObject] = {}
        self._hosted: list[JSONObject] = []
        self.registry = tools if isinstance(tools, ToolRegistry) else self._registry_of(tools)

    @property
    def params(self) -> list[JSONObject]:
        """The `tools` of a request."""
        shown: list[JSONObject] = list(
            cast("Any", self.registry.params if self._api == "chat" else self.registry.responses_params)
        )
        own: list[JSONObject] = [
            self._given.get(tool.name, param) for tool, param in zip(self.registry, shown, strict=True)
        ]
        return [*own, *self._hosted]

    def check_choice(self, choice: ToolChoice | None) -> None:
        """Raise when `tool_choice` names a tool that is not there."""
        if choice is None or isinstance(choice, Mapping) or choice in ("auto", "none"):
            return
        known = [*self.registry.names, *(tool["type"] for tool in self._hosted)]
        if choice == "required" and not known:
            raise ValueError("tool_choice='required' needs tools to choose from; give tools")
        if choice != "required" and choice not in known:
            raise ValueError(
                f"tool_choice={choice!r} is no tool of this loop; use 'auto', 'none', 'required' or one of: "
                f"{', '.join(known) or '(there are no tools)'}"
            )

    def choice(self, choice: ToolChoice | None, *, first: bool) -> Any:
        """The `tool_choice` of a request; what forces a call does so once, else the model could never answer."""
        if choice is None or choice in ("auto", "none"):
            return choice
        if isinstance(choice, Mapping):
            return dict(choice) if first else _relaxed(choice)
        if not first:
            return "auto"
        return choice if choice == "required" else self._named(choice)

    def _named(self, name: str) -> JSONObject:
        if name not in self.registry:
            return {"type": name}
        kind = "custom" if self._given.get(name, {}).get("type") == "custom" else "function"
        return {"type": kind, kind: {"name": name}} if self._api == "chat" else {"type": kind, "name": name}

    def _registry_of(self, tools: Any) -> ToolRegistry:
        check_list(tools, instead="tools=[...] or a ToolRegistry")
        known: list[Any] = []
        for tool in tools:
            known += [tool] if not isinstance(tool, Mapping) else self._read(dict(cast("Mapping[str, Any]", tool)))
        registries = [tool for tool in known if isinstance(tool, ToolRegistry)]
        if not registries:
            return ToolRegistry(known)
        others = [tool for tool in known if tool is not registries[0]]
        return registries[0].merge(ToolRegistry(others))  # the first one's settings hold

    def _read(self, tool: JSONObject) -> list[Tool]:
        """The tool that a dict declares; none for a hosted one, which the server runs."""
        kind = tool.get("type")
        if not isinstance(kind, str):
            raise TypeError(f"tools has {tool!r:.200}, a dict without a type; give what the API takes as a tool")
        if kind not in {"function", "custom"}:
            self._hosted.append(tool)
            return []
        inner: JSONObject = tool.get(kind, tool)
        name = inner.get("name")
        if not isinstance(name, str):
            raise TypeError(f"tools has {tool!r:.200}, a {kind} without a name; give it one")
        made = declared(
            name,
            parameters=_INPUT if kind == "custom" else inner.get("parameters") or {"type": "object", "properties": {}},
            description=inner.get("description") or "",
            strict=bool(inner.get("strict")),
        )
        if kind == "custom" or (kind in tool) == (self._api == "chat"):
            self._given[name] = tool
        return [made]


def _relaxed(choice: Mapping[str, Any]) -> Any:
    """The choice without what forces a call."""
    if choice.get("type") != "allowed_tools":
        return "auto"
    inner = choice.get("allowed_tools")
    if isinstance(inner, Mapping):
        return {**choice, "allowed_tools": {**cast("Mapping[str, Any]", inner), "mode": "auto"}}
    return {**choice, "mode": "auto"}
