"""Streams: the same events as the SDK's, the same exception at the end, and as much read of the body."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, get_args

import httpx2
import openai
import pytest
from fast.replies import (
    GONE,
    KIT,
    Reply,
    Server,
    Way,
    check,
    check_everywhere,
    cut,
    data_of,
    each,
    kinds,
    least,
    method_of,
    new_client,
    often,
    opened,
    portrait,
    rarely,
    ready,
    seen,
    seen_by,
    seldom,
    spoiled,
    streamed,
    texts,
)
from hypothesis import given
from hypothesis import strategies as st
from openai import _streaming_cleanup
from openai._streaming import ServerSentEvent, SSEDecoder
from openai._streaming import _SSELineDecoder as LineDecoder
from openai.types import Completion, ImageEditStreamEvent, ImageGenStreamEvent
from openai.types.audio import TranscriptionStreamEvent
from openai.types.beta import AssistantStreamEvent, BetaResponseStreamEvent
from openai.types.beta.agent_session_event import AgentSessionEvent
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from llmkit import wrap
from llmkit.fast import events
from llmkit.fast.models import builder

pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # of the SDK's helpers, on odd data

MESSAGES = [{"role": "user", "content": "Name a colour."}]
CHAT: Any = {"model": "gpt-4o", "messages": MESSAGES, "stream_options": {"include_usage": True}}
RESPONSES: Any = {"model": "gpt-4o", "input": "Name a colour."}
LEGACY: Any = {"model": "gpt-3.5-turbo-instruct", "prompt": "Hi", "stream_options": {"include_usage": True}}


@pytest.fixture(autouse=True)
def _without_a_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK reads what comes after the last event for a tenth of a second."""
    monkeypatch.setattr(_streaming_cleanup, "_DRAIN_TIMEOUT", 3600)


# --- the ways to one stream ---


def creates(path: str, **arguments: Any) -> Way:
    """All events that a method streams."""

    async def way(client: Any) -> AsyncIterator[Any]:
        async for event in each(await ready(method_of(client, path)(**arguments))):
            yield event

    return way


def parses_raw(path: str, **arguments: Any) -> Way:
    """The same through the raw response."""

    async def way(client: Any) -> AsyncIterator[Any]:
        owner, _, name = path.rpartition(".")
        raw = await ready(method_of(client, f"{owner}.with_raw_response.{name}")(**arguments))
        async for event in each(raw.parse()):
            yield event

    return way


def opens(path: str, **arguments: Any) -> Way:
    """The same through the streaming response."""

    async def way(client: Any) -> AsyncIterator[Any]:
        owner, _, name = path.rpartition(".")
        async with opened(method_of(client, f"{owner}.with_streaming_response.{name}")(**arguments)) as response:
            async for event in each(await ready(response.parse())):
                yield event

    return way


def reads_lines(path: str, **arguments: Any) -> Way:
    """The lines, as they came."""

    async def way(client: Any) -> AsyncIterator[Any]:
        owner, _, name = path.rpartition(".")
        async with opened(method_of(client, f"{owner}.with_streaming_response.{name}")(**arguments)) as response:
            async for line in each(response.iter_lines()):
                yield line

    return way


def stops(path: str, **arguments: Any) -> Way:
    """Two events at most, then the stream is closed."""

    async def way(client: Any) -> AsyncIterator[Any]:
        async with opened(await ready(method_of(client, path)(**arguments))) as stream:
            left = each(stream)
            for _ in range(2):
                async for event in left:
                    yield event
                    break

    return way


def posts(kind: Any, stream_cls: Any = None, **options: Any) -> Way:
    """The events of a request of the user's own."""

    async def way(client: Any) -> AsyncIterator[Any]:
        own = stream_cls or {True: openai.AsyncStream, False: openai.Stream}
        cls = own[isinstance(client, openai.AsyncOpenAI)][kind]
        stream = await ready(client.post("/any", cast_to=object, body={}, stream=True, stream_cls=cls, options=options))
        async for event in each(stream):
            yield event

    return way


def helps(path: str, **arguments: Any) -> Way:
    """What a `.stream()` helper tells, event by event, each as it was when it came."""

    async def way(client: Any) -> AsyncIterator[Any]:
        async with opened(method_of(client, path)(**arguments)) as stream:
            async for event in each(stream):
                yield repr(portrait(event))

    return way


