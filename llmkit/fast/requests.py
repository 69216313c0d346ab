"""Messages, input and tools handed to the SDK without its walk through their types.

The walk costs 100 us a message and changes nothing for plain data. `extra_body` is not walked, and replaces a typed
parameter in its place: so that is how plain data is handed over.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import openai

from llmkit import _sdk
from llmkit.fast.plain import NotPlain, plain_list
from llmkit.fast.shapes import walk_changes_nothing

ResourceT = TypeVar("ResourceT")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class _Surface:
    params: str
    """The SDK's type of the body, below `openai.types`."""
    methods: Mapping[str, tuple[str, ...]]
    """The parameters that each method sends as they are given."""


_CHAT: Final = _Surface(
    "chat.completion_create_params.CompletionCreateParamsNonStreaming",
    {"create": ("messages", "tools"), "parse": ("messages",)},
)
_RESPONSES: Final = _Surface(
    "responses.response_create_params.ResponseCreateParamsNonStreaming",
    {"create": ("input", "tools"), "parse": ("input",)},
)
_BETA_RESPONSES: Final = _Surface(
    "beta.response_create_params.ResponseCreateParamsNonStreaming", {"create": ("input", "tools")}
)
_EMBEDDINGS: Final = _Surface("embedding_create_params.EmbeddingCreateParams", {"create": ("input",)})


def _both(surfaces: dict[str, ValueT]) -> dict[str, ValueT]:
    """By the full names of the SDK's sync and async classes."""
    return {
        f"openai.resources.{name.format(prefix)}": value for name, value in surfaces.items() for prefix in ("", "Async")
    }


SURFACES: Final = _both(
    {
        "chat.completions.completions.{}Completions": _CHAT,
        "responses.responses.{}Responses": _RESPONSES,
        "beta.responses.responses.{}Responses": _BETA_RESPONSES,
        "embeddings.{}Embeddings": _EMBEDDINGS,
    }
)
_PARENTS: Final = _both({"chat.chat.{}Chat": ("completions",), "beta.beta.{}Beta": ("chat", "responses")})


def hasten(resource: ResourceT) -> ResourceT:
    """Have a resource of the SDK skip the walk from now on; one that is not exactly the SDK's own is left alone."""
    cls = type(resource)
    if f"{cls.__module__}.{cls.__qualname__}" in {*SURFACES, *_PARENTS}:
        cast("Any", resource).__class__ = _hastened(cast("Any", cls))
    return resource


@functools.cache
def _hastened(cls: type[Any]) -> type[Any]:
    # The name and the docs stay, and whoever replaces a method of the SDK's class is still asked first.
    named = {"__doc__": cls.__doc__, "__module__": cls.__module__, "__qualname__": cls.__qualname__}
    hastened = type(cls.__name__, (cls,), named)
    name = f"{cls.__module__}.{cls.__qualname__}"
    for child in _PARENTS.get(name, ()):
        add_hastened(hastened, child)
    if surface := SURFACES.get(name):
        for method, fields in surface.methods.items():
            setattr(hastened, method, _Method(hastened, method, surface, fields))
    return hastened


def add_hastened(cls: Any, name: str, *, when: Callable[[Any], bool] = lambda _: True) -> None:
    """Give `cls` the property `name` of its base, hastened `when` the instance wants it."""

    def get(self: Any) -> Any:
        resource = getattr(cast("Any", super(cls, self)), name)
        return hasten(resource) if when(self) else resource

    member = functools.cached_property(get)
    setattr(cls, name, member)
    member.__set_name__(cls, name)


class _Method:
    """A method of the SDK that hands its data over untyped; a function for all who inspect it."""

    def __init__(self, cls: Any, name: str, surface: _Surface, fields: tuple[str, ...]) -> None:
        original: Any = getattr(cls, name)
        functools.update_wrapper(cast("Callable[..., Any]", self), original)
        for attribute in ("__code__", "__defaults__", "__kwdefaults__"):  # by which `inspect` knows a function
            setattr(self, attribute, getattr(original, attribute, None))
        self._of = cls
        self._name = name
        self._surface = surface
        self._fields = fields

    def __get__(self, resource: Any, owner: Any = None) -> Any:
        return self if resource is None else types.MethodType(self, resource)

    def __call__(self, resource: Any, *args: Any, **params: Any) -> Any:
        """Call the SDK's method, quicker where that is the same."""
        method = getattr(cast("Any", super(self._of, resource)), self._name)
        if args or self._fields[0] not in params or not _sdk.is_own(method):
            return method(*args, **params)
        if not _sdk.is_async_resource(resource):
            return method(**untyped(params, self._surface, self._fields))
        method(**params).close()  # a wrong argument is an error now; the data is read when the call is awaited
        later: Any = self._later(method, params)
        later.__name__, later.__qualname__ = method.__name__, method.__qualname__  # for Python's "was never awaited"
        return later

    async def _later(self, method: Callable[..., Any], params: dict[str, Any]) -> Any:
        return await method(**untyped(params, self._surface, self._fields))


class _Moved(list[Any]):
    """A parameter that went to `extra_body`; an empty list keeps its place."""


class _MovedModel(str):
    """The model, where it went to `extra_body`; it comes first in every body."""

    __slots__ = ()


def untyped(params: dict[str, Any], surface: _Surface, fields: tuple[str, ...]) -> dict[str, Any]:
    """`params` with the model and what is plain of `fields` moved to `extra_body`; the caller's `extra_body` wins.

    They are the same JSON there; `settle` puts them back in their places before the SDK builds its request.
    """
    extra: dict[str, Any] | None = params.get("extra_body")
    if extra is not None and extra.__class__ is not dict:
        return params
    moved: dict[str, Any] = {}
    for field in fields:
        value = params.get(field)
        if value.__class__ is list and value and walk_changes_nothing(surface.params, field):
            try:
                moved[field] = _Moved(plain_list(value))
            except (NotPlain, RecursionError):
                continue
    if not moved:
        return params
    places: dict[str, Any] = {field: [] for field in moved}
    given = {key: value for key, value in (extra or {}).items() if not isinstance(value, openai.NotGiven)}
    if params.get("model").__class__ is str and "model" not in given:
        moved["model"], places["model"] = _MovedModel(params["model"]), openai.omit
    return {**params, **places, "extra_body": {**moved, **given}}


def settle(options: _sdk.Options) -> None:
    """Put what `untyped` moved where the SDK would have it: among the typed parameters, in their order."""
    typed: Any = options.json_data
    extra: Any = options.extra_json
    if extra.__class__ is not dict or typed.__class__ is not dict:
        return
    moved: dict[str, Any] = {key: [*value] for key, value in extra.items() if value.__class__ is _Moved}
    model = extra.get("model")
    first = {"model": str(model)} if model.__class__ is _MovedModel else {}
    if moved or first:
        options.json_data = {**first, **typed, **moved}
        options.extra_json = {key: value for key, value in extra.items() if key not in moved | first} or None
