"""What the SDK's own types say of how it will treat data: asked once for each type, of whatever SDK is installed."""

from __future__ import annotations

import functools
import importlib
import typing
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import openai
import pydantic
import typing_extensions

from llmkit import _sdk
from llmkit.record import logger

_LEAVES: Final = frozenset({str, int, bool, float, object, Any})


@functools.cache
def walk_changes_nothing(params: str, field: str) -> bool:
    """Whether the SDK sends plain data in `field` of its type `params` as it is, also as part of `extra_body`.

    False, and a warning, where this SDK renames a key somewhere below, or has no such type any more.
    """
    module, _, name = params.rpartition(".")
    try:
        body = getattr(importlib.import_module(f"openai.types.{module}"), name)
        field_type = typing.get_type_hints(body, include_extras=True)[field]
        if not _sdk.replaces_in_place():
            reason = "merges extra_body otherwise"
        elif _renames(field_type):
            reason = "renames a key in it"
        else:
            return True
    except (ImportError, AttributeError, KeyError, NameError, TypeError) as error:
        reason = f"has moved it ({type(error).__name__})"
    logger.warning("openai %s %s: %s of %s goes the SDK's slower way", openai.__version__, reason, field, params)
    return False


def _renames(annotation: Any) -> bool:
    """Whether a key has another name on the wire, anywhere in the types below `annotation`."""
    seen: set[Any] = set()
    todo = [annotation]
    while todo:
        found = todo.pop()
        if isinstance(found, _sdk.PropertyInfo):
            if found.alias is not None:
                return True
        elif found not in seen:
            seen.add(found)
            if typing_extensions.is_typeddict(found):
                todo += typing.get_type_hints(found, include_extras=True).values()
            todo += [*get_args(found), *getattr(found, "__metadata__", ()), getattr(found, "__value__", None)]
    return False


def variants_of(model: Any) -> dict[str, Any]:
    """The members of a union of models that the SDK tells apart by `type`, by that; empty when it is no such union."""
    union, *metadata = get_args(model) if get_origin(model) is Annotated else (model,)
    if not any(isinstance(item, _sdk.PropertyInfo) and item.discriminator == "type" for item in metadata):
        return {}
    members = [(kind, variant) for variant in get_args(union) for kind in _kinds(variant)]
    if set(get_args(union)) - {variant for _, variant in members}:
        return {}
    names = [kind for kind, _ in members]
    return {kind: variant for kind, variant in members if names.count(kind) == 1}


def _kinds(variant: Any) -> tuple[Any, ...]:
    """What `type` may be in a model that requires it."""
    fields: dict[str, Any] = getattr(variant, "model_fields", {})
    field = fields.get("type")
    if field is None or not field.is_required() or get_origin(field.annotation) is not Literal:
        return ()
    return get_args(field.annotation)


def constructed_types(model: Any) -> set[tuple[Any, Any]] | None:
    """The types of the values that the SDK puts into `model` without validating, each with the model it stands in.

    Unions, and so all that may be null, it validates. None when it does more with these values than to keep them.
    """
    found: set[tuple[Any, Any]] = set()
    todo: list[tuple[Any, Any]] = [(model, model)]
    while todo:
        owner, kind = todo.pop()
        kind = without_notes(kind)
        origin = get_origin(kind)
        if (owner, kind) in found or _sdk.is_union(origin) or origin is Literal:
            continue
        found.add((owner, kind))
        if origin in (list, dict):
            todo += [(owner, inner) for inner in get_args(kind)[-1:]]
        elif isinstance(kind, type) and issubclass(kind, openai.BaseModel):
            if not _is_plain(kind):
                return None
            todo += [(kind, field.annotation) for field in kind.model_fields.values()]
        elif kind not in _LEAVES:
            return None
    return found


def without_notes(kind: Any) -> Any:
    """The type that the SDK has put notes on; a type with notes of others is left as it is."""
    if get_origin(kind) is Annotated and all(isinstance(item, _sdk.PropertyInfo) for item in get_args(kind)[1:]):
        return get_args(kind)[0]
    return kind


def _is_plain(model: type[pydantic.BaseModel]) -> bool:
    """Whether validating `model` does nothing but take over its fields under their own names."""
    decorators = model.__pydantic_decorators__
    validators = (decorators.validators, decorators.field_validators, decorators.model_validators)
    return not (
        any(validators)
        or not all(map(_is_plain_field, model.model_fields.values()))
        or model.__pydantic_post_init__
        or model.__pydantic_custom_init__
        or model.model_config != openai.BaseModel.model_config
        or any("__pydantic_extra__" in vars(cls).get("__annotations__", ()) for cls in _between(model))
    )


def _is_plain_field(field: Any) -> bool:
    """Whether a field has its own name, nothing to check but its type, and no default but None."""
    optional = field.default is None and _sdk.is_union(get_origin(field.annotation))
    return (
        (field.is_required() or optional)
        and {field.alias, field.validation_alias} == {None}
        and all(isinstance(item, _sdk.PropertyInfo) for item in field.metadata)
    )


def _between(model: type[Any]) -> list[type[Any]]:
    return [cls for cls in model.__mro__ if cls not in openai.BaseModel.__mro__]
