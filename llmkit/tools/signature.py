"""What a function takes: its parameters with their types resolved."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, NotRequired, Required, get_args, get_origin

from pydantic.fields import FieldInfo
from typing_extensions import Unpack, is_typeddict

from llmkit.tools.errors import InvalidTool
from llmkit.tools.hints import (
    EMPTY,
    Hints,
    innermost,
    is_context,
    label,
    lexical,
    resolved,
    specialized,
    type_arguments,
    visible,
)

ABSENT: Final = object()
"""The default of what is just left out."""


_UNPACK: Final = (Unpack, typing.Unpack)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter that the model fills in; `annotation` is resolved, `default` is EMPTY without one."""

    name: str
    annotation: Any
    kind: inspect._ParameterKind  # pyright: ignore[reportPrivateUsage]
    default: Any = EMPTY
    field: FieldInfo | None = None
    """The `Field(...)` that holds the default, which Python itself would not fill in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What the model fills in, and what it does not see."""

    parameters: tuple[Parameter, ...]
    extra: Any = EMPTY
    """The type of each `**kwargs` value; EMPTY without `**kwargs`."""
    extra_name: str = ""
    """How errors call `**kwargs`."""
    context: inspect.Parameter | None = None
    """The parameter that takes the `ToolContext`."""
    order: tuple[inspect.Parameter, ...] = ()
    """All that is not bound, the context included, as the function has it."""
    reserved: frozenset[str] = frozenset()
    """Names that no `**kwargs` key may have: arguments that are bound already."""


def read_signature(function: Callable[..., Any], hints: Hints, *, localns: Hints | None = None) -> Signature:
    """The signature of a function; `hints` are types resolved before. Raises InvalidTool."""
    shown = visible(function)
    _check_bound(function, shown)
    types = {**resolved(function, shown, localns, strictly=True, known=hints), **hints}
    if arguments := type_arguments(function):
        types = {name: specialized(each, arguments) for name, each in types.items()}
    contexts = [each for each in shown if is_context(types.get(each.name, each.annotation)) and _ordinary(each)]
    if len(contexts) > 1:
        names = " and ".join(each.name for each in contexts)
        raise InvalidTool(f"{label(function)}: {names} both take the ToolContext; keep one of them")
    parameters: list[Parameter] = []
    extra: Any = EMPTY
    for each in shown:
        if each in contexts:
            continue
        annotation = types[each.name]
        if each.kind is not each.VAR_KEYWORD:
            parameters.append(_parameter(each, annotation))
        elif get_origin(annotation) in _UNPACK and is_typeddict(get_args(annotation)[0]):
            parameters += _unpacked(get_args(annotation)[0], {**(localns or {}), **lexical(innermost(function))})
        else:
            extra = annotation
    reserved = frozenset[str]()
    if extra is not EMPTY:
        reserved = frozenset(_all_names(function)).difference(each.name for each in parameters)
    return Signature(
        parameters=tuple(parameters),
        extra=extra,
        extra_name=f"**{shown[-1].name}" if extra is not EMPTY else "",
        context=contexts[0] if contexts else None,
        order=tuple(shown),
        reserved=reserved,
    )


def _check_bound(function: Any, parameters: list[inspect.Parameter]) -> None:
    """Raise InvalidTool for a method that was taken from its class."""
    owner = getattr(function, "__qualname__", "").rpartition(".")[0]
    if not inspect.isroutine(function) or inspect.ismethod(function) or not owner or owner.endswith("<locals>"):
        return
    if parameters and parameters[0].name in ("self", "cls") and parameters[0].annotation is EMPTY:
        raise InvalidTool(f"{label(function)} is a method without its object; give object.{function.__name__}")


def _all_names(function: Callable[..., Any]) -> Iterator[str]:
    for each in inspect.signature(innermost(function)).parameters.values():
        if _ordinary(each) and each.kind is not each.POSITIONAL_ONLY:
            yield each.name


def _ordinary(parameter: inspect.Parameter) -> bool:
    return parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)


def _parameter(each: inspect.Parameter, annotation: Any) -> Parameter:
    """A parameter, with a `Field(...)` default taken as part of its type."""
    if each.kind is each.VAR_POSITIONAL:
        return Parameter(name=each.name, annotation=annotation, kind=each.kind)
    parameter = Parameter(name=each.name, annotation=annotation, kind=each.kind, default=each.default)
    if isinstance(each.default, FieldInfo):
        parameter = replace(parameter, annotation=Annotated[annotation, each.default], default=EMPTY)
    return _with_field_default(parameter)


def _with_field_default(parameter: Parameter) -> Parameter:
    if parameter.default is EMPTY and get_origin(parameter.annotation) is Annotated:
        for each in get_args(parameter.annotation)[1:]:
            if isinstance(each, FieldInfo) and not each.is_required():
                return replace(parameter, default=each.get_default(call_default_factory=True), field=each)
    return parameter


def _unpacked(shape: Any, localns: dict[str, Any]) -> Iterator[Parameter]:
    """The keys of `**kwargs: Unpack[shape]`; those that may be missing have a default nobody sees."""
    for name, hint in typing.get_type_hints(shape, localns=localns, include_extras=True).items():
        required = name in shape.__required_keys__  # which overlooks NotRequired in annotations that are text
        while get_origin(hint) in (Required, NotRequired):
            required = get_origin(hint) is Required
            hint = get_args(hint)[0]
        default = EMPTY if required else ABSENT
        yield Parameter(name=name, annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY, default=default)
