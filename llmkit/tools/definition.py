"""A function as a tool: what the model is shown of it, and how a call is bound to it."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar, cast, overload

from pydantic_core import from_json
from typing_extensions import Unpack

from llmkit.tools.arguments import Bound, Raw, as_text
from llmkit.tools.context import ToolContext
from llmkit.tools.errors import InvalidArguments, InvalidTool
from llmkit.tools.function import function_arguments
from llmkit.tools.hints import is_partial, label, resolve
from llmkit.tools.options import Options, ToolOptions, check_name

__all__ = ["Tool", "ToolOptions", "declared", "tool", "tool_of"]

F = TypeVar("F", bound=Callable[..., Any])
_ATTRIBUTE: Final = "__llmkit_tool__"


class Binder(Protocol):
    """Binds the raw arguments of a call; raises InvalidArguments."""

    def bind(self, raw: Raw, context: ToolContext[Any] | None, *, show_errors: bool) -> Bound:
        """Positional and keyword arguments."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tool:
    """What a model may call. Made by `ToolRegistry.add`, `tool_of` or `declared`."""

    name: str
    description: str
    parameters: dict[str, Any]
    """The JSON schema of an object; not to be changed."""
    strict: bool
    function: Callable[..., Any] | None
    """None for a tool that runs elsewhere."""
    options: ToolOptions
    takes_context: bool
    is_async: bool
    """A call surely gives an awaitable or an async generator; any other function runs in a thread."""
    _binder: Binder = field(repr=False)

    @property
    def param(self) -> dict[str, Any]:
        """The tool for `client.chat.completions.create(tools=[...])`."""
        return {"type": "function", "function": self._shown()}

    @property
    def responses_param(self) -> dict[str, Any]:
        """The tool for `client.responses.create(tools=[...])`."""
        return {"type": "function", **self._shown()}

    def bind(self, arguments: Raw, *, context: ToolContext[Any] | None = None) -> Bound:
        """Positional and keyword arguments for `function`; raises InvalidArguments, whose text is for the model."""
        return self._binder.bind(arguments, context, show_errors=self.options.show_errors)

    def _shown(self) -> dict[str, Any]:
        described = {"description": self.description} if self.description else {}
        return {"name": self.name, **described, "parameters": self.parameters, "strict": self.strict}


@dataclass(slots=True, kw_only=True)
class _Mark:
    """What `@tool` leaves on a function."""

    function: Any
    options: ToolOptions
    hints: Mapping[str, Any]
    tool: Tool | None = None


@overload
def tool(function: F, /, **options: Unpack[Options]) -> F: ...
@overload
def tool(**options: Unpack[Options]) -> Callable[[F], F]: ...
def tool(function: F | None = None, /, **options: Unpack[Options]) -> F | Callable[[F], F]:
    """Make a function a tool, with or without options; returns the function itself.

    The model sees its name, its docstring and its parameters, described by `Field(description=...)` or by the
    docstring's `Args:`. `strict=None` is strict where the types allow it. See `ToolOptions` for the others.
    """
    if function is not None:
        return _marked(function, ToolOptions(**options), sys._getframe(1).f_locals)  # pyright: ignore[reportPrivateUsage]
    chosen = ToolOptions(**options)

    def mark(function: F) -> F:
        return _marked(function, chosen, sys._getframe(1).f_locals)  # pyright: ignore[reportPrivateUsage]

    return mark


def tool_of(
    function: Callable[..., Any], *, localns: Mapping[str, Any] | None = None, **options: Unpack[Options]
) -> Tool:
    """The tool of a function; raises InvalidTool.

    The options win over those of the decorator. Names in annotations are looked up where the function was defined,
    and then in `localns`.
    """
    mark = _mark_of(function)
    is_marked = mark is not None and mark.function is function
    if mark is not None and mark.tool is not None and is_marked and not options:
        return mark.tool
    chosen = replace(mark.options if mark else ToolOptions(), **options)
    if not callable(function):
        raise InvalidTool(f"{function!r:.200} is a {type(function).__name__}, which cannot be called; give a function")
    name = _name_of(function, chosen)
    shown, binder = function_arguments(
        function, strict=chosen.strict, hints=mark.hints if mark else {}, localns=localns
    )
    made = Tool(
        name=name,
        description=shown.description if chosen.description is None else chosen.description,
        parameters=shown.parameters,
        strict=shown.strict,
        function=function,
        options=chosen,
        takes_context=shown.takes_context,
        is_async=_is_async(function),
        _binder=binder,
    )
    if mark is not None and is_marked and not options:
        mark.tool = made
    return made


