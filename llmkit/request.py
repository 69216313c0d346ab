"""What a middleware sees of a call, and how a list of them becomes one function."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from types import CoroutineType, MappingProxyType
from typing import Any, Protocol, cast

import httpx2
import openai

from llmkit.deadlines import Deadlines
from llmkit.errors import InvalidMiddleware, MiddlewareError
from llmkit.record import CallRecord
from llmkit.runtime import Runtime
from llmkit.tagging import Tag

Respond = Callable[[bytes, Mapping[str, str]], Coroutine[Any, Any, Any]]


class Route(Protocol):
    """Where a call goes, and what its client sends along with every call."""

    @property
    def url(self) -> str:
        """Without a user name and password."""
        ...

    @property
    def query(self) -> Mapping[str, object]:
        """The client's `default_query` and the call's `extra_query`."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The client's `default_headers`, organization and project."""
        ...

    @property
    def deployment(self) -> object:
        """The model that is a typed parameter, in which Azure's client looks for the deployment."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One logical call. Frozen: hand a changed copy to `call_next` with `request.replace(...)`."""

    operation: str
    """The endpoint with dots: "chat.completions", "responses", "embeddings"; ".get" or ".delete" is added
    for the other HTTP methods ("models.get"), and ids are left out."""
    body: Mapping[str, Any] = field(repr=False)
    """The JSON body as it will be sent, `extra_body` merged in; empty when there is none. Read-only."""
    model: str | None = field(init=False)
    """The model asked for, if the operation has one."""
    stream: bool
    """Whether the caller asked for a stream."""
    tags: Mapping[str, Tag]
    """Who and what for, from `llmkit.tags`."""
    headers: Mapping[str, str] = field(repr=False)
    """The call's own headers (`extra_headers`); the client adds its own and the key when the request is built."""
    timeout: Any
    """Seconds, an `openai.Timeout` or None: the call's own, else the client's."""
    max_retries: int | None
    """The caller's ceiling (constructor, `with_options`, per call), or None when they set none."""
    retries_taken: int = 0
    """Attempts that came before this one."""
    client: Any = field(repr=False)
    """The client that sends the request; another one, with a stack of llmkit's, may take its place."""
    base_url: str
    runtime: Runtime = field(repr=False)
    record: CallRecord = field(repr=False)
    variant: Callable[[], Hashable] = field(repr=False)
    """What decides the answer beside URL, headers and body: `extra_query`, and what the SDK makes of the JSON."""
    route: Callable[[Any], Route] = field(repr=False)
    """Where the call goes when it is sent by a client, `request.route(request.client)`."""
    respond: Respond = field(repr=False)
    """Answer without the server: the body and the headers of an HTTP answer become what the SDK method returns.

    `await request.respond(content, {"content-type": "application/json"})`: a model, a raw response, or, of events, a
    stream, whatever the caller asked for."""
    rewind: Callable[[], bool] = field(repr=False)
    """Make the request sendable again: uploaded files go back to their start. False when they cannot."""
    deadlines: Deadlines | None = field(default=None, repr=False)
    """The limits of a Timeouts above, which hold for the stream that is opened."""

    def __post_init__(self) -> None:
        if not isinstance(self.body, MappingProxyType):
            object.__setattr__(self, "body", MappingProxyType(self.body))
        object.__setattr__(self, "model", self.body.get("model"))

    @property
    def host(self) -> str:
        """Whom the request goes to, with the port if it is not the usual one: "api.openai.com", "localhost:8000"."""
        return _host(self.base_url)

    def replace(
        self,
        *,
        model: str | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: Any = ...,
        client: Any = None,
        max_retries: int | None = None,
        retries_taken: int | None = None,
        deadlines: Deadlines | None = None,
    ) -> Request:
        """A copy with these changes; the caller's own messages and body are never touched.

        A new `model` goes where there is one: requests without a model stay as they are.
        """
        if client is not None:
            _check_client(client, instead_of=self.client)
        new_body = self.body if body is None else body
        return dataclasses.replace(
            self,
            body={**new_body, "model": model} if model is not None and "model" in new_body else new_body,
            headers=self.headers if headers is None else headers,
            timeout=self.timeout if timeout is ... else timeout,
            client=self.client if client is None else client,
            base_url=self.base_url if client is None else address_of(client),
            max_retries=self.max_retries if max_retries is None else max_retries,
            retries_taken=self.retries_taken if retries_taken is None else retries_taken,
            deadlines=self.deadlines if deadlines is None else deadlines,
        )


def address_of(client: Any) -> str:
    """A client's base URL, without the user name and password that it may have."""
    return without_credentials(client.base_url)


def without_credentials(url: httpx2.URL) -> str:
    """A URL without the user name and password that it may have."""
    return str(url.copy_with(userinfo=b"") if url.userinfo else url)


@functools.lru_cache(64)
def _host(base_url: str) -> str:
    return httpx2.URL(base_url).netloc.decode()