def all_of(path: str, **arguments: Any) -> list[Way]:
    return [make(path, **arguments) for make in (creates, parses_raw, opens, reads_lines, stops)]


STREAMS: Mapping[str, tuple[Any, Sequence[Way]]] = {
    "chat": (ChatCompletionChunk, all_of("chat.completions.create", **CHAT, stream=True)),
    "completions": (Completion, all_of("completions.create", **LEGACY, stream=True)),
    "responses": (ResponseStreamEvent, all_of("responses.create", **RESPONSES, stream=True)),
    "responses.retrieve": (ResponseStreamEvent, all_of("responses.retrieve", response_id="r", stream=True)),
    "chat helper": (ChatCompletionChunk, [helps("chat.completions.stream", **CHAT)]),
    "responses helper": (ResponseStreamEvent, [helps("responses.stream", **RESPONSES)]),
    "images": (ImageGenStreamEvent, all_of("images.generate", prompt="A cat", stream=True)),
    "edits": (ImageEditStreamEvent, [posts(ImageEditStreamEvent)]),
    "transcriptions": (TranscriptionStreamEvent, [posts(TranscriptionStreamEvent)]),
    "assistants": (AssistantStreamEvent, [posts(AssistantStreamEvent, synthesize_event_and_data=True)]),
    "beta": (BetaResponseStreamEvent, [posts(BetaResponseStreamEvent)]),
    "agents": (AgentSessionEvent, [posts(AgentSessionEvent, stream_mode="events"), posts(AgentSessionEvent)]),
    "modes": (
        ChatCompletionChunk,
        [posts(ChatCompletionChunk, stream_mode="events"), posts(ChatCompletionChunk, synthesize_event_and_data=True)],
    ),
}
OFTEN = {"chat", "responses"}


def check_some_stream(name: str, data: st.DataObject) -> None:
    kind, ways = STREAMS[name]
    stack, is_async = data.draw(kinds)
    way = data.draw(st.sampled_from(ways))
    reply = data.draw(streamed(texts(spoiled(data_of(kind), most=1))))
    check(way, reply, stack, is_async=is_async, strict=data.draw(rarely))


@pytest.mark.parametrize("name", sorted(OFTEN))
@often
@given(data=st.data())
def test_a_stream_is_what_the_sdk_makes_of_it(name: str, data: st.DataObject) -> None:
    check_some_stream(name, data)


@pytest.mark.parametrize("name", sorted(set(STREAMS) - OFTEN))
@seldom
@given(data=st.data())
def test_every_other_stream_is_what_the_sdk_makes_of_it(name: str, data: st.DataObject) -> None:
    check_some_stream(name, data)


# --- one oddity each ---

