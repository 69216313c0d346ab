"""The two places where an open answer is observed: its bytes, and the SDK's own stream class over them.

Neither replaces the response or the stream object: `stream.response.aclose()`, `isinstance` checks and
`async with` keep working, and whatever closes the response is seen at that moment.
"""

from __future__ import annotations

import functools
import json
import types
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import openai

from llmkit.streaming.reader import ByteReader
from llmkit.streaming.watch import Watch
from llmkit.structure import has_no_events, invalid_response

_WATCH = "llmkit.watch"


class _Tap:
    """What the sync and the async byte stream share."""

    def __init__(self, response: Any, watch: Watch) -> None:
        self.watch = watch
        self._response = response
        self._source = response.stream
        self._reader = _reader(response, watch, encoding=response.headers.get("content-encoding", ""))

    def __del__(self) -> None:
        self.watch.closed()  # nobody can read it any more

    def _feed(self, chunk: bytes) -> bytes:
        """The bytes to hand on."""
        self.watch.received.feed(chunk)
        return self._reader.feed(chunk)

    def _at_end(self) -> bytes:
        rest = self._reader.flush()
        content = self._reader.content
        if content:
            decoded = type(self._response)(200, headers=self._response.headers, content=content)
            self.watch.saw_json(decoded.content)
        if not self.watch.reading:
            self.watch.end(whole=True)
        return rest

    def _failed(self, error: BaseException) -> None:
        if not isinstance(error, GeneratorExit) and not self.watch.reading:
            self.watch.end(whole=False, error=error)


class _SyncTap(_Tap):
    @functools.cached_property
    def _pieces(self) -> Iterator[bytes]:
        return iter(self._source)

    def __iter__(self) -> Iterator[bytes]:
        try:
            self.watch.received.asked_for_more()
            for chunk in self._pieces:
                if shown := self._feed(chunk):
                    yield shown
                self.watch.received.asked_for_more()
            if rest := self._at_end():
                yield rest
        except BaseException as error:
            self._failed(error)
            raise

    def close(self) -> None:
        try:
            self._source.close()
        finally:
            self.watch.closed()


class _AsyncTap(_Tap):
    @functools.cached_property
    def _pieces(self) -> AsyncIterator[bytes]:
        return aiter(self._source)  # one for all readers: the SDK drains what it has half read

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            self.watch.received.asked_for_more()
            async for chunk in self._pieces:
                if shown := self._feed(chunk):
                    yield shown
                self.watch.received.asked_for_more()
            if rest := self._at_end():
                yield rest
        except BaseException as error:
            self._failed(error)
            raise

    async def aclose(self) -> None:
        try:
            await self._source.aclose()
        finally:
            self.watch.closed()


def tap(response: Any, watch: Watch) -> None:
    """Have `watch` told of the bytes and of the end of an open httpx2 (or legacy httpx) response."""
    response.stream = _tap_class(cast("Any", type(response.stream)), hasattr(response.stream, "aclose"))(
        response, watch
    )
    response.extensions[_WATCH] = watch


def watch_loaded(response: Any, watch: Watch) -> None:
    """Tell `watch` all about a response that is already in memory and closed: there is nothing to wait for."""
    try:
        content = response.content
    except RuntimeError:  # closed before it was read, by a hook of the user's
        content = b""
    reader = _reader(response, watch, encoding="")
    reader.feed(content)
    reader.flush()
    if reader.content:
        watch.saw_json(reader.content)
    watch.end(whole=True)
    response.extensions[_WATCH] = watch


def _reader(response: Any, watch: Watch, *, encoding: str) -> ByteReader:
    return ByteReader(watch, content_type=response.headers.get("content-type", ""), encoding=encoding)


@functools.cache
def _tap_class(stream_class: type, is_async: bool) -> type[_Tap]:
    # httpx checks for its own base class before it reads or closes; legacy httpx has another one.
    wanted = "AsyncByteStream" if is_async else "SyncByteStream"
    base = next(cls for cls in stream_class.__mro__ if cls.__name__ == wanted)
    return cast("type[_Tap]", type("Tap", (_AsyncTap if is_async else _SyncTap, base), {}))


@functools.cache
def observed(stream_cls: Any) -> Any:
    """A subclass of the SDK's stream class (`AsyncStream[ChatCompletionChunk]`, say) that reports its events."""
    origin = getattr(stream_cls, "__origin__", stream_cls)
    stream = _async_stream if issubclass(origin, openai.AsyncStream) else _sync_stream

    def fill(namespace: dict[str, Any]) -> None:
        namespace["__stream__"] = stream(lambda: cls)
        namespace["__module__"] = origin.__module__

    cls = types.new_class(origin.__name__, (stream_cls,), exec_body=fill)
    return cls


def _sync_stream(cls: Any) -> Any:
    def __stream__(self: Any) -> Iterator[Any]:
        watch = _watch_of(self)
        try:
            events = _stream_of(cls(), self)
            if watch.deadlines is not None:
                events = watch.deadlines.blocking_events(events, self.response)
            for event in events:
                if watch.saw(event):
                    watch.reading = False
                    yield event
                    watch.reading = True
            _check_events(watch, self.response)
        except BaseException as error:
            _end(watch, error, self.response)
            raise
        finally:
            self.response.close()
        _end(watch, None, self.response)

    return __stream__


def _async_stream(cls: Any) -> Any:
    async def __stream__(self: Any) -> AsyncIterator[Any]:
        watch = _watch_of(self)
        try:
            events = _stream_of(cls(), self)
            if watch.deadlines is not None:
                events = watch.deadlines.events(events)
            async for event in events:
                if watch.saw(event):
                    watch.reading = False
                    yield event
                    watch.reading = True
            _check_events(watch, self.response)
        except BaseException as error:
            _end(watch, error, self.response)
            raise
        finally:
            await self.response.aclose()
        _end(watch, None, self.response)

    return __stream__


def _stream_of(cls: Any, stream: Any) -> Any:
    return cast("Any", super(cls, stream)).__stream__()


def _watch_of(stream: Any) -> Watch:
    watch: Watch = stream.response.extensions[_WATCH]
    watch.typed = watch.reading = True
    return watch


def _check_events(watch: Watch, response: Any) -> None:
    """A JSON answer where a stream was asked for is read as a stream without events."""
    if watch.empty and has_no_events(response):
        raise invalid_response("a stream of events", response, operation=watch.record.operation)


def _end(watch: Watch, error: BaseException | None, response: Any) -> None:
    watch.reading = False
    if isinstance(error, json.JSONDecodeError):
        request_id = response.headers.get("x-request-id")
        error.add_note(
            f"The server sent a stream event that is not JSON (POST {response.request.url.path}, request id "
            f"{request_id!r}). A proxy or a server that is not OpenAI-compatible is the usual cause."
        )
    cut_by_reader = error is None or isinstance(error, GeneratorExit)
    watch.end(whole=error is None, error=None if cut_by_reader else error)