def changed(tool: Tool, **options: Unpack[Options]) -> Tool:
    """The tool with these options in place of its own; raises InvalidTool for another `strict`: its schema is made."""
    strict = options.get("strict")
    if strict not in (None, tool.strict):
        raise InvalidTool(f"strict={strict!r} is too late for the tool {tool.name!r}; make it anew")
    name, description = options.get("name"), options.get("description")
    return replace(
        tool,
        name=tool.name if name is None else name,
        description=tool.description if description is None else description,
        options=replace(tool.options, **options),
    )


def declared(
    name: str,
    *,
    parameters: Mapping[str, Any],
    description: str = "",
    strict: bool = False,
    run: Callable[..., Any] | None = None,
    **options: Any,
) -> Tool:
    """A tool with a ready JSON schema, as MCP servers give them; `run` gets the arguments as keywords.

    Without `run` it is shown to the model and runs elsewhere. Arguments are checked to be a JSON object, not against
    the schema. Raises InvalidTool.
    """
    chosen = ToolOptions(name=name, description=description, strict=strict, **options)
    if not isinstance(parameters, Mapping) or (parameters and parameters.get("type") != "object"):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTool(
            f"tool {name!r}: its parameters, {parameters!r:.200}, are no JSON schema of an object; "
            'give {"type": "object", "properties": {...}}'
        )
    return Tool(
        name=name,
        description=description,
        parameters=copy.deepcopy(dict(parameters)) or {"type": "object", "properties": {}},
        strict=strict,
        function=run,
        options=chosen,
        takes_context=False,
        is_async=run is not None and _is_async(run),
        _binder=_AnyObject(),
    )


class _AnyObject:
    """Binds any JSON object as keyword arguments."""

    def bind(self, raw: Raw, context: ToolContext[Any] | None, *, show_errors: bool) -> Bound:
        text = as_text(raw)
        try:
            values = from_json(text)
        except (TypeError, ValueError) as error:  # TypeError: a lone surrogate
            reason = str(error) if isinstance(error, ValueError) else "text that is no Unicode"
            raise InvalidArguments(f"the arguments must be valid JSON: {reason}", kind="invalid_json") from None
        if not isinstance(values, dict):
            raise InvalidArguments("the arguments must be a JSON object")
        return [], cast("dict[str, Any]", values)


def _marked(function: F, options: ToolOptions, localns: Mapping[str, Any]) -> F:
    given: Any = function
    what = f"{given!r:.200} is a {type(given).__name__}"
    written: Any = cast("Any", given).__func__ if isinstance(given, classmethod | staticmethod) else given
    if not callable(written) or isinstance(written, Tool):
        raise InvalidTool(f"{what}, which cannot be a tool; give a function")
    _name_of(written, options)
    mark = _Mark(function=written, options=options, hints=resolve(written, localns=localns))
    try:
        setattr(written, _ATTRIBUTE, mark)
    except (AttributeError, TypeError):
        raise InvalidTool(f"{label(given)} takes no mark; use ToolRegistry.add(function, name=...) for it") from None
    return function


def _mark_of(function: Any) -> _Mark | None:
    return getattr(function, _ATTRIBUTE, None)


def _name_of(function: Any, options: ToolOptions) -> str:
    name = options.name or getattr(function, "__name__", "")
    if not name or name == "<lambda>":
        raise InvalidTool(f"{label(function)} has no name of its own; give name=")
    check_name(name)
    return name


def _is_async(function: Any) -> bool:
    while is_partial(function):
        function = function.func
    if not inspect.isroutine(function) and not inspect.isclass(function):
        function = type(function).__call__
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
