"""The drop-in clients: the SDK's own, with a middleware stack around `request`."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar, Unpack, cast

import httpx2
import openai

from llmkit import _sdk
from llmkit.attempt import Attempt
from llmkit.call import Call
from llmkit.fast import members as fast
from llmkit.fast.bodies import send_remembered
from llmkit.fast.events import quick
from llmkit.fast.requests import settle
from llmkit.middleware.context import Context
from llmkit.middleware.retry import Retry
from llmkit.middleware.usage_log import UsageLog
from llmkit.request import Middleware, check_middleware
from llmkit.sync import drive
from llmkit.transport import SyncTransport, Transport, new_http_client

if TYPE_CHECKING:
    from openai.auth import WorkloadIdentity, X509WorkloadIdentity

    from llmkit.middleware.key_ring import KeyRing

ClientT = TypeVar("ClientT", bound="openai.OpenAI | openai.AsyncOpenAI")
AnyT = TypeVar("AnyT")
KeyT = TypeVar("KeyT")
TokenT = TypeVar("TokenT")
HttpT = TypeVar("HttpT")


class _SharedOptions(TypedDict, Generic[KeyT, HttpT], total=False):
    api_key: str | KeyT | KeyRing | None
    admin_api_key: str | None
    workload_identity: WorkloadIdentity | X509WorkloadIdentity | None
    organization: str | None
    project: str | None
    webhook_secret: str | None
    websocket_base_url: str | httpx2.URL | None
    timeout: float | openai.Timeout | openai.NotGiven | None
    max_retries: int
    default_headers: Mapping[str, str] | None
    default_query: Mapping[str, object] | None
    http_client: HttpT | None
    _strict_response_validation: bool
    _enforce_credentials: bool


class ClientOptions(_SharedOptions[KeyT, HttpT], Generic[KeyT, HttpT], total=False):
    """The constructor arguments of the SDK's OpenAI clients."""

    provider: _sdk.Provider | None
    base_url: str | httpx2.URL | None
    data_residency: _sdk.DataResidency | None


class AzureOptions(_SharedOptions[KeyT, HttpT], Generic[KeyT, TokenT, HttpT], total=False):
    """The constructor arguments of the SDK's Azure clients."""

    azure_endpoint: str | None
    azure_deployment: str | None
    api_version: str | None
    azure_ad_token: str | None
    azure_ad_token_provider: TokenT | None
    base_url: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stack:
    """What llmkit adds to a client; shared by its copies."""

    middleware: tuple[Middleware, ...]
    max_retries_stated: bool
    fast: bool

    def ceiling(self, client: Any) -> int | None:
        """The retries the user allowed, None while the SDK's default was left alone."""
        stated = self.max_retries_stated or client.max_retries != _sdk.DEFAULT_MAX_RETRIES
        return client.max_retries if stated else None


def _stack(middleware: Iterable[Middleware] | None, *, max_retries_stated: bool) -> _Stack:
    layers = (UsageLog(), Context(), Retry()) if middleware is None else check_middleware(middleware)
    return _Stack(middleware=layers, max_retries_stated=max_retries_stated, fast=fast.is_on())


def _with_ring(
    layers: tuple[Middleware, ...], options: dict[str, Any], **which: Any
) -> tuple[tuple[Middleware, ...], dict[str, Any]]:
    """`middleware.key_ring.with_ring`, for those who have imported KeyRing: the others have none."""
    module = sys.modules.get("llmkit.middleware.key_ring")
    return (layers, options) if module is None else module.with_ring(layers, options, **which)


def _plugged(cls: type[AnyT]) -> type[AnyT]:
    """Put the stack into a subclass of an SDK client: `request` runs it, copies keep it."""
    base = cast("Any", cls.__mro__[1])
    writes_bodies = _sdk.builds_requests_as_usual(base)

    @functools.wraps(base.__init__)
    def __init__(
        self: Any,
        *args: Any,
        middleware: Iterable[Middleware] | None = None,
        transport: str | None = None,
        **options: Any,
    ) -> None:
        stack = _stack(middleware, max_retries_stated="max_retries" in options)
        layers, options = _with_ring(stack.middleware, options, is_async=_sdk.is_async_client(cls))
        self._llmkit = replace(stack, middleware=layers)
        order = type(self).__mro__
        made = new_http_client(order[order.index(cls) + 1], transport, options)
        options = options if made is None else options | {"http_client": made}
        try:
            cast("Any", super(cls, self)).__init__(*args, **options)
        except openai.OpenAIError as error:
            from llmkit.guidance import note_missing_key  # only who has no key waits for it

            note_missing_key(error)
            raise
        if made is not None:
            made.base_url = self.base_url

    # `middleware` is here because the SDK's copy takes all that its constructor takes; typed code uses `wrap`.
    @functools.wraps(base.copy)
    def copy(self: Any, *args: Any, middleware: Iterable[Middleware] | None = None, **options: Any) -> Any:
        stack: _Stack = self._llmkit
        layers = stack.middleware if middleware is None else check_middleware(middleware)
        layers, options = _with_ring(layers, options, is_async=_sdk.is_async_client(cls), before=stack.middleware)
        stack = replace(stack, middleware=layers)
        if not isinstance(options.get("max_retries", openai.NOT_GIVEN), openai.NotGiven):
            stack = replace(stack, max_retries_stated=True)
        copied = cast("Any", super(cls, self)).copy(*args, **options)
        copied._llmkit = stack
        return copied

    def _build_request(self: Any, options: Any, *, retries_taken: int = 0) -> Any:
        if (attempt := Attempt.of(self)) is not None:
            retries_taken = attempt.starts(options, retries_taken)
        if self._llmkit.fast and writes_bodies:
            options = send_remembered(self, options)
        return cast("Any", super(cls, self))._build_request(options, retries_taken=retries_taken)

    for function, added in ((__init__, ("middleware", "transport")), (copy, ("middleware",))):
        cast("Any", function).__signature__ = _with_options(inspect.signature(function), added)
    members = {
        "__init__": __init__,
        "copy": copy,
        "with_options": copy,  # the SDK binds its own `copy` under this name when its class is made
        "request": _request(base),
        "_llmkit_request": property(lambda self: cast("Any", super(cls, self)).request),
        "_build_request": _build_request,
    }
    for name, member in members.items():
        setattr(cls, name, member)
    fast.add_to(cls)
    return cls


