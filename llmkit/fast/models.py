"""The SDK's answers and stream events, validated straight from JSON where that gives the object the SDK would build."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, get_args, get_origin

import openai
import openai.types
import pydantic

from llmkit.fast.shapes import constructed_types, variants_of, without_notes
from llmkit.record import logger

Build = Callable[[bytes | str], Any]
"""Builds a model from JSON; a ValueError leaves it to the SDK, whose way takes anything."""

_KNOWN: Final = frozenset(
    {
        "openai.types.chat.chat_completion.ChatCompletion",
        "openai.types.chat.chat_completion_chunk.ChatCompletionChunk",
        "openai.types.completion.Completion",
        "openai.types.create_embedding_response.CreateEmbeddingResponse",
        "openai.types.responses.response.Response",
    }
)
_TYPE: Final = re.compile(r'"type": ?"([^"\\]+)"')
_EXACT: Final = 2.0**53
"""The SDK keeps an integer that no float can hold exactly; pydantic makes a float of it."""


_CONTROLS: Final = frozenset({"_fields_set", "_BaseModel__cls"})
"""Keys of JSON that the SDK takes for arguments of its own."""


class NotCertain(ValueError):
    """The SDK may build another object from this JSON."""


def builder(model: Any) -> Build | None:
    """How to build `model`, a type of the SDK; None for those of which only the SDK knows how."""
    if f"{getattr(model, '__module__', '')}.{getattr(model, '__qualname__', '')}" in _KNOWN:
        return _class_builder(model)
    return _union_builder(model) if get_origin(model) is Annotated else None


@functools.cache
def _class_builder(model: type[pydantic.BaseModel]) -> Build | None:
    kinds = constructed_types(model)
    if kinds is not None:
        with_floats = {owner for owner, kind in kinds if kind is float}
        if not with_floats:
            return _strictly(model)
        if with_floats == {model} and not any(float in get_args(kind) for _, kind in kinds):
            return functools.partial(_build_exactly, _strictly(model))
        if with_floats == {openai.types.Embedding}:
            return _embeddings_builder(model)
    logger.warning("openai %s: %s is built the SDK's slower way", openai.__version__, model.__qualname__)
    return None


def _strictly(model: Any) -> Build:
    validate, forget = _validator(model), _forgetter(model)

    def build(json: bytes | str) -> Any:
        built = validate(json, strict=True)  # where the SDK constructs, it coerces nothing
        forget(built)
        return built

    return build


def _forgetter(model: type[pydantic.BaseModel]) -> Callable[[Any], None]:
    """Makes extra fields count as not set wherever the SDK constructs; pydantic counts them as set."""
    inside = [(name, inner) for name, field in model.model_fields.items() if (inner := _inner(field.annotation))]

    def forget(built: Any) -> None:
        extra = built.__pydantic_extra__
        if extra:
            if not _CONTROLS.isdisjoint(extra):
                raise NotCertain
            built.__pydantic_fields_set__.difference_update(extra)
        values = built.__dict__
        for name, inner in inside:
            inner(values[name])

    return forget


def _inner(kind: Any) -> Callable[[Any], None] | None:
    kind = without_notes(kind)
    origin, args = get_origin(kind), get_args(kind)
    if origin is None:
        return _forgetter(kind) if isinstance(kind, type) and issubclass(kind, openai.BaseModel) else None
    inner = _inner(args[-1]) if args and origin in (list, dict) else None
    if inner is None:
        return None

    def forget_all(values: Any) -> None:
        for value in values if origin is list else values.values():
            inner(value)

    return forget_all


def _build_exactly(build: Build, json: bytes | str) -> Any:
    built = build(json)
    if any(value.__class__ is float and abs(value) >= _EXACT for _, value in built):
        raise NotCertain
    return built


@functools.lru_cache(32)
def _union_builder(model: Any) -> Build | None:
    variants = variants_of(model)
    return functools.partial(_build_variant, variants) if variants else None


def _build_variant(variants: dict[str, Any], json: bytes | str) -> Any:
    """The SDK validates each member of a union in turn; the type names the one that can match."""
    named = _TYPE.search(json if isinstance(json, str) else json.decode())
    variant = variants.get(named[1]) if named else None
    if variant is None:
        raise NotCertain
    return _validator(variant)(json)


@functools.lru_cache(256)
def _validator(model: Any) -> Callable[..., Any]:
    validate: Callable[..., Any] = _adapter(model).validator.validate_json
    return validate


def _adapter(model: Any) -> pydantic.TypeAdapter[Any]:
    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(model)
    adapter.rebuild()  # the SDK's models are built when they are first needed
    return adapter


@functools.cache
def _embeddings_builder(model: Any) -> Build:
    """Embeddings come as base64 text, which the SDK decodes when they are built."""
    item = get_args(model.model_fields["data"].annotation)[0]
    exact = Annotated[float, pydantic.Field(gt=-_EXACT, lt=_EXACT)]
    derived: Any = pydantic.create_model
    loose: Any = derived("Embedding", __base__=item, embedding=(list[exact] | str, ...))
    items: Any = list.__class_getitem__(loose)
    forget = _forgetter(model)
    validate = _validator(derived("Embeddings", __base__=model, data=(items, ...)))

    def build(json: bytes | str) -> Any:
        answer = validate(json, strict=True)
        for embedding in answer.data:
            embedding.__class__ = item
        answer.__class__ = model
        forget(answer)
        return answer

    return build
