"""A set of tools, and running what a model calls of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, overload

from typing_extensions import Unpack

from llmkit.tokens import count_tokens
from llmkit.tools.approval import Approve
from llmkit.tools.call import ToolCall, calls_in
from llmkit.tools.definition import Tool, changed, declared, tool_of
from llmkit.tools.dispatch import Batch, Limits, OnResult
from llmkit.tools.errors import InvalidTool, UnknownTool
from llmkit.tools.names import known_names
from llmkit.tools.options import Options
from llmkit.tools.result import ToolResult
from llmkit.tools.threads import Threads

if TYPE_CHECKING:
    from openai.lib.responses_tool_runner import AsyncRegisteredFunction
    from openai.types.chat import ChatCompletionFunctionToolParam
    from openai.types.responses import FunctionToolParam

F = TypeVar("F", bound=Callable[..., Any])
_THREADS: Final = 40
_ONE_MESSAGE: Final = ({"role": "user", "content": "Hi"},)


class ToolRegistry:
    """Tools by name, for a request's `tools=` and for running what the model then calls.

    Args:
        tools: Functions, `Tool`s and other registries. (Objects to a type checker: mypy takes a list of functions with
            different signatures for no list of callables.)
        max_concurrency: Calls of one message that run at the same time.
        timeout: Seconds for each call of a tool that says nothing else; None is no limit. A plain function that takes
            longer is left to finish in its thread.
        max_result_tokens: Longer results are cut in the middle.
        approve: Asked before a tool with `needs_approval` runs: returns True, False, `Allow()`, `Deny(reason)` or
            `Edit(arguments)`. Without it such tools do not run.

    Plain functions run in threads, at most 40 at a time (or `max_concurrency`, if that is more).
    """

    def __init__(
        self,
        tools: Iterable[object] = (),
        *,
        max_concurrency: int = 8,
        timeout: float | None = None,
        max_result_tokens: int = 10_000,
        approve: Approve | None = None,
    ) -> None:
        for name, limit in (("max_concurrency", max_concurrency), ("max_result_tokens", max_result_tokens)):
            if limit < 1:
                raise ValueError(f"{name}={limit!r} leaves room for nothing; use at least 1")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout={timeout!r} leaves no time for any call; use more than 0 seconds, or None")
        check_list(tools, instead="ToolRegistry([...])")
        if approve is not None and not callable(approve):
            raise TypeError(f"approve={approve!r:.200} cannot be called; give a function of the call")
        self._approve = approve
        self._limits = Limits(
            max_concurrency=max_concurrency,
            timeout=timeout,
            max_result_tokens=max_result_tokens,
            threads=Threads(max(_THREADS, max_concurrency)),
        )
        self._tools: dict[str, Tool] = {}  # replaced, never changed: who reads it needs no lock
        self._shapes: dict[str, list[dict[str, Any]]] = {}
        self._adding = Lock()
        for tool in tools:
            self._take(tool if isinstance(tool, ToolRegistry) else [_tool(cast("Any", tool))])

    @overload
    def tool(self, function: F, /, **options: Unpack[Options]) -> F: ...
    @overload
    def tool(self, /, **options: Unpack[Options]) -> Callable[[F], F]: ...
    def tool(self, function: F | None = None, /, **options: Unpack[Options]) -> F | Callable[[F], F]:
        """Register a function, as `@registry.tool` or `@registry.tool(timeout=5)`; it comes back as it was."""

        def register(function: F) -> F:
            self.add(function, **options)
            return function

        return register if function is None else register(function)

    def add(self, tool: Callable[..., Any] | Tool, **options: Unpack[Options]) -> Tool:
        """Register a function or a `Tool`; the options win over its own."""
        added = _tool(tool, **options)
        self._take([added])
        return added

    def declare(
        self,
        name: str,
        *,
        parameters: Mapping[str, Any],
        description: str = "",
        strict: bool = False,
        run: Callable[..., Any] | None = None,
        **options: Any,
    ) -> Tool:
        """Register a tool by its JSON schema; without `run` it runs elsewhere, and its calls are not answered here."""
        return self.add(
            declared(name, parameters=parameters, description=description, strict=strict, run=run, **options)
        )

    @property
    def params(self) -> list[ChatCompletionFunctionToolParam]:
        """The `tools` of a Chat request."""
        return cast("list[ChatCompletionFunctionToolParam]", list(self._shape("param")))

    @property
    def responses_params(self) -> list[FunctionToolParam]:
        """The `tools` of a Responses request."""
        return cast("list[FunctionToolParam]", list(self._shape("responses_param")))

    @property
    def names(self) -> list[str]:
        """The tools' names, in the order they came in."""
        return list(self._tools)

    @property
    def limits(self) -> Limits:
        """What holds for all calls: concurrency, time and length."""
        return self._limits

    @property
    def approve(self) -> Approve | None:
        """Who is asked before a tool with `needs_approval` runs."""
        return self._approve

    def __getitem__(self, name: str) -> Tool:
        try:
            return self._tools[name]
        except KeyError:
            raise UnknownTool(f"there is no tool {name!r}; {known_names(name, self._tools)}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def merge(self, *others: ToolRegistry) -> ToolRegistry:
        """A new registry with this one's settings and the tools of all."""
        return self._with([self, *others])

    def __or__(self, other: ToolRegistry) -> ToolRegistry:
        return self.merge(other)

    def subset(self, *names: str) -> ToolRegistry:
        """A new registry with this one's settings and only these tools."""
        return self._with([self[name] for name in names])

    def count_tokens(self, model: str) -> int:
        """What the tools add to the input tokens of a Chat request."""
        with_tools = count_tokens(_ONE_MESSAGE, model=model, tools=self.params or None)
        return with_tools.total - count_tokens(_ONE_MESSAGE, model=model).total

    async def run(self, message: Any, *, dependencies: Any = None, approve: Approve | None = None) -> list[Any]:
        """Run the calls in a model's answer, and return the messages that answer them: one for each, in their order.

        `message` is whatever `calls_in` takes. Calls made through Responses are answered by items for the next
        `input`. Images that Chat's tool messages cannot carry follow in user messages. `dependencies` is what tools
        find in their `ToolContext`; `approve` wins over the registry's own.
        """
        results = await self.dispatch(calls_in(message), dependencies=dependencies, approve=approve)
        messages = [result.message for result in results]
        return messages + [images for result in results if (images := result.image_message) is not None]

    async def dispatch(
        self,
        calls: Sequence[ToolCall],
        *,
        dependencies: Any = None,
        approve: Approve | None = None,
        on_result: OnResult | None = None,
    ) -> list[ToolResult]:
        """Run calls, and return one result for each, in their order; `on_result` gets each as soon as it is there."""
        approve = approve or self._approve
        batch = Batch(self._tools, self._limits, dependencies=dependencies, approve=approve, on_result=on_result)
        return await batch.run(calls)

    def runner_functions(self, dependencies: Any = None) -> list[AsyncRegisteredFunction]:
        """The tools for the SDK's `AsyncResponsesToolRunner(functions=...)`; those that run elsewhere are left out."""
        from openai.lib.responses_tool_runner import AsyncRegisteredFunction

        return [
            AsyncRegisteredFunction(tool.responses_param, partial(self._execute, tool.name, dependencies))  # type: ignore
            for tool in self
            if tool.function is not None
        ]

    async def _execute(self, name: str, dependencies: Any, arguments: Mapping[str, Any]) -> Any:
        call = ToolCall(id="", name=name, arguments=json.dumps(arguments), api="responses")
        [result] = await self.dispatch([call], dependencies=dependencies)
        return result.message["output"]

    def _take(self, tools: Iterable[Tool]) -> None:
        with self._adding:
            taken = dict(self._tools)
            for tool in tools:
                if (other := taken.setdefault(tool.name, tool)) is not tool or other.name in self._tools:
                    raise InvalidTool(_duplicate(tool, other))
            self._tools, self._shapes = taken, {}

    def _with(self, tools: Iterable[Tool | ToolRegistry]) -> ToolRegistry:
        made = ToolRegistry(tools, approve=self._approve)
        made._limits = self._limits
        return made

    def _shape(self, attribute: str) -> list[dict[str, Any]]:
        shapes = self._shapes
        if attribute not in shapes:
            shapes[attribute] = [getattr(tool, attribute) for tool in self]
        return shapes[attribute]


def check_list(tools: object, *, instead: str) -> None:
    """Raise a TypeError for what is no list of tools, such as the one tool itself; it says what to give `instead`."""
    if callable(tools) or isinstance(tools, Tool | Mapping | str) or not hasattr(tools, "__iter__"):
        raise TypeError(f"tools={tools!r:.200} is no list; give {instead}")


def _tool(given: Callable[..., Any] | Tool, **options: Unpack[Options]) -> Tool:
    if isinstance(given, Tool):
        return changed(given, **options) if options else given
    return tool_of(given, **options)


def _duplicate(tool: Tool, other: Tool) -> str:
    places = f"{_place(other)} and {_place(tool)}"
    return f"two tools are named {tool.name!r}: {places}; give one of them another with name="


def _place(tool: Tool) -> str:
    if tool.function is None:
        return "a declared one"
    name = getattr(tool.function, "__qualname__", type(tool.function).__qualname__)
    return f"{getattr(tool.function, '__module__', 'an object')}.{name}"
