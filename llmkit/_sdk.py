"""The only file that knows the SDK's private names; tests/test_sdk_contract.py pins each of them."""

from __future__ import annotations

import datetime
import functools
import re
import types
import weakref
from collections.abc import AsyncIterator, Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import httpx2
import openai
import pydantic
from openai import _base_client  # pyright: ignore[reportPrivateUsage]
from openai._compat import is_union
from openai._constants import RAW_RESPONSE_HEADER
from openai._httpx2 import http_response_types
from openai._legacy_response import HttpxBinaryResponseContent, LegacyAPIResponse
from openai._models import FinalRequestOptions, add_request_id
from openai._resource import AsyncAPIResource
from openai._response import BaseAPIResponse
from openai._streaming import ServerSentEvent, SSEDecoder
from openai._streaming import _SSELineDecoder as LineDecoder  # pyright: ignore[reportPrivateUsage]
from openai._utils import PropertyInfo, strip_not_given
from openai._utils._json import openapi_dumps as dumps

from llmkit.request import without_credentials

if TYPE_CHECKING:
    from openai._data_residency import DataResidency as DataResidency
    from openai._provider import _Provider  # pyright: ignore[reportPrivateUsage]

    Provider: TypeAlias = _Provider

__all__ = ["RAW_RESPONSE_HEADER", "LineDecoder", "PropertyInfo", "SSEDecoder", "ServerSentEvent", "dumps", "is_union"]

Options: TypeAlias = FinalRequestOptions
DEFAULT_MAX_RETRIES = openai.DEFAULT_MAX_RETRIES

_WORD = re.compile(r"[a-z]+(?:_[a-z]+)*")
_ID = re.compile(r"[a-z]+[-_]\w*\d\w*")
"""Such as "chatcmpl-B9MBs8Cj", "run_68abc"."""
"""A fixed part of a path; ids have digits, capitals or dashes."""


def random() -> float:
    """The SDK's source of jitter, looked up at each call: a test that pins the SDK's pins llmkit's."""
    return _base_client.random()  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateImportUsage]


def operation(options: Options, base_url: str) -> str:
    """The name of the endpoint: "/chat/completions" is "chat.completions", GET /models/gpt-4o "models.get".

    A POST to the id of a thing changes it: "chat.completions.update".
    """
    return _operation(options.url.removeprefix(base_url), options.method.lower())


@functools.lru_cache(256)
def _operation(url: str, method: str) -> str:
    path = httpx2.URL(url).path
    parts = path.replace("/models/", "/models/-", 1).split("/")
    words = [word for word in parts if _WORD.fullmatch(word)]
    if method == "post":
        return ".".join([*words, "update"] if _ID.fullmatch(parts[-1]) else words)
    return ".".join([*words, method])


def merged_body(options: Options) -> dict[str, Any]:
    """The JSON body as it will be sent: `extra_body` wins over the typed parameters; {} when it is no object."""
    typed, extra = _parts(options)
    return {key: value for key, value in {**typed, **extra}.items() if not isinstance(value, openai.Omit)}


def with_body(options: Options, body: Mapping[str, Any]) -> bool:
    """Send `body` as JSON, each key where it came from; False when the request's body is no JSON object.

    What `extra_body` hides in the typed parameters stays there: Azure takes its deployment from that `model`.
    """
    if options.content is not None or not isinstance(options.json_data or {}, Mapping):
        return False
    typed, extra = _parts(options)
    options.json_data = {
        key: typed[key] if key in extra and key in typed and extra[key] is value else value
        for key, value in body.items()
        if key in typed or key not in extra
    }
    options.extra_json = {key: body.get(key, openai.omit) for key in extra} or None
    return True


def _parts(options: Options) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    typed: Any = options.json_data
    if not isinstance(typed or {}, Mapping):
        return {}, {}
    return typed or {}, options.extra_json or {}


def post_options(path: str, body: Any, given: Mapping[str, Any]) -> Options | None:
    """What the SDK constructs for a POST of JSON, copied from one that it has constructed; None where they differ."""
    template = _post_template()
    if template is None or body.__class__ is not dict:
        return None
    fresh = {"params": {}, "security": {**template.security}, "url": path, "json_data": _stripped(body)}
    return template.model_copy(update=fresh | {name: _stripped(value) for name, value in given.items()})


def _stripped(value: Any) -> Any:
    """`value` as the SDK takes it in: without what is not given, where it is a mapping."""
    if value.__class__ is not dict:  # the SDK asks more slowly
        return cast("Any", strip_not_given(value))
    given = {name: item for name, item in value.items() if item.__class__ is not openai.NotGiven}
    return cast("Any", given)


@functools.lru_cache(1)
def _post_template() -> Options | None:
    """Constructing takes ten times as long as copying, for each default is copied deeply."""
    constructed = FinalRequestOptions.construct(method="post", url="", json_data={}, content=None, files=None)
    shared = {name for name, value in constructed.__dict__.items() if isinstance(value, dict | list)}
    return constructed if shared == {"params", "security", "json_data"} else None


