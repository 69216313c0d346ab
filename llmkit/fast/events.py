"""The events of a stream, cut from the bytes and built in one step; the SDK's own stream hands them out."""

from __future__ import annotations

import functools
import json
import re
import types
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final, cast

from llmkit import _sdk
from llmkit.fast.models import Build, builder

_SIMPLE: Final = re.compile(rb"(?:event: ?([^\r\n]*)\r?\n)?data: ?([^\r\n]*)(?:\r\n\r\n|\n\n)")
"""A whole event as the APIs send them: one line of data, perhaps a name before it."""
_BLANK_LINE: Final = re.compile(rb"\n\n|\r\n\r\n")
_ERROR: Final = '"error"'


class Event:
    """What the SDK's stream reads of an event; `json()` is the finished model, which the stream passes on."""

    __slots__ = ("_build", "data", "event")
    id: str | None = None
    retry: int | None = None

    def __init__(self, name: str | None, data: str, build: Build) -> None:
        self.event = name
        self.data = data
        self._build = build

    def json(self) -> Any:
        """The model; plain JSON for errors and for what only the SDK can build."""
        data = self.data
        if _ERROR in data or "\\u006" in data or "\\u007" in data:  # the key may be written with escapes
            plain: Any = json.loads(data)
            if not isinstance(plain, dict) or plain.get("error"):  # pyright: ignore[reportUnknownMemberType]
                return plain  # pyright: ignore[reportUnknownVariableType]
        try:
            return self._build(data)
        except ValueError:
            return json.loads(data)


class Decoder:
    """Cuts a stream into events in the SDK's place; what is not as plain as the APIs send it, the SDK cuts."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._between = True
        self._lines = _sdk.LineDecoder()
        self._sdks = _sdk.SSEDecoder()

    def iter_bytes(self, pieces: Iterator[bytes]) -> Iterator[Any]:
        """The events in the bytes of a response."""
        for piece in pieces:
            yield from self._events(piece)
        self._finish()

    async def aiter_bytes(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        """The events in the bytes of a response."""
        async for piece in pieces:
            for event in self._events(piece):
                yield event
        self._finish()

    def _events(self, piece: bytes) -> Iterator[Any]:
        """The events that `piece` completes, at the byte at which the SDK has them."""
        at = 0
        while at < len(piece):
            simple = _SIMPLE.match(piece, at) if self._between else None
            if simple:
                yield self._event(simple)
                at = simple.end()
                continue
            blank = _BLANK_LINE.search(piece, at)
            end = blank.end() if blank else len(piece)
            yield from self._decoded(self._lines.feed(piece[at:end]))
            self._between = blank is not None
            at = end

    def _finish(self) -> None:
        for line in self._lines.finish():  # it has not ended, so it makes no event; but it may be no text
            self._sdks.decode(line.decode())

    def _event(self, simple: re.Match[bytes]) -> Any:
        name, data = simple.groups()
        try:
            return self._ready(name.decode() if name else None, data.decode())
        except UnicodeDecodeError:
            return list(self._decoded(iter(simple[0].splitlines())))  # raises the SDK's, which counts from the line

    def _ready(self, name: str | None, data: str) -> Any:
        if name and name.startswith("thread."):  # the SDK puts its data into an object beside the name
            return _sdk.ServerSentEvent(event=name, data=data)
        return Event(name, data, self._build)

    def _decoded(self, lines: Iterator[bytes]) -> Iterator[Any]:
        for line in lines:
            event = self._sdks.decode(line.decode())
            if event is not None:
                yield self._ready(event.event, event.data)


@functools.cache
def quick(stream_cls: Any) -> Any:
    """A subclass of the SDK's stream class that builds its events in one step, where it can."""
    origin = getattr(stream_cls, "__origin__", stream_cls)
    if not _sdk.reads_events_as_usual(origin):
        return stream_cls

    def __stream__(self: Any) -> Any:
        build = builder(_sdk.event_type(self)) if _sdk.takes_plain_events(self) else None
        if build is not None:
            _sdk.set_decoder(self, Decoder(build))
        return cast("Any", super(cls, self)).__stream__()

    def fill(namespace: dict[str, Any]) -> None:
        namespace.update(__stream__=__stream__, __module__=origin.__module__)

    cls = types.new_class(origin.__name__, (stream_cls,), exec_body=fill)
    return cls