CHUNK = (
    '{"id":"c","choices":[{"index":0,"delta":{"content":"é"}}],"created":1,"model":"m",'
    '"object":"chat.completion.chunk"}'
)
DELTA = (
    '{"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"delta":"é","logprobs":[],'
    '"sequence_number":1}'
)
ERROR = '{"error":{"message":"Overloaded","type":"server_error","code":"busy","param":null}}'
GOOD = {"chat": CHUNK, "responses": DELTA}
PATHS: Mapping[str, Way] = {
    "chat": creates("chat.completions.create", **CHAT, stream=True),
    "responses": creates("responses.create", **RESPONSES, stream=True),
}
ODDITIES: Mapping[str, str | bytes] = {
    "nothing": "",
    "only the end": "data: [DONE]\n\n",
    "as it should be": "data: GOOD\n\ndata: GOOD\n\ndata: [DONE]\n\n",
    "CRLF": "data: GOOD\r\n\r\ndata: GOOD\r\n\r\ndata: [DONE]\r\n\r\n",
    "CR": "data: GOOD\r\rdata: GOOD\r\rdata: [DONE]\r\r",
    "LF and CRLF": "data: GOOD\n\r\ndata: GOOD\r\n\ndata: [DONE]\r\n\n",
    "LF and CR": "data: GOOD\n\rdata: GOOD\r\r\ndata: GOOD\n\r\rid: 1\rdata: GOOD\r\r\ndata: GOOD\r\r\n\n",
    "named": "event: message\ndata: GOOD\n\nevent:x\ndata:GOOD\n\nevent: \ndata: GOOD\n\n",
    "no name and a name": "data: GOOD\nevent: message\n\n",
    "comments": ": hello\n\ndata: GOOD\n: inside\n\n:\n\ndata: GOOD\n\n",
    "keep-alives": ": keep-alive\n\n" * 3 + "data: GOOD\n\n" + ": keep-alive\n\n",
    "pings": "event: ping\n\ndata: GOOD\n\n",
    "ids": "id: 1\ndata: GOOD\n\nid: 2\ndata: GOOD\n\n",
    "an id and one blank line more": "id: 1\ndata: GOOD\n\n\ndata: GOOD\n\n",
    "an id that is none": "id: a\0b\ndata: GOOD\n\n\ndata: GOOD\n\n",
    "retry": "retry: 10\ndata: GOOD\n\n",
    "retry alone": "data: GOOD\n\nretry: 10\n\ndata: GOOD\n\n",
    "blank lines": "\n\n\ndata: GOOD\n\n\n\n\ndata: GOOD\n\n\n",
    "data in two lines": 'data: {"a":\ndata: 1}\n\ndata: GOOD\n\n',
    "no space": "data:GOOD\n\ndata:  GOOD\n\ndata:\tGOOD\n\n",
    "a space before": " data: GOOD\n\ndata: GOOD\n\n",
    "fields nobody knows": "unknown: 1\ndata: GOOD\nno colon\n\n",
    "data without a colon": "data\n\ndata: GOOD\n\n",
    "no blank line at the end": "data: GOOD\n\ndata: GOOD\n",
    "no line end at the end": "data: GOOD\n\ndata: GOOD",
    "bytes after the end": "data: GOOD\n\ndata: [DONE]\n\ndata: GOOD\n\n\xff",
    "more in the last event": "data: GOOD\n\ndata: [DONE] and more\n\ndata: GOOD\n\n",
    "a space before the end": "data: GOOD\n\ndata:  [DONE]\n\n",
    "an error": "data: GOOD\n\ndata: ERROR\n\ndata: GOOD\n\n",
    "an error by name": "event: error\ndata: ERROR\n\n",
    "an error that names itself": 'data: {"type":"error","code":"busy","message":"Overloaded","param":null,"sequence_number":1}\n\n',  # noqa: E501
    "an error beside the rest": 'data: {"error":{"message":"Late"},REST\n\ndata: GOOD\n\n',
    "an error behind the rest": 'data: TSER,"error":"text"}\n\ndata: GOOD\n\n',
    "an error that is null": 'data: {"error":null,REST\n\ndata: GOOD\n\n',
    "an error that is false": 'data: {"error":false,REST\n\ndata: {"error":{},REST\n\n',
    "an error twice": 'data: {"error":1,REST\n\n',
    "an error written with escapes": 'data: {"\\u0065rr\\u006Fr":{"message":"Hidden"},REST\n\n',
    "a word written with escapes": 'data: {"x":"\\u0061\\u0070",REST\n\n',
    "an error in a list": 'data: ["error"]\n\ndata: "error"\n\n',
    "an error inside": 'data: {"x":{"error":"text"},REST\n\n',
    "an error that is no JSON": 'data: {"error":\n\n',
    "a thread": "event: thread.created\ndata: GOOD\n\nevent: thread.run.created\ndata: {}\n\n",
    "an error of a thread": "event: thread.error\ndata: ERROR\n\n",
    "no JSON": "data: GOOD\n\ndata: not json\n\n",
    "other JSON": "data: []\n\ndata: 1\n\ndata: true\n\ndata: null\n\ndata: [GOOD]\n\ndata: {}\n\n",
    "text": 'data: "text"\n\n',
    "no data": "data: GOOD\n\ndata:\n\n",
    "blank data": "data: GOOD\n\ndata:  \n\n",
    "a type nobody knows": 'data: {"type":"response.new","x":1}\n\ndata: {"type":null}\n\ndata: {"type":5}\n\n',
    "a type of another": 'data: {"type":"response.completed","delta":"x"}\n\n',
    "a type behind another": 'data: {"item":{"type":"message"},"type":"response.output_item.added","output_index":0,"sequence_number":1}\n\n',  # noqa: E501
    "fields nobody knows in JSON": 'data: {"x":{"y":[1]},"_fields_set":["id"],REST\n\ndata: {"x":null,REST\n\n',
    "fields the SDK takes for its own": 'data: {"_fields_set":null,REST\n\n',
    "wrong types": 'data: {"model":5,"delta":5,"created":"1","sequence_number":"1",REST\n\n',
    "a byte order mark": "\ufeffdata: GOOD\n\ndata: GOOD\n\n",
    "a byte order mark in the data": "data: \ufeffGOOD\n\n",
    "separators of Unicode": 'data: {"x":"\u2028\x85\x0b\x0c",REST\n\n',
    "half a pair": 'data: {"x":"\\ud83d",REST\n\n',
    "deep": 'data: {"x":' + "[" * 300 + "]" * 300 + ",REST\n\n",
    "not a number": 'data: {"x":[NaN,Infinity,-Infinity],REST\n\n',
    "large numbers": 'data: {"x":[1e400,-0,-0.0,9007199254740993,1' + "0" * 400 + "],REST\n\n",
    "no UTF-8": b"data: GOOD\n\ndata: \xff\n\ndata: GOOD\n\n",
    "no UTF-8 in a name": b"event: \xff\ndata: GOOD\n\n",
    "no UTF-8 in a comment": b": \xff\n\ndata: GOOD\n\n",
    "half a character at the end": "data: GOOD\n\ndata: {é".encode()[:-1],
    "a surrogate": b'data: {"x":"\xed\xa0\x80"}\n\n',
}


