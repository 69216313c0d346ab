"""What a client class needs for the fast paths: hastened resources, and answers built in one step."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, cast

import pydantic

from llmkit import _sdk
from llmkit.attempt import Attempt
from llmkit.fast.models import Build, builder
from llmkit.fast.requests import add_hastened

_OF_JSON = frozenset({"body", "cast_to", "options", "stream", "stream_cls"})
"""What the methods of the SDK give to `post` when they send JSON."""
_ENDPOINTS = frozenset({"/chat/completions", "/responses", "/embeddings"})


def is_on() -> bool:
    """Whether the fast paths are in use: always, unless the environment's LLMKIT_FAST is "0"."""
    return os.environ.get("LLMKIT_FAST") != "0"


def add_to(cls: Any) -> None:
    """Make `cls`, a subclass of an SDK client, fast where its instances say so (`self._llmkit.fast`)."""
    cls.post = _post(cls)
    request, post = cls.request, cls.post

    def settles(client: Any) -> bool:
        """Whether nobody looks at a request between the method that is called and `request`, which puts it in order."""
        own = getattr(client.request, "__func__", None) is request and getattr(client.post, "__func__", None) is post
        return own and client._llmkit.fast and _sdk.is_own(cast("Any", super(cls, client)).post)

    for name in ("chat", "responses", "embeddings", "beta"):
        add_hastened(cls, name, when=settles)
    cls._process_response = _process_response(cls)
    cls._process_response_data = _process_response_data(cls)
    if _sdk.joins_urls_as_usual(cls):
        cls._prepare_url = _prepare_url(cls)


def _post(cls: Any) -> Callable[..., Any]:
    """The SDK's, which constructs the options of each request anew, after an attempt to copy them."""
    base = cls.__mro__[1]
    if _sdk.is_async_client(cls):

        @functools.wraps(base.post)
        async def post_async(self: Any, path: str, **given: Any) -> Any:
            sdks = cast("Any", super(cls, self)).post
            options = _options(self, path, given, sdks)
            return await (sdks(path, **given) if options is None else _request(self, options, **given))

        return post_async

    @functools.wraps(base.post)
    def post(self: Any, path: str, **given: Any) -> Any:
        sdks = cast("Any", super(cls, self)).post
        options = _options(self, path, given, sdks)
        return sdks(path, **given) if options is None else _request(self, options, **given)

    return post


def _options(client: Any, path: str, given: dict[str, Any], sdks: Any) -> Any:
    """The options of a POST; None when the SDK has to construct them."""
    if not client._llmkit.fast or not _OF_JSON.issuperset(given) or not _sdk.is_own(sdks):
        return None
    return _sdk.post_options(path, given.get("body"), given.get("options") or {})


def _request(client: Any, opts: Any, *, cast_to: Any, stream: bool = False, stream_cls: Any = None, **_: Any) -> Any:
    """Call `request` as the SDK's `post` does."""
    return client.request(cast_to, opts, stream=stream, stream_cls=stream_cls)


def _prepare_url(cls: Any) -> Callable[..., Any]:
    """The SDK's, once for each endpoint that is called all the time: parsing two URLs is a twentieth of a call."""

    def prepare(self: Any, url: str) -> Any:
        if url not in _ENDPOINTS or not self._llmkit.fast:
            return cast("Any", super(cls, self))._prepare_url(url)
        known: dict[str, Any] = self.__dict__.setdefault("_llmkit_urls", {})
        base_url = self.base_url
        if url not in known or known[url][0] is not base_url:
            known[url] = base_url, cast("Any", super(cls, self))._prepare_url(url)
        return known[url][1]

    return prepare


def _process_response(cls: Any) -> Callable[..., Any]:
    """The SDK's, which decodes the whole answer and then looks at each value, after an attempt to do both at once."""
    if _sdk.is_async_client(cls):

        async def process_async(self: Any, **what: Any) -> Any:
            answer = _answer(self, **what)
            return await cast("Any", super(cls, self))._process_response(**what) if answer is None else answer

        return process_async

    def process(self: Any, **what: Any) -> Any:
        answer = _answer(self, **what)
        return cast("Any", super(cls, self))._process_response(**what) if answer is None else answer

    return process


def _answer(client: Any, *, cast_to: Any, options: Any, response: Any, stream: bool, **_: Any) -> Any:
    """The answer that the SDK's method returns, ready; None when the SDK has to make it."""
    if (attempt := Attempt.of(client)) is not None:
        attempt.answered(response)
    if stream or _sdk.is_raw(response):
        return None
    answer = _built(client, cast_to, response)
    return answer if answer is None else _sdk.finished(answer, options, response.headers.get("x-request-id"))


def kept_answer(client: Any, cast_to: Any, options: Any, content: bytes, *, request_id: str | None) -> Any:
    """The answer that the SDK's method returns of a body that has been kept; None when the SDK has to make it."""
    build = None if _sdk.wants_raw(options) else _builder(client, cast_to)
    try:
        answer = None if build is None else build(content)
    except ValueError:
        return None
    return answer if answer is None else _sdk.finished(answer, options, request_id)


def _process_response_data(cls: Any) -> Callable[..., Any]:
    """The SDK's, for the events of a stream and for raw responses, which are parsed when the user says so."""

    def process(self: Any, *, data: Any, cast_to: Any, response: Any) -> Any:
        if isinstance(data, pydantic.BaseModel):  # an event, built by `fast.events`
            return data
        answer = _built(self, cast_to, response)
        if answer is not None:
            return answer
        return cast("Any", super(cls, self))._process_response_data(data=data, cast_to=cast_to, response=response)

    return process


def _built(client: Any, cast_to: Any, response: Any) -> Any:
    """The model in the body of `response`; None when only the SDK can build it."""
    build = _builder(client, cast_to)
    if build is None:
        return None
    try:
        return build(response.content)
    except (ValueError, RuntimeError):  # not valid, or not read: then the data is one event of a stream
        return None


def _builder(client: Any, cast_to: Any) -> Build | None:
    return builder(cast_to) if client._llmkit.fast and not client._strict_response_validation else None