def _check_client(client: Any, *, instead_of: Any) -> None:
    if not hasattr(client, "_llmkit"):
        name = type(client).__qualname__
        raise MiddlewareError(f"a call cannot be sent by a {name} without a stack; pass llmkit.wrap(client)")
    if isinstance(client, openai.AsyncOpenAI) != isinstance(instead_of, openai.AsyncOpenAI):
        raise MiddlewareError(
            f"a call of {type(instead_of).__qualname__} cannot be sent by {type(client).__qualname__}: one is async "
            "and the other is not"
        )


CallNext = Callable[[Request], Coroutine[Any, Any, Any]]
"""Runs the rest of the stack and returns what the SDK method will return."""


class Middleware(Protocol):
    """An async callable around every call: `async def mw(request, call_next): return await call_next(request)`.

    It may change the request, call `call_next` again, or answer by itself; it returns what the SDK method
    shall return. One instance serves concurrent calls: keep the state of a call in locals or on
    `request.record`, and wait with `request.runtime.sleep`, which works in sync clients, too.
    """

    def __call__(self, request: Request, call_next: CallNext, /) -> Awaitable[Any]:
        """Handle one call."""
        ...


def name_of(layer: object) -> str:
    """How error messages call a middleware."""
    return getattr(layer, "__qualname__", None) or type(layer).__qualname__


def check_middleware(middleware: Iterable[Middleware]) -> tuple[Middleware, ...]:
    """The middleware as a tuple; `InvalidMiddleware` names the first thing that cannot be one."""
    given = cast("Any", middleware)
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise InvalidMiddleware(_not_a_list(cast("Any", given)))
    layers = tuple(middleware)
    for layer in layers:
        _check_layer(layer)
    return layers


def _not_a_list(given: Any) -> str:
    made = "" if hasattr(given, "__qualname__") and not isinstance(given, type) else "(...)"
    hint = f"[{name_of(given)}{made}]" if callable(given) else "a list of async callables"
    return f"middleware is a {type(given).__qualname__}, not a list; pass middleware={hint}"


def _check_layer(layer: Middleware) -> None:
    if isinstance(layer, type):
        raise InvalidMiddleware(
            f"middleware got the class {layer.__qualname__}; pass an instance: {layer.__qualname__}()"
        )
    if not callable(layer):
        raise InvalidMiddleware(f"middleware got a {type(layer).__qualname__}, which cannot be called")
    try:
        inspect.signature(layer).bind(None, None)
    except TypeError as error:
        raise InvalidMiddleware(f"middleware {name_of(layer)} must take (request, call_next): {error}") from None
    except ValueError:  # a builtin without a signature: the first call will tell
        pass


def compose(middleware: Iterable[Middleware], send: CallNext) -> CallNext:
    """One function out of the stack: the first middleware is the outermost, `send` the innermost."""
    for layer in reversed(tuple(middleware)):
        send = Step(layer, send)
    return send


class Step:
    """One layer of one call: runs the middleware and holds it to its contract."""

    __slots__ = ("_below", "_call_next", "_errors", "_result", "layer")

    def __init__(self, layer: Middleware, call_next: CallNext) -> None:
        self.layer = layer
        self._call_next = call_next
        self._below: Coroutine[Any, Any, Any] | None = None
        self._result: Any = ...
        self._errors: tuple[BaseException, ...] = ()

    async def __call__(self, request: Request) -> Any:
        """Run the layer; `MiddlewareError` when it breaks its contract."""
        awaitable = self.layer(request, self._next)
        if awaitable.__class__ is not CoroutineType and not isinstance(cast("object", awaitable), Awaitable):
            raise self._broken(f"returned {type(awaitable).__name__}, not an awaitable; define it with `async def`")
        try:
            result = await awaitable
        except Exception as error:
            from_below = any(error is seen for seen in self._errors)
            if not from_below and not isinstance(error, openai.OpenAIError):
                error.add_note(f"Raised by the middleware {name_of(self.layer)} of this client.")
            raise
        if result is None and self._result is not None:
            raise self._broken("returned nothing; end it with `return await call_next(request)`")
        if result is self._below:
            raise self._broken("returned a coroutine; write `return await call_next(request)`")
        return result

    def _next(self, request: Request) -> Coroutine[Any, Any, Any]:
        self._below = self._run(request)
        return self._below

    async def _run(self, request: Request) -> Any:
        try:
            self._result = await self._call_next(request)
        except BaseException as error:
            self._errors += (error,)
            raise
        return self._result

    def _broken(self, how: str) -> MiddlewareError:
        if self._below is not None and inspect.getcoroutinestate(self._below) == inspect.CORO_CREATED:
            self._below.close()  # never awaited: closing it spares the user a second, vaguer warning
        return MiddlewareError(f"middleware {name_of(self.layer)} {how}")