def max_retries(client: Any, options: Options) -> int | None:
    """The per-call `max_retries`, None when the caller gave none; the SDK's own error when it is no number."""
    given = options.max_retries
    if isinstance(given, openai.NotGiven):
        return None
    client._validate_max_retries(given)
    return given


def headers(options: Options) -> dict[str, str]:
    """The headers given with the call, without those it takes away."""
    return {name: value for name, value in _headers(options).items() if isinstance(value, str)}


def set_headers(options: Options, changed: Mapping[str, str]) -> None:
    """Give the call these headers; what it takes away stays taken away."""
    taken_away = {name: value for name, value in _headers(options).items() if not isinstance(value, str)}
    options.headers = {**taken_away, **changed}


def _headers(options: Options) -> Mapping[str, str | openai.Omit]:
    return {} if isinstance(options.headers, openai.NotGiven) else options.headers


def timeout(client: Any, options: Options) -> Any:
    """The timeout of the call: its own, else the client's."""
    return client.timeout if isinstance(options.timeout, openai.NotGiven) else options.timeout


class _SyncBody(httpx2.SyncByteStream):
    """The body of an answer that is still to be read."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content


class _AsyncBody(httpx2.AsyncByteStream):
    """The same for an async client."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content


def variant(cast_to: Any, options: Options) -> Hashable:
    """What decides a call's answer beside its URL, headers and body: its query, and what is made of the JSON."""
    parser: Any = options.post_parser
    if isinstance(parser, functools.partial):  # made anew for each call
        parser = parser.func, repr(parser.args), repr(parser.keywords)
    given = not isinstance(parser, openai.NotGiven)
    return cast_to, repr(dict(options.params)), parser if given else None


class Route(NamedTuple):
    """Where a call goes, and what its client sends along with every call."""

    url: str
    """Without the user name and password that it may have."""
    query: Mapping[str, object]
    headers: Mapping[str, str]
    deployment: object
    """The model that is a typed parameter, in which Azure's client looks for the deployment."""


def route(options: Options, client: Any) -> Route:
    """What decides who answers a call that is sent by `client`."""
    headers = {
        "openai-organization": getattr(client, "organization", None),
        "openai-project": getattr(client, "project", None),
        **client._custom_headers,
    }
    typed, _ = _parts(options)
    return Route(
        url=without_credentials(client._prepare_url(options.url)),
        query={**client._custom_query, **options.params},
        headers={name: value for name, value in headers.items() if isinstance(value, str)},
        deployment=typed.get("model"),
    )


def answered(
    client: Any,
    cast_to: Any,
    options: Options,
    *,
    stream: bool,
    stream_cls: Any,
    content: bytes,
    headers: Mapping[str, str],
) -> Any:
    """What the SDK makes of an HTTP answer to the call; to be awaited for an async client."""
    options = options.model_copy()
    cast_to = client._maybe_override_cast_to(cast_to, options)
    raw = _headers(options).get(RAW_RESPONSE_HEADER)
    asked = {RAW_RESPONSE_HEADER: raw} if isinstance(raw, str) else {}
    request = httpx2.Request(options.method.upper(), client._prepare_url(options.url), headers=asked)
    opened = _AsyncBody if is_async_client(client.__class__) else _SyncBody
    body: dict[str, Any] = {"stream": opened(content)} if stream or raw == "stream" else {"content": content}
    response = httpx2.Response(200, headers=headers, request=request, **body)
    response.elapsed = datetime.timedelta()
    return client._process_response(
        cast_to=cast_to, options=options, response=response, stream=stream, stream_cls=stream_cls
    )


def key_source(client: Any) -> Any:
    """The function that a client asks for a key before each request; None when its key is fixed."""
    return client._api_key_provider


def log_retry(wait: float, *, taken: int, limit: int) -> None:
    """Log a retry where and how the SDK would."""
    _base_client.log.info("Retrying request in %f seconds (retry %i of %s)", wait, taken, limit)


class Replay:
    """Whether and how a request can be sent again: uploaded files are put back to where they stood."""

    def __init__(self, options: Options) -> None:
        self._replay = _base_client._RequestBodyReplay(options)  # pyright: ignore[reportPrivateUsage]

    def rewind(self) -> bool:
        """False when the body was a one-shot stream."""
        return self._replay.rewind()


def idempotency_key(client: Any, options: Options) -> str | None:
    """One key for all attempts of a call, made as the SDK would."""
    key: str | None = options.idempotency_key
    return client._idempotency_key() if key is None and options.method.lower() != "get" else key


def count_retries_taken(result: Any, retries_taken: int) -> None:
    """Make `.retries_taken` of a raw or streaming response include llmkit's attempts."""
    if isinstance(result, LegacyAPIResponse | BaseAPIResponse):
        result.retries_taken += retries_taken


def response_of(result: Any) -> Any:
    """The HTTP response behind what an SDK method returns; None behind a parsed model, which has no more to read."""
    if isinstance(result, openai.Stream | openai.AsyncStream):
        return result.response  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(result, LegacyAPIResponse | BaseAPIResponse):
        return result.http_response  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if isinstance(result, HttpxBinaryResponseContent):
        return result.response
    return result if isinstance(result, http_response_types()) else None


