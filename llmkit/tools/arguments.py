"""From the raw arguments of a call to what a function is called with."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, NotRequired, Required, cast, get_args, get_origin
from uuid import UUID

from pydantic import (
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    TypeAdapter,
    WrapValidator,
)
from pydantic_core import CoreSchema, core_schema, to_json
from typing_extensions import TypedDict

from llmkit.tools.checked import Reader, Rejected
from llmkit.tools.context import ToolContext
from llmkit.tools.errors import InvalidArguments, InvalidTool
from llmkit.tools.hints import EMPTY, is_union, label
from llmkit.tools.signature import Parameter, Signature

Raw = str | bytes | Mapping[str, Any]
Bound = tuple[list[Any], dict[str, Any]]

OTHERS: Final = "**"
"""The property that stands for `**kwargs` while a JSON schema is made; no parameter has such a name."""
_NEVER_NULL: Final = frozenset[Any](
    (
        str, int, float, bool, bytes, complex, date, datetime, time, timedelta, Decimal, UUID,
        list, dict, set, frozenset, tuple,
    )
)  # fmt: skip
_OWN_VALIDATORS: Final = (BeforeValidator, PlainValidator, WrapValidator)


class _NullForDefault:
    """Lets null through where the parameter has a default, and does not say so in the JSON schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.nullable_schema(handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(cast("Any", schema)["schema"])


_NULL_FOR_DEFAULT: Final = _NullForDefault()


def adapter_of(function: Callable[..., Any], signature: Signature, *, others: bool = False) -> TypeAdapter[Any]:
    """What reads a function's arguments; with `others` one whose JSON schema has the type of `**kwargs`, too."""
    try:
        fields = {each.name: _field(each) for each in signature.parameters}
        if others:
            fields[OTHERS] = NotRequired[signature.extra]
        shape = cast("Any", TypedDict)("Arguments", fields, total=False)
        extra: Literal["allow", "forbid"] = "forbid" if signature.extra is EMPTY else "allow"
        shape.__pydantic_config__ = ConfigDict(extra=extra, hide_input_in_errors=True)
        return TypeAdapter(shape)
    except Exception as error:
        raise invalid_type(function, signature, error) from error


def mapping_of(type_: Any) -> TypeAdapter[Any]:
    """What reads the values of `**kwargs`."""
    return TypeAdapter(cast("Any", dict)[str, type_])


def invalid_type(function: Callable[..., Any], signature: Signature, error: Exception) -> InvalidTool:
    """The error that names the parameter whose type has no schema."""
    where = "a type"
    types = [(each.name, each.annotation) for each in signature.parameters]
    if signature.extra is not EMPTY:
        types.append((signature.extra_name, signature.extra))
    for name, annotation in types:
        try:
            TypeAdapter(annotation).json_schema()
        except Exception as cause:  # noqa: BLE001 - whatever pydantic raises, it is about this type
            where, error = f"{name}: {annotation!r:.200}", cause
            break
    reason = str(error).partition("\n")[0]
    return InvalidTool(
        f"{label(function)}: {where} cannot be read from JSON ({reason}); use another type, give it a default and "
        "bind it with functools.partial, or take it from the ToolContext's dependencies"
    )


def _field(parameter: Parameter) -> Any:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return NotRequired[parameter.annotation]
    if parameter.default is EMPTY:
        return Required[parameter.annotation]
    if never_null(parameter.annotation):
        return NotRequired[Annotated[parameter.annotation, _NULL_FOR_DEFAULT]]
    return NotRequired[parameter.annotation]


def never_null(annotation: Any) -> bool:
    """Whether a type surely does not accept None."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return never_null(inner[0]) and not any(isinstance(each, _OWN_VALIDATORS) for each in inner[1:])
    if origin is Literal:
        return None not in inner
    if is_union(origin):
        return all(never_null(each) for each in inner)
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return all(each.value is not None for each in annotation) and "_missing_" not in vars(annotation)
    return (origin or annotation) in _NEVER_NULL


@dataclass(frozen=True, slots=True, kw_only=True)
class _Positional:
    """A parameter that may have to be passed by position."""

    name: str
    default: Any
    only: bool


class Arguments:
    """Binds the arguments of calls to a function's parameters."""

    __slots__ = (
        "_context",
        "_droppable",
        "_fields",
        "_names",
        "_others",
        "_positional",
        "_reader",
        "_reserved",
        "_star",
    )

    def __init__(self, signature: Signature, *, reader: Reader, others: Reader | None) -> None:
        parameters = signature.parameters
        self._reader = reader
        self._others = others
        self._names = frozenset(each.name for each in parameters)
        self._reserved = signature.reserved
        self._context = signature.context.name if signature.context else None
        self._droppable = tuple(
            each.name for each in parameters if each.default is not EMPTY and never_null(each.annotation)
        )
        self._fields = {each.name: each.field for each in parameters if each.field is not None}
        self._star = next((each.name for each in parameters if each.kind is inspect.Parameter.VAR_POSITIONAL), None)
        self._positional = tuple(_positional(signature, starred=self._star is not None))

    def bind(self, raw: Raw, context: ToolContext[Any] | None, *, show_errors: bool) -> Bound:
        """Positional and keyword arguments; raises InvalidArguments."""
        try:
            values: dict[str, Any] = self._reader.validate(cast("str", raw))
        except Exception:  # noqa: BLE001 - said in full by the second reading
            values = self._read(raw, show_errors)
        for name in self._droppable:
            if name in values and values[name] is None:
                del values[name]
        if self._others is not None:
            values = self._with_others(values, show_errors)
        for name, field in self._fields.items():
            if name not in values:
                values[name] = field.get_default(call_default_factory=True)
        if self._context is not None:
            values[self._context] = context
        return (self._spread(values) if self._positional or self._star else []), values

    def _read(self, raw: Raw, show_errors: bool) -> dict[str, Any]:
        try:
            return cast("dict[str, Any]", self._reader.read(as_text(raw), show_errors=show_errors))
        except Rejected as rejected:
            raise InvalidArguments(str(rejected), kind=rejected.kind) from rejected.__cause__

    def _with_others(self, values: dict[str, Any], show_errors: bool) -> dict[str, Any]:
        """The values, with those of `**kwargs` read as their type."""
        others = {name: values.pop(name) for name in list(values) if name not in self._names}
        if self._reserved.intersection(others):
            raise InvalidArguments("unknown argument; it has a name that is taken")
        try:
            if others and self._others:
                values |= self._others.read(to_json(others), show_errors=show_errors)
            return values
        except Rejected as rejected:
            raise InvalidArguments(str(rejected)) from rejected.__cause__

    def _spread(self, values: dict[str, Any]) -> list[Any]:
        """Take out of the values those that go by position."""
        rest: list[Any] = values.pop(self._star, []) if self._star else []
        taken = [each for each in self._positional if each.only or rest]
        return [*(values.pop(each.name, each.default) for each in taken), *rest]


def as_text(raw: Raw) -> str | bytes:
    """Arguments as JSON text; models send none at all for a function without parameters."""
    if isinstance(raw, str | bytes):
        return raw if raw.strip() else "{}"
    try:
        return to_json(dict(raw))
    except (ValueError, RecursionError) as error:
        raise InvalidArguments(f"the arguments are not JSON data ({type(error).__name__})") from None


def _positional(signature: Signature, *, starred: bool) -> Iterator[_Positional]:
    for each in signature.order:
        only = each.kind is inspect.Parameter.POSITIONAL_ONLY
        if only or (starred and each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD):
            yield _Positional(name=each.name, default=each.default, only=only)
