"""The types that annotations mean, also where they are text: names are looked up where a function was defined."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Annotated, Any, Final, ForwardRef, TypeVar, Union, cast, get_args, get_origin

from typing_extensions import TypeIs

from llmkit.tools.context import ToolContext
from llmkit.tools.errors import InvalidTool

EMPTY: Final = inspect.Parameter.empty
_CONTEXT: Final = re.compile(r"\bToolContext\b")

Hints = Mapping[str, Any]


def resolve(function: Callable[..., Any], *, localns: Hints | None = None) -> dict[str, Any]:
    """The types of the parameters that can be resolved now; that of `*args` is a list."""
    return resolved(function, visible(function), localns, strictly=False, known={})


def resolved(
    function: Callable[..., Any],
    parameters: list[inspect.Parameter],
    localns: Hints | None,
    *,
    strictly: bool,
    known: Hints,
) -> dict[str, Any]:
    """The types of the parameters not `known` yet; InvalidTool names one that cannot be resolved, if `strictly`."""
    inner = innermost(function)
    scope: tuple[Hints, Hints] | None = None
    resolved: dict[str, Any] = {}
    for each in parameters:
        if each.name in known:
            continue
        annotation = Any if each.annotation is EMPTY else each.annotation
        if not isinstance(annotation, type) or get_args(annotation):
            scope = scope or (lexical(inner), {**(localns or {}), **_class_names(function)})
            try:
                annotation = _evaluated(each.name, annotation, inner, scope)
            except Exception as error:  # evaluating an annotation may raise anything
                if is_context(annotation) or not strictly:
                    continue
                raise InvalidTool(
                    f"{label(function)}: the type of {each.name}, {annotation!r}, cannot be resolved "
                    f"({type(error).__name__}: {error}); import or define it where the function is defined, "
                    "or put @tool there, which sees local names"
                ) from error
        resolved[each.name] = cast("Any", list)[annotation] if each.kind is each.VAR_POSITIONAL else annotation
    return resolved


def is_partial(value: object) -> TypeIs[functools.partial[Any]]:
    """Whether a value is a `functools.partial`."""
    return isinstance(value, functools.partial)


def innermost(function: Any) -> Any:
    """The function that was written: without partials, wrappers and instances around it."""
    while True:
        if is_partial(function):
            function = function.func
        elif isinstance(function, types.MethodType):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif inspect.isroutine(function) or inspect.isclass(function):
            return function
        else:
            function = type(function).__call__


def label(function: Any) -> str:
    """How errors call a function."""
    inner = innermost(function)
    return f"tool {getattr(inner, '__qualname__', None) or type(function).__qualname__!r}"


def visible(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters that are not bound yet."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        raise InvalidTool(f"{label(function)} has no signature ({error}); wrap it in a function that has one") from None
    partial = function
    bound: set[str] = set()
    while is_partial(partial):
        bound |= partial.keywords.keys()
        partial = partial.func
    return [each for each in found if each.name not in bound]


def is_union(origin: Any) -> bool:
    """Whether `get_origin` gave a union."""
    return origin is Union or origin is types.UnionType


def is_context(annotation: Any) -> bool:
    """Whether a parameter of this type takes the ToolContext."""
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):  # it cannot be resolved, as what is imported under TYPE_CHECKING
        return _CONTEXT.search(annotation) is not None
    origin = get_origin(annotation)
    if origin is Annotated or is_union(origin):
        return any(is_context(each) for each in get_args(annotation))
    return annotation is ToolContext or get_origin(annotation) is ToolContext


def _evaluated(name: str, annotation: Any, inner: Any, scope: tuple[Hints, Hints]) -> Any:
    lexical, fallback = scope
    shape = types.SimpleNamespace(
        __annotations__={name: annotation}, __type_params__=getattr(inner, "__type_params__", ())
    )
    globalns = _globals(inner)
    try:
        return typing.get_type_hints(shape, globalns, dict(lexical), include_extras=True)[name]
    except NameError:
        visible = {**fallback, **globalns, **lexical}
        return typing.get_type_hints(shape, visible, visible, include_extras=True)[name]


def _globals(inner: Any) -> dict[str, Any]:
    module = sys.modules.get(getattr(inner, "__module__", None) or "")
    return getattr(inner, "__globals__", None) or getattr(module, "__dict__", {})


def _class_names(function: Any) -> dict[str, Any]:
    """What the class body of a method defines."""
    owner = getattr(function, "__self__", None)
    if owner is None or inspect.isbuiltin(function):
        return {}
    classes = (owner if inspect.isclass(owner) else type(owner)).__mro__
    return {name: value for each in reversed(classes[:-1]) for name, value in vars(each).items()}


def lexical(inner: Any) -> dict[str, Any]:
    """The names around a function's definition: of the functions and classes being run now, and its closure."""
    names: dict[str, Any] = {}
    if not inspect.isfunction(inner):
        return names
    frames: list[FrameType] = []
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        if frame.f_globals is inner.__globals__ and inner.__qualname__.startswith(frame.f_code.co_qualname + "."):
            frames.append(frame)
        frame = frame.f_back
    for each in reversed(frames):
        names |= each.f_locals
    for name, cell in zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # not assigned yet
            names[name] = cell.cell_contents
    return names


def type_arguments(function: Any) -> dict[Any, Any]:
    """What the type variables of a method's class stand for: in `Box[int]().put`, or below `class Ints(Box[int])`."""
    owner: object = getattr(function, "__self__", None)
    aliases: list[Any] = [getattr(owner, "__orig_class__", None), *getattr(type(owner), "__orig_bases__", ())]
    pairs = [zip(getattr(get_origin(each), "__parameters__", ()), get_args(each), strict=False) for each in aliases]
    return {variable: argument for pair in pairs for variable, argument in pair}


def specialized(annotation: Any, arguments: Mapping[Any, Any]) -> Any:
    """A type with its type variables replaced."""
    if isinstance(annotation, TypeVar):
        return arguments.get(annotation, annotation)
    variables = () if inspect.isclass(annotation) else getattr(annotation, "__parameters__", ())
    chosen = tuple(arguments.get(each, each) for each in variables)
    return cast("Any", annotation)[chosen] if chosen else annotation