def raw_body(result: Any) -> bytes | None:
    """The body of a raw response that has been read; None of anything else."""
    if isinstance(result, LegacyAPIResponse) and result.http_response.is_closed:  # pyright: ignore[reportUnknownMemberType]
        return result.http_response.content  # pyright: ignore[reportUnknownMemberType]
    return None


def request_id_of(result: Any) -> str | None:
    """The `x-request-id` that the SDK put on a parsed model."""
    return getattr(result, "_request_id", None)


def is_data(result: Any) -> bool:
    """Whether a result is a value in itself, which cannot be holding on to an open response."""
    return isinstance(result, pydantic.BaseModel | str | bytes | dict | list | int | float | None)


def builds_requests_as_usual(client_class: Any) -> bool:
    """Whether a client class leaves the body alone until it is written; Azure's looks for the model in it."""
    base: Any = _base_client.BaseClient
    return client_class._build_request is base._build_request


def joins_urls_as_usual(client_class: Any) -> bool:
    """Whether the URL of a request is its path behind the `base_url`, and nothing else."""
    base: Any = _base_client.BaseClient
    return client_class._prepare_url is base._prepare_url


def is_own(method: Any) -> bool:
    """Whether a bound method is the SDK's own, and no tracing tool's or test's in its place."""
    return type(method) is types.MethodType and _is_own(method.__func__)


@functools.lru_cache(64)
def _is_own(function: Any) -> bool:
    return type(function) is types.FunctionType and function.__code__.co_filename.startswith(_FOLDER)


_FOLDER = str(Path(openai.__file__).parent / "_").removesuffix("_")


def is_async_resource(resource: Any) -> bool:
    """Whether the methods of a resource are awaited."""
    return isinstance(resource, AsyncAPIResource)


def replaces_in_place() -> bool:
    """Whether `extra_body` replaces a typed parameter where that stands."""
    merged = _base_client._merge_mappings({"a": [], "b": 1}, {"a": [2]})  # pyright: ignore[reportPrivateUsage]
    return [*merged.items()] == [("a", [2]), ("b", 1)]


def is_raw(response: Any) -> bool:
    """Whether the caller asked for the HTTP response itself."""
    return RAW_RESPONSE_HEADER in response.request.headers


def wants_raw(options: Options) -> bool:
    """Whether the caller asked for the HTTP response itself, before there is one."""
    return RAW_RESPONSE_HEADER in _headers(options)


def finished(answer: Any, options: Options, request_id: str | None) -> Any:
    """What the SDK makes of a model at last: its method's own parser, and the request id."""
    if not isinstance(options.post_parser, openai.NotGiven):
        answer = options.post_parser(answer)
    if isinstance(answer, openai.BaseModel):
        add_request_id(answer, request_id)
    return answer


def reads_events_as_usual(stream_class: Any) -> bool:
    """Whether a stream class reads its events with the SDK's own methods."""
    base: Any = openai.AsyncStream if issubclass(cast("type", stream_class), openai.AsyncStream) else openai.Stream
    return stream_class.__stream__ is base.__stream__ and stream_class._iter_events is base._iter_events


def takes_plain_events(stream: Any) -> bool:
    """Whether an SDK stream was given no decoder of a provider's, and constructs its events of their data as it is."""
    options = stream._options
    return (
        type(stream._decoder) is SSEDecoder
        and not stream._client._strict_response_validation
        and not (options and options.synthesize_event_and_data)
    )


def set_decoder(stream: Any, decoder: Any) -> None:
    """Have an SDK stream cut and decode its events with `decoder`."""
    stream._decoder = decoder


def event_type(stream: Any) -> Any:
    """What an SDK stream builds its events of."""
    return stream._cast_to


def is_async_client(client: type[Any]) -> bool:
    """Whether a class of client is async; also when `openai.AsyncOpenAI` is replaced by another."""
    return issubclass(client, _base_client.AsyncAPIClient)


def default_http_client(*, is_async: bool) -> type[Any]:
    """The class of the HTTP client that the SDK makes when it is given none; it closes itself when collected."""
    return _base_client.AsyncHttpxClientWrapper if is_async else _base_client.SyncHttpxClientWrapper


def has_aiohttp() -> bool:
    """Whether the SDK found an aiohttp that it can use."""
    return hasattr(_base_client, "Httpx2AiohttpClient")


class AioHttpClient(openai.DefaultAioHttpClient):
    """The SDK's HTTP client over aiohttp, which also closes itself when collected, or at the end of the program.

    Not in a task, as the SDK's default client does: `asyncio.run` cancels that one before it starts, and aiohttp
    then complains of an unclosed session on stderr. Not in `__del__`: what it is to close may be collected before it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        weakref.finalize(self, _close, [self._transport, *filter(None, self._mounts.values())])


def _close(transports: Iterable[httpx2.AsyncBaseTransport]) -> None:
    """Close each up to where it would wait; aiohttp has closed its connections by then."""
    for transport in transports:
        closing = transport.aclose()
        with suppress(Exception):
            closing.send(None)
        closing.close()