def _request(base: Any) -> Callable[..., Any]:
    """`request` of a plugged client: the stack around the SDK's own."""

    def faster(self: Any, options: Any, stream_cls: Any) -> Any:
        if not self._llmkit.fast:
            return stream_cls
        settle(options)
        return None if stream_cls is None else quick(stream_cls)

    def start(self: Any, cast_to: Any, options: Any, stream: bool, stream_cls: Any) -> Coroutine[Any, Any, Any]:
        stack: _Stack = self._llmkit
        call = Call(self, cast_to, options, stream=stream, stream_cls=stream_cls)
        return call.run(stack.middleware, max_retries=stack.ceiling(self))

    if inspect.iscoroutinefunction(base.request):

        @functools.wraps(base.request)
        async def request_async(
            self: Any, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None
        ) -> Any:
            stream_cls = faster(self, options, stream_cls)
            if not self._llmkit.middleware:
                return await self._llmkit_request(cast_to, options, stream=stream, stream_cls=stream_cls)
            return await start(self, cast_to, options, stream, stream_cls)

        return request_async

    @functools.wraps(base.request)
    def request(self: Any, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None) -> Any:
        stream_cls = faster(self, options, stream_cls)
        if not self._llmkit.middleware:
            return self._llmkit_request(cast_to, options, stream=stream, stream_cls=stream_cls)
        return drive(start(self, cast_to, options, stream, stream_cls))

    return request


def _with_options(signature: inspect.Signature, names: Iterable[str]) -> inspect.Signature:
    added = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in names]
    given = list(signature.parameters.values())
    last = [given.pop()] if given[-1].kind is inspect.Parameter.VAR_KEYWORD else []
    return signature.replace(parameters=[*given, *added, *last])


@_plugged
class AsyncOpenAI(openai.AsyncOpenAI):
    """`openai.AsyncOpenAI` whose every call runs through `middleware`, first = outermost.

    Without `middleware=` the stack is `UsageLog(), Context(), Retry()`; `middleware=[]` is the bare SDK. Everything
    derived from the client keeps the stack: `with_options`, raw and streaming responses, streams, `parse`, pages.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            middleware: Iterable[Middleware] | None = None,
            transport: Transport | None = None,
            **options: Unpack[ClientOptions[Callable[[], Awaitable[str]], httpx2.AsyncClient]],
        ) -> None: ...


@_plugged
class OpenAI(openai.OpenAI):
    """`openai.OpenAI` with the same middleware as `AsyncOpenAI`, run without an event loop."""

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            middleware: Iterable[Middleware] | None = None,
            transport: SyncTransport | None = None,
            **options: Unpack[ClientOptions[Callable[[], str], httpx2.Client]],
        ) -> None: ...


@_plugged
class AsyncAzureOpenAI(openai.AsyncAzureOpenAI):
    """`openai.AsyncAzureOpenAI` whose every call runs through `middleware`."""

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            middleware: Iterable[Middleware] | None = None,
            transport: Transport | None = None,
            **options: Unpack[
                AzureOptions[Callable[[], Awaitable[str]], Callable[[], str | Awaitable[str]], httpx2.AsyncClient]
            ],
        ) -> None: ...


@_plugged
class AzureOpenAI(openai.AzureOpenAI):
    """`openai.AzureOpenAI` with the same middleware, run without an event loop."""

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            middleware: Iterable[Middleware] | None = None,
            transport: SyncTransport | None = None,
            **options: Unpack[AzureOptions[Callable[[], str], Callable[[], str], httpx2.Client]],
        ) -> None: ...


def wrap(client: ClientT, *, middleware: Iterable[Middleware] | None = None) -> ClientT:
    """A copy of a client you already have, with the stack; the original is untouched and the pool is shared.

    Works for every client of the SDK and for your own subclasses. A client that has a stack gets `middleware`
    in its place. A `max_retries` equal to the SDK's default cannot be told from none, so it is no ceiling.
    """
    if not isinstance(client, openai.OpenAI | openai.AsyncOpenAI):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"wrap() takes a client of the openai SDK, not a {type(client).__qualname__}")
    if isinstance(getattr(client, "_llmkit", None), _Stack):
        return cast("ClientT", cast("Any", client).copy(middleware=middleware))
    stack = _stack(middleware, max_retries_stated=False)
    layers, options = _with_ring(stack.middleware, {}, is_async=isinstance(client, openai.AsyncOpenAI))
    plugged = cast("Any", client.copy(**options))
    plugged._llmkit = replace(stack, middleware=layers)
    plugged.__class__ = _plugged_subclass(cast("Any", type(client)))
    return cast("ClientT", plugged)


@functools.cache
def _plugged_subclass(cls: type[Any]) -> type[Any]:
    for own in (AsyncOpenAI, OpenAI, AsyncAzureOpenAI, AzureOpenAI):
        if own.__mro__[1] is cls:
            return own
    # The client's class is the only base: with another one CPython refuses to change `__class__`.
    subclass: type[Any] = type(cls.__name__, (cls,), {"__doc__": cls.__doc__, "__module__": cls.__module__})
    return _plugged(subclass)