def body_of(name: str, api: str) -> bytes:
    good = GOOD[api]
    odd = ODDITIES[name]
    raw = odd if isinstance(odd, bytes) else odd.encode("utf-8")
    for word, text in {"GOOD": good, "ERROR": ERROR, "REST": good[1:], "TSER": good[:-1]}.items():
        raw = raw.replace(word.encode(), text.encode())
    return raw


@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("name", ODDITIES)
def test_every_oddity_is_what_the_sdk_makes_of_it_however_it_is_cut(name: str, api: str) -> None:
    body = body_of(name, api)
    for lengths in ([], [1] * len(body), [len(body) // 2], [len(body) - 1]):
        check_everywhere(PATHS[api], Reply(cut(body, lengths), "text/event-stream"))


@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("error", GONE, ids=repr)
def test_what_came_before_the_connection_broke_is_seen(api: str, error: Exception) -> None:
    body = f"data: {GOOD[api]}\n\ndata: {GOOD[api]}\n\ndata: {GOOD[api]}".encode()
    for lengths in ([], [1] * len(body), [20]):
        found = check_everywhere(PATHS[api], Reply(cut(body, lengths), "text/event-stream", error=error))
        assert len(found.values) == 2
        assert found.error is not None


@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize(
    "form", [{"loaded": True}, {"http2": True}, {"request_id": None}, {"content_type": None}], ids=repr
)
def test_the_form_of_the_answer_does_not_matter(api: str, form: Any) -> None:
    for name in ("as it should be", "no JSON", "wrong types", "bytes after the end"):
        check_everywhere(PATHS[api], Reply([body_of(name, api)], **{"content_type": "text/event-stream", **form}))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("api", PATHS)
def test_a_client_that_validates_strictly_raises_what_the_sdk_raises(api: str, strict: bool) -> None:
    for name in ("as it should be", "wrong types", "other JSON", "a type nobody knows"):
        check_everywhere(PATHS[api], Reply([body_of(name, api)], "text/event-stream"), strict=strict)


# --- how it is done ---


@pytest.fixture
def _not_by_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("the SDK had to build it")

    monkeypatch.setattr(openai._base_client.BaseClient, "_process_response_data", refuse)


QUICK = ["chat", "completions", "responses", "images", "edits", "transcriptions", "beta"]


@pytest.mark.usefixtures("_not_by_the_sdk")
@pytest.mark.parametrize("name", QUICK)
def test_every_event_that_is_right_is_built_in_one_step(name: str) -> None:
    kind = STREAMS[name][0]
    variants = get_args(get_args(kind)[0]) if get_args(kind) else (kind,)
    sent = [least(variant) for variant in variants]
    first = [{"type": data["type"], **data} if "type" in data else data for data in sent]  # as the API puts it
    body = "".join(f"data: {json.dumps(data)}\n\n" for data in first).encode()
    for is_async in (False, True):
        found = seen(posts(kind), Reply([body], "text/event-stream"), "bare", is_async=is_async)
        assert [type(event) for event in found.values] == list(variants)
        assert found.error is None


@pytest.mark.usefixtures("_not_by_the_sdk")
@pytest.mark.parametrize("name", ["CRLF", "CR", "LF and CRLF", "named", "comments", "ids", "no space"])
def test_an_event_is_built_in_one_step_however_it_is_sent(name: str) -> None:
    body = body_of(name, "chat")
    for lengths in ([], [1] * len(body)):
        found = seen(PATHS["chat"], Reply(cut(body, lengths), "text/event-stream"), "bare", is_async=False)
        assert {type(event) for event in found.values} == {ChatCompletionChunk}
        assert found.error is None


def test_an_event_is_seen_at_the_byte_at_which_the_sdk_sees_it() -> None:
    for name in ODDITIES:
        pieces = cut(body_of(name, "chat"), [1] * 2000)
        assert counts(events.Decoder(builder(ChatCompletionChunk) or repr), pieces) == counts(SSEDecoder(), pieces), (
            name
        )


def counts(decoder: Any, pieces: Sequence[bytes]) -> list[int]:
    """How many bytes had been read at each event."""
    read: list[int] = []
    given = 0

    def bytes_of() -> Iterator[bytes]:
        nonlocal given
        for piece in pieces:
            given += len(piece)
            yield piece

    with suppress(UnicodeDecodeError):
        for _ in decoder.iter_bytes(bytes_of()):
            read.append(given)
    return read


class Counted:
    """A pattern that adds up how many bytes it was given to look at."""

    def __init__(self, pattern: Any, work: list[int]) -> None:
        self._pattern = pattern
        self._work = work

    def match(self, text: bytes, at: int) -> Any:
        self._work.append(len(text) - at)
        return self._pattern.match(text, at)

    def search(self, text: bytes, at: int) -> Any:
        self._work.append(len(text) - at)
        return self._pattern.search(text, at)


@pytest.mark.parametrize("size", [1, 10, 1000, 10**6])
def test_a_large_event_is_looked_at_once_however_many_pieces_it_comes_in(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: list[int] = []
    for name in ("_SIMPLE", "_BLANK_LINE"):
        monkeypatch.setattr(events, name, Counted(getattr(events, name), work))
    large = json.dumps({**json.loads(CHUNK), "x": "x" * 200_000})
    body = f"data: {large}\n\ndata: {CHUNK}\n\n".encode()
    decoder = events.Decoder(builder(ChatCompletionChunk) or repr)
    found = list(decoder.iter_bytes(iter(cut(body, [size] * (len(body) // size)))))
    assert [type(event.json()) for event in found] == [ChatCompletionChunk] * 2
    assert sum(work) <= 3 * len(body)


# --- what users and providers put in the SDK's place ---


class PlainStream(openai.Stream[Any]):
    """A user's own, which takes the events as they are."""

    def __stream__(self) -> Iterator[Any]:
        for event in self._iter_events():
            yield event.event, event.data, event.data.startswith("[DONE]") or event.json()


class AsyncPlainStream(openai.AsyncStream[Any]):
    async def __stream__(self) -> AsyncIterator[Any]:
        async for event in self._iter_events():
            yield event.event, event.data, event.data.startswith("[DONE]") or event.json()


class FilteredStream(openai.Stream[Any]):
    """A user's own, which looks at the events before the SDK does."""

    def _iter_events(self) -> Iterator[ServerSentEvent]:
        for event in super()._iter_events():
            if "[DONE]" in event.data or event.json()["id"]:
                yield event


class AsyncFilteredStream(openai.AsyncStream[Any]):
    async def _iter_events(self) -> AsyncIterator[ServerSentEvent]:
        async for event in super()._iter_events():
            if "[DONE]" in event.data or event.json()["id"]:
                yield event


class NamedStream(openai.Stream[ChatCompletionChunk]):
    """A user's own, which only has a name."""


class AsyncNamedStream(openai.AsyncStream[ChatCompletionChunk]):
    pass


OWN_STREAMS: Mapping[str, Mapping[bool, Any]] = {
    "plain": {False: {ChatCompletionChunk: PlainStream}, True: {ChatCompletionChunk: AsyncPlainStream}},
    "filtered": {False: {ChatCompletionChunk: FilteredStream}, True: {ChatCompletionChunk: AsyncFilteredStream}},
    "named": {False: {ChatCompletionChunk: NamedStream}, True: {ChatCompletionChunk: AsyncNamedStream}},
}


@pytest.mark.parametrize("own", OWN_STREAMS)
def test_a_stream_class_of_the_users_sees_what_it_always_saw(own: str) -> None:
    way = posts(ChatCompletionChunk, OWN_STREAMS[own])
    for name in ("as it should be", "named", "an error", "other JSON", "no JSON", "no UTF-8", "no line end at the end"):
        for lengths in ([], [30]):
            reply = Reply(cut(body_of(name, "chat"), lengths), "text/event-stream")
            check_everywhere(way, reply, reads_alike=own != "plain")  # which does not close what it reads


@pytest.mark.parametrize("stack", KIT)
def test_a_stream_class_given_to_a_raw_response_is_the_callers(stack: str) -> None:
    def parses_to(own: Mapping[bool, Any]) -> Way:
        async def way(client: Any) -> AsyncIterator[Any]:
            raw = await ready(client.chat.completions.with_raw_response.create(**CHAT, stream=True))
            async for event in each(raw.parse(to=own[isinstance(client, openai.AsyncOpenAI)])):
                yield event

        return way

    reply = Reply([body_of("as it should be", "chat")], "text/event-stream")
    for is_async in (False, True):
        for own in ({False: PlainStream, True: AsyncPlainStream}, {False: NamedStream, True: AsyncNamedStream}):
            assert check(parses_to(own), reply, stack, is_async=is_async).values


class Backwards(SSEDecoder):
    """A provider's decoder."""

    def decode(self, line: str) -> ServerSentEvent | None:
        return super().decode(line.replace("TAD", "data"))


class Provider(openai.OpenAI):
    def _make_sse_decoder(self) -> SSEDecoder:
        return Backwards()


def test_a_decoder_of_a_providers_is_left_in_place() -> None:
    server = Server()
    server.reply = Reply([body_of("as it should be", "chat").replace(b"data", b"TAD")], "text/event-stream")
    http = httpx2.Client(transport=httpx2.MockTransport(server))
    client = Provider(api_key="sk-fake", http_client=http)
    for each_client in (client, wrap(client, middleware=[])):
        found = list(each_client.chat.completions.create(**CHAT, stream=True))
        assert [type(event) for event in found] == [ChatCompletionChunk] * 2


@pytest.mark.parametrize(
    ("name", "is_async"), [(name, is_async) for name in ("OpenAI", "AzureOpenAI") for is_async in (False, True)]
)
def test_a_wrapped_client_streams_the_same(name: str, is_async: bool) -> None:
    for oddity in ("as it should be", "an error", "fields nobody knows in JSON", "no JSON"):
        server = Server()
        server.reply = Reply([body_of(oddity, "chat")], "text/event-stream")
        raw = new_client(None, is_async=is_async, server=server, name=name)
        expected = seen_by(PATHS["chat"], raw, is_async=is_async)
        found = seen_by(PATHS["chat"], wrap(raw), is_async=is_async)
        assert portrait(found) == portrait(expected)


def test_an_event_shows_what_the_sdks_does() -> None:
    event = events.Event("message", CHUNK, repr)
    sdks = ServerSentEvent(event="message", data=CHUNK)
    assert (event.event, event.data, event.id, event.retry) == (sdks.event, sdks.data, sdks.id, sdks.retry)


def test_the_sdks_line_decoder_is_where_it_was() -> None:
    lines = LineDecoder()
    assert list(lines.feed(b"a\r\nb\rc")) == [b"a", b"b"]
    assert list(lines.finish()) == [b"c"]
