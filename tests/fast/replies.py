"""Replies of an API, whole or streamed, right or spoiled; and what the raw SDK and llmkit make of the same bytes."""

from __future__ import annotations

import asyncio
import copy
import functools
import gzip
import inspect
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, get_args, get_origin

import httpx2
import openai
import pydantic
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from openai._compat import is_union

import llmkit
from llmkit import Context, Retry, UsageLog
from llmkit.errors import InvalidResponse
from llmkit.structure import missing_in

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "80"))


def examples(share: float = 1.0) -> Any:
    """Settings for a property; `share` of HYPOTHESIS_EXAMPLES."""
    return settings(
        max_examples=max(1, int(EXAMPLES * share)),
        deadline=None,
        derandomize="HYPOTHESIS_EXAMPLES" not in os.environ,  # CI fails for a change, not for a throw of dice
        suppress_health_check=list(HealthCheck),
        database=None,
    )


often = examples()
seldom = examples(0.2)

# --- what a client sees ---


def portrait(value: Any) -> Any:
    """All there is to see of a value, down to the types of its leaves, as something that can be compared."""
    if isinstance(value, pydantic.BaseModel):
        given: Any = value.model_fields_set  # whatever `_fields_set` said, where the SDK constructs
        return {
            "type": type(value),
            "dict": [(name, portrait(item)) for name, item in vars(value).items()],
            "set": sorted(given) if isinstance(given, set) else given,
            "extra": portrait(value.model_extra),
            "private": portrait(value.__pydantic_private__),
        }
    if type(value) is dict:
        return "dict", [(key, portrait(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [portrait(item) for item in value]
    if isinstance(value, BaseException):
        return portrait_of_error(value)
    return type(value), repr(value)


def portrait_of_error(error: BaseException) -> Any:
    """Type, text and data of an exception; the APIs' own with what they say of the answer."""
    names = (
        "body",
        "code",
        "param",
        "type",
        "status_code",
        "request_id",
        "doc",
        "pos",
        "object",
        "start",
        "completion",
    )
    return (
        type(error),
        str(error),
        [(name, portrait(getattr(error, name))) for name in names if hasattr(error, name)],
        type(error.__cause__),
    )


def difference(found: Any, expected: Any, place: str = "") -> str:
    """Where two portraits differ first; empty when they do not."""
    inside: Any = ()
    if type(found) is type(expected) and len_of(found) == len_of(expected) >= 0:
        if isinstance(found, dict):
            inside = [(name, found[name], expected.get(name)) for name in found]
        else:
            inside = [(number, *pair) for number, pair in enumerate(zip(found, expected, strict=True))]
    for name, one, other in inside:
        if text := difference(one, other, f"{place}.{name}"):
            return text
    return "" if inside or found == expected else f"{place}: {found!r}, by the SDK {expected!r}"


def check_equal(found: Any, expected: Any) -> None:
    text = difference(found, expected)
    assert not text, text


def len_of(value: Any) -> int:
    return len(value) if isinstance(value, dict | list | tuple) else -1


DUMPS: Sequence[Mapping[str, Any]] = (
    {},
    {"mode": "json"},
    {"exclude_unset": True},
    {"exclude_none": True},
    {"by_alias": True},
    {"mode": "json", "exclude_unset": True, "by_alias": True},
)


def dumps(value: Any) -> Any:
    """A model as its own methods show it; the error where it cannot be shown."""
    if not isinstance(value, pydantic.BaseModel):
        return None
    shown: list[Any] = []
    for options in DUMPS:
        try:
            shown.append(repr(value.model_dump(warnings=False, **options)))
        except Exception as error:  # noqa: BLE001
            shown.append((type(error), str(error)))
    return shown


def check_same(found: Any, expected: Any) -> None:
    """`found` is what the SDK made, `expected` too, in every respect."""
    check_equal(portrait(found), portrait(expected))
    assert dumps(found) == dumps(expected)
    if isinstance(expected, pydantic.BaseModel):
        assert repr(found) == repr(expected)
        assert found == expected or "nan" in repr(expected)  # which equals nothing
        assert getattr(found, "_request_id", "none") == getattr(expected, "_request_id", "none")


# --- bytes on their way ---


class Pieces(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body in pieces, then the error if there is one; it notes how far it was read and how often it was closed."""

    def __init__(self, pieces: Sequence[bytes], error: Exception | None = None) -> None:
        self.taken = self.closes = 0
        self.ended = False
        self._left = self._read(pieces, error)

    def _read(self, pieces: Sequence[bytes], error: Exception | None) -> Iterator[bytes]:
        for piece in pieces:
            self.taken += 1
            yield piece
        self.ended = True
        if error is not None:
            raise error

    def __iter__(self) -> Iterator[bytes]:
        return self._left  # what is read is gone, as with a connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._left:
            yield piece

    def close(self) -> None:
        self.closes += 1

    async def aclose(self) -> None:
        self.closes += 1

    @property
    def facts(self) -> tuple[int, bool, bool]:
        return self.taken, self.ended, self.closes > 0


class Reply(NamedTuple):
    """An answer over HTTP; `loaded` when the whole body is in memory from the start."""

    pieces: Sequence[bytes]
    content_type: str | None = "application/json"
    encoding: str | None = None
    error: Exception | None = None
    loaded: bool = False
    http2: bool = False
    request_id: str | None = "req_1"

    def response(self) -> tuple[httpx2.Response, Pieces]:
        named = {"content-type": self.content_type, "content-encoding": self.encoding, "x-request-id": self.request_id}
        headers = {name: value for name, value in named.items() if value is not None}
        stream = Pieces(self.pieces, self.error)
        extensions: Any = {"http_version": b"HTTP/2"} if self.http2 else {}
        if self.loaded:
            body: Any = b"".join(self.pieces)
            return httpx2.Response(200, headers=headers, content=body, extensions=extensions), stream
        return httpx2.Response(200, headers=headers, stream=stream, extensions=extensions), stream


class Server:
    """Gives every request the same reply."""

    def __init__(self) -> None:
        self.reply = Reply([b"{}"])
        self.stream = Pieces([])

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        response, self.stream = self.reply.response()
        return response


# --- the clients ---

KIT: Mapping[str, Callable[[], list[Any]]] = {
    "bare": list,
    "stack": lambda: [UsageLog(sinks=[]), Context(), Retry()],
}
LLMKIT_CLIENTS = [(stack, is_async) for stack in KIT for is_async in (False, True)]


def new_client(stack: str | None, *, is_async: bool, server: Server, name: str = "OpenAI", **options: Any) -> Any:
    """The SDK's own client, or llmkit's with `stack`."""
    http: Any = httpx2.AsyncClient if is_async else httpx2.Client
    name = "Async" * is_async + name
    options = {"api_key": "sk-fake", "base_url": "https://fake.test/v1", "max_retries": 0, **options}
    if "Azure" in name:
        options["api_version"] = "2025-04-01-preview"
    options["http_client"] = http(transport=httpx2.MockTransport(server))
    if stack is None:
        return getattr(openai, name)(**options)
    return getattr(llmkit, name)(**options, middleware=KIT[stack]())


@functools.cache
def client(stack: str | None, is_async: bool, strict: bool = False) -> tuple[Any, Server]:
    """A client for the whole run, with its server."""
    server = Server()
    return new_client(stack, is_async=is_async, server=server, _strict_response_validation=strict), server


@functools.cache
def _loop() -> asyncio.Runner:
    return asyncio.Runner()


def run(work: Any, *, is_async: bool) -> Any:
    """The value of a coroutine; that of a sync client never waits."""
    if is_async:
        return _loop().run(work)
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("a sync client waited")


ValueT = TypeVar("ValueT")


async def ready(value: Awaitable[ValueT] | ValueT) -> ValueT:
    """What a method returned, awaited if it is an async client's."""
    return await value if inspect.isawaitable(value) else value


@asynccontextmanager
async def opened(manager: Any) -> AsyncIterator[Any]:
    """A context manager of either kind."""
    if hasattr(manager, "__aenter__"):
        async with manager as inside:
            yield inside
    else:
        with manager as inside:
            yield inside


def method_of(client: Any, path: str) -> Any:
    """A method by its path, such as `chat.completions.create`."""
    found = client
    for name in path.split("."):
        found = getattr(found, name)
    return found


async def each(items: Any) -> AsyncIterator[Any]:
    """The items of an iterable of either kind."""
    if hasattr(items, "__aiter__"):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item


class Seen(NamedTuple):
    """What a caller got: the values in order, the exception that ended it, and how much of the body was read."""

    values: list[Any]
    error: Exception | None
    read: tuple[int, bool, bool]


Way = Callable[[Any], AsyncIterator[Any]]
"""Makes a call with a client, and yields what it gives."""


def seen(way: Way, reply: Reply, stack: str | None, *, is_async: bool, strict: bool = False) -> Seen:
    """What `way` gives with the client of this kind."""
    made, server = client(stack, is_async, strict)
    server.reply = reply
    values, error = seen_by(way, made, is_async=is_async)
    return Seen(values, error, server.stream.facts)


def seen_by(way: Way, made: Any, *, is_async: bool) -> tuple[list[Any], Exception | None]:
    """What `way` gives with a client, and the exception that ended it."""
    values: list[Any] = []

    async def collect() -> Exception | None:
        try:
            async for value in way(made):
                values.append(value)
        except Exception as error:  # noqa: BLE001
            return error
        return None

    error = run(collect(), is_async=is_async)
    return values, error


def lacks_something(answer: Any) -> bool:
    """Whether an answer to one input is not what the SDK's types promise."""
    name = type(answer).__name__.partition("[")[0]
    if name == "ParsedResponse" and not answer.output:
        return True  # the SDK's parser makes a list of `"output": null`
    name = name.removeprefix("Parsed")
    operation = {
        "ChatCompletion": "chat.completions",
        "Response": "responses",
        "CreateEmbeddingResponse": "embeddings",
    }.get(name)
    body = {"input": "one"}
    return operation is None or missing_in(answer, operation=operation, body=body, strictly=True) is not None


def check(
    way: Way, reply: Reply, stack: str, *, is_async: bool, strict: bool = False, reads_alike: bool = True
) -> Seen:
    """llmkit gives what the SDK gives; returns it."""
    expected = seen(way, reply, None, is_async=is_async, strict=strict)
    found = seen(way, reply, stack, is_async=is_async, strict=strict)
    if isinstance(found.error, InvalidResponse):  # what the SDK hands out, or stumbles over in its own way
        assert expected.error is not None or lacks_something(expected.values[len(found.values)])
        return found
    assert len(found.values) == len(expected.values), (found, expected)
    for one, other in zip(found.values, expected.values, strict=True):
        check_same(one, other)
    check_equal(portrait(found.error), portrait(expected.error))
    if reads_alike:
        assert found.read == expected.read, (found, expected)
    return found


def check_everywhere(way: Way, reply: Reply, **options: Any) -> Seen:
    """`check` with every kind of client; what the last one saw."""
    for stack, is_async in LLMKIT_CLIENTS:
        found = check(way, reply, stack, is_async=is_async, **options)
    return found


kinds = st.sampled_from(LLMKIT_CLIENTS)

# --- data for the SDK's models ---

WORDS = [
    "",
    "a",
    "Hello",
    "é",
    "🙂",
    "\x00",
    "\u2028",
    "1",
    "true",
    "error",
    '"type": "error"',
    '{"name": "blue"}',
    "\\",
    "{",
]


def as_text(json_text: str) -> str:
    """Stands for JSON that Python would write in another way; `encoded` puts it in."""
    return f"@json {json_text}@"


class Again(str):
    """A key that its object already has."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


NUMBERS = [
    0, 1, -1, 5, 2**31, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, 2**64 + 1, 10**22, 10**23, 10**40,
    0.0, -0.0, 1.0, 0.1, 2.5, 1e16, 1e22, 1e23, 5e-324, 1.7976931348623157e308, 123456789012345.6789, -2.5,
    *map(as_text, (
        "-0", "1E2", "1e400", "-1e400", "1.0e0", "1e-400", "NaN", "Infinity", "-Infinity", "9007199254740993.0",
        "0.30000000000000004440892098500626161694526672363281250001", "9" * 4400,
        "-NaN", "nan", "01", "1.", "+1", "0x1", "truE", "",
    )),
]  # fmt: skip
ODD: Sequence[Any] = [
    None, True, False, *NUMBERS, *WORDS, "1.0", "1_0", " 1 ", "yes", "off", "\ud800", "\udc00x", "message", "text",
    as_text('"\\ud83d\\ude42"'), as_text('"\\u00e9\\/"'), as_text('"\t"'), as_text("[" * 300 + "]" * 300),
    [], {}, [None], [[]], {"type": "message"}, {"type": None}, {"type": "text", "text": "x"}, ["a", 1], {"": ""},
]  # fmt: skip
odd = st.sampled_from(ODD).map(copy.deepcopy)
NAMES = ["new", "", "id", "type", "error", "model_config", "construct", "_private", "self", "values", "_fields_set"]
LEAVES: Mapping[Any, Any] = {
    str: st.sampled_from(WORDS),
    int: st.sampled_from([0, 1, 7, 1700000000, -1, 2**53 + 1, 2**70]),
    float: st.sampled_from([0, 1, 1700000000, -3, 2**53, 0.5, -0.0, 1e300, 0.1, 1e16]),
    bool: st.booleans(),
    object: odd,
    Any: odd,
    type(None): st.none(),
}


@functools.cache
def data_of(kind: Any) -> st.SearchStrategy[Any]:
    """JSON data that is right for a type of the SDK."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return data_of(args[0])
    if origin is Literal:
        return st.sampled_from(args)
    if is_union(origin):
        return st.sampled_from(args).flatmap(data_of)
    if origin is list:
        return st.lists(data_of(args[0]), max_size=2)
    if origin is dict:
        return st.dictionaries(st.sampled_from(WORDS), data_of(args[1]), max_size=2)
    return LEAVES[kind] if kind in LEAVES else st.deferred(lambda: _objects(kind))


def _objects(model: type[pydantic.BaseModel]) -> st.SearchStrategy[dict[str, Any]]:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    data = {name: data_of(field.annotation) for name, field in fields.items()}
    required = [name for name, field in fields.items() if field.is_required()]
    optional = sorted(set(fields) - set(required))
    some = st.lists(st.sampled_from(optional), max_size=4, unique=True) if optional else st.just([])
    return some.flatmap(lambda chosen: st.fixed_dictionaries({name: data[name] for name in [*required, *chosen]}))


def least(kind: Any) -> Any:
    """The least data that is right for a type of the SDK."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Annotated, Literal) or is_union(origin):
        return args[0] if origin is Literal else least(args[0])
    if origin in (list, dict):
        return [least(args[0])] if origin is list else {"a": least(args[1])}
    if kind in LEAVES:
        return {str: "a", int: 1, float: 1.5, bool: True}.get(kind)
    fields = {field.alias or name: field for name, field in kind.model_fields.items()}
    return {name: least(field.annotation) for name, field in fields.items() if field.is_required()}


@st.composite
def spoiled(draw: Any, data: st.SearchStrategy[Any], most: int = 2) -> Any:
    """`data` with up to `most` places that are not as they should be."""
    root = [copy.deepcopy(draw(data))]
    for _ in range(draw(st.integers(0, most))):
        how = draw(st.sampled_from(sorted(SPOILS)))
        places = [place for place in _places(root) if SPOILS[how](*place)]
        if places:
            _spoil(*draw(st.sampled_from(places)), how, draw(odd), draw(st.sampled_from(NAMES)))
    return root[0]


def _in_object(holder: Any, key: Any) -> bool:
    return isinstance(holder, dict)


SPOILS: Mapping[str, Callable[[Any, Any], bool]] = {
    "replaced": lambda holder, key: True,
    "null": lambda holder, key: True,
    "retyped": lambda holder, key: True,
    "unknown": lambda holder, key: isinstance(holder[key], dict),
    "unknown in the same": _in_object,
    "dropped": _in_object,
    "again": _in_object,
    "last": _in_object,
}
"""What can be wrong with the value under a key, and whether it can there."""


def _spoil(holder: Any, key: Any, how: str, value: Any, name: str) -> None:
    match how:
        case "replaced":
            holder[key] = value
        case "null":
            holder[key] = None
        case "retyped":
            holder[key] = _retyped(holder[key])
        case "unknown":
            holder[key][name] = value
        case "unknown in the same":
            holder[name] = value
        case "again":
            holder[Again(key)] = value
        case "dropped":
            del holder[key]
        case _:
            holder[key] = holder.pop(key)


def _retyped(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return as_text(f"{value}.0")
    return str(value) if isinstance(value, float) else [value]


def _places(holder: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    todo = [holder]
    while todo:
        inside = todo.pop()
        keys = list(inside) if isinstance(inside, dict) else range(len(inside))
        found += [(inside, key) for key in keys]
        todo += [inside[key] for key in keys if isinstance(inside[key], dict | list)]
    return found


_AS_TEXT = re.compile(r'"@json (.*?)@"')


def encoded(data: Any, **style: Any) -> str:
    """JSON text, with what stands for text put in."""
    return _AS_TEXT.sub(lambda found: json.loads(f'"{found[1]}"'), json.dumps(data, **style))


STYLES: Sequence[Mapping[str, Any]] = (
    {},
    {"separators": (",", ":"), "ensure_ascii": False},
    {"separators": (",", ":")},
    {"indent": 2},
    {"indent": 0, "separators": (" ,", " : ")},
)
styles = st.sampled_from(STYLES)


rarely = st.sampled_from([False] * 9 + [True])
"""What makes a reply as a whole unusual; most are as they should be."""


@st.composite
def texts(draw: Any, data: st.SearchStrategy[Any]) -> str:
    """JSON text of `data`; now and then with a piece cut out or put in."""
    text = encoded(draw(data), **draw(styles))
    if draw(rarely):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 3)))
        text = (
            text[:start] + draw(st.sampled_from(["", *'{}[]",:\\ 0-.e\x1f\ufeff', "null", "\ud800", "é"])) + text[end:]
        )
    return text


CHARSETS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-32-be", "latin-1", "cp1252"]
CONTENT_TYPES = [
    "application/json; charset=utf-8", "application/problem+json", "text/plain", "text/html; charset=latin-1", "", None,
    "application/jsonl", "JSON",
]  # fmt: skip


@st.composite
def whole(draw: Any, text: st.SearchStrategy[str]) -> Reply:
    """A reply that is not streamed."""
    charset = draw(st.sampled_from(CHARSETS)) if draw(rarely) else "utf-8"
    body = draw(text).encode(charset, "surrogatepass" if "utf" in charset else "replace")
    content_type = draw(st.sampled_from(CONTENT_TYPES)) if draw(rarely) else "application/json"
    zipped = draw(rarely)
    return Reply(
        cut(gzip.compress(body) if zipped else body, draw(sizes)),
        content_type,
        "gzip" if zipped else None,
        loaded=draw(st.booleans()),
        request_id=draw(st.sampled_from(["req_1", None])),
    )


sizes = st.lists(st.integers(1, 40), max_size=12)


def cut(body: bytes, lengths: Sequence[int]) -> list[bytes]:
    """`body` in pieces of these lengths, the last one as long as it has to be."""
    pieces: list[bytes] = []
    for length in lengths:
        pieces.append(body[:length])
        body = body[length:]
    return [piece for piece in [*pieces, body] if piece]


# --- streams of events ---

ERRORS = [
    '{"error": {"message": "Overloaded", "code": "busy", "param": null, "type": "server_error"}}',
    '{"error": {"message": "Late", "code": 5}, "id": "c", "choices": [], "created": 1, "model": "m",'
    ' "object": "chat.completion.chunk"}',
    '{"error": "text"}', '{"error": null}', '{"error": false, "a": 1}', '{"error": {}}', '{"error": [1]}',
    '{"error": {"message": 5}}', '{"\\u0065rror": {"message": "Hidden"}}', '{"type": "error", "message": "m"}',
    '["error"]', '"error"', '{"a": "error"}', '{"error"', '{"a": {"error": 1}}', '{"error": {"message": "a"}}',
    '{"error": {"message": "a"}, "error": 0}', '{"error": 0, "error": {"message": "b"}}',
    '{"id": "c", "choices": [], "created": 1, "model": "m", "object": "chat.completion.chunk", "\\u0065rror": 1}',
]  # fmt: skip
DATA = ["", " ", "null", "[]", "{}", "1", "true", '"text"', "[DONE]", "[DONE] and more", " [DONE]", "not json", *ERRORS]
LINES = [
    ":", ": keep-alive", "event: ping", "event:", "id: 5", "id:", "id: a\x00b", "retry: 10", "retry: soon", "data",
    "data:", "data: ", "data: {", "data: }", "unknown: 1", "no colon", " data: 1", "event: thread.run", "", "",
]  # fmt: skip
NAMES_OF_EVENTS = ["message", "error", "response.created", "thread.created", "thread.message", "ping", ""]


@st.composite
def blocks(draw: Any, text: st.SearchStrategy[str]) -> list[str]:
    """The lines of one event as it should be, or of something that may stand between events."""
    kind = draw(st.sampled_from(["plain"] * 6 + ["named", "named", "lines", "odd data", "odd lines", "between"]))
    if kind == "odd data":
        return [f"data: {draw(st.sampled_from(DATA))}", ""]
    if kind == "odd lines":
        return draw(st.lists(st.sampled_from(LINES), max_size=4))
    lines = [f"data: {line}" for line in (draw(text).splitlines() or [""])]
    if kind == "plain":
        return [*lines, ""]
    if kind == "named":
        return [f"event: {draw(st.sampled_from(NAMES_OF_EVENTS))}", *lines, ""]
    if kind == "lines":
        return [line.replace("data: ", draw(st.sampled_from(["data:", "data:  ", "data: "])), 1) for line in lines] + [
            ""
        ]
    lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(LINES)))
    return [*lines, ""]


LINE_ENDS = [["\n"]] * 6 + [["\r\n"]] * 2 + [["\r"], ["\n", "\r\n"], ["\n", "\r\n", "\r"]]
GONE = [httpx2.ReadError("gone"), httpx2.ReadTimeout("late"), httpx2.RemoteProtocolError("cut"), OSError("odd")]
"""What a transport may raise in the middle of a body."""


@st.composite
def bodies(draw: Any, text: st.SearchStrategy[str]) -> bytes:
    """The bytes of a stream."""
    lines = [line for block in draw(st.lists(blocks(text), max_size=5)) for line in block]
    if draw(st.booleans()):
        lines += ["data: [DONE]", ""]
    ends = draw(st.sampled_from(LINE_ENDS))
    one = len(ends) == 1
    body = "".join(line + (ends[0] if one else draw(st.sampled_from(ends))) for line in lines)
    found = body.encode("utf-8", "surrogatepass")
    if draw(rarely):
        found = found[: draw(st.integers(0, len(found)))]
    if draw(rarely):
        place = draw(st.integers(0, len(found)))
        found = found[:place] + draw(st.sampled_from([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\n", b"\r"])) + found[place:]
    return found


@st.composite
def streamed(draw: Any, text: st.SearchStrategy[str]) -> Reply:
    """A streamed reply, cut into pieces wherever it may be."""
    body = draw(bodies(text))
    how = draw(st.sampled_from(["sizes", "sizes", "bytes", "one"]))
    lengths = draw(sizes) if how == "sizes" else [1] * len(body) if how == "bytes" else []
    error, loaded, http2 = draw(st.sampled_from(GONE)), draw(rarely), draw(rarely)
    return Reply(
        cut(body, lengths), "text/event-stream", error=error if draw(rarely) else None, loaded=loaded, http2=http2
    )
