"""Streams sent on to browsers: as server-sent events and over a WebSocket."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol

import anyio
import openai

from llmkit.record import logger
from llmkit.streaming.event_json import event_json
from llmkit.streaming.fragments import field_of
from llmkit.streaming.waiting import ReadAhead, ReadStream

SSE_HEADERS: Final[Mapping[str, str]] = MappingProxyType({"cache-control": "no-cache", "x-accel-buffering": "no"})
"""Headers that keep proxies and browsers from holding events back."""

_AHEAD = 16
_PING = b": ping\n\n"
_DONE = b"data: [DONE]\n\n"

OnMessage = Callable[[str | bytes], Awaitable[None] | None]
"""Takes what the browser sends while an answer is on its way to it."""


class WebSocket(Protocol):
    """What `to_websocket` needs of an accepted WebSocket; that of Starlette and FastAPI has it."""

    async def send_text(self, data: str) -> None:
        """Send one text message."""
        ...

    async def receive(self) -> Any:
        """The next ASGI message: "websocket.receive" or "websocket.disconnect"."""
        ...


def to_sse(stream: AsyncIterable[Any], *, ping: float | None = 15.0) -> ServerSentEvents:
    """The stream as server-sent events: `StreamingResponse(to_sse(stream), headers=SSE_HEADERS, ...)`.

    Give the response `media_type="text/event-stream"`. Each event is one `data:` line of JSON, as the API sent it,
    after an `event:` line if it has a `type`; the last is `data: [DONE]`. The steps of a tool loop go out with the
    fields that their repr shows: tool results too, the history not. Every `ping` seconds of silence a comment
    is sent (None: never), so that proxies keep the connection and servers notice that a browser has gone. If the
    stream breaks, the last event is `error`, with the class of the exception and none of its text; what is not an
    `openai.OpenAIError` is raised after it. The stream is closed when the response ends, in whatever way.

    Some events of the Responses API carry the request, `instructions` and tools too, or the API's words about a
    failure: pass on only those that your users may see.
    """
    if ping is not None and not ping > 0:
        raise ValueError(f"ping={ping!r} is no interval; use seconds above 0, or None for no pings")
    return ServerSentEvents(ReadAhead(stream, ahead=_AHEAD), ping=ping)


class ServerSentEvents(ReadStream[bytes]):
    """The bytes of an event stream, one event or comment at a time; made by `to_sse`."""

    def __init__(self, reader: ReadAhead[Any], *, ping: float | None) -> None:
        super().__init__(reader)
        self._ping = ping
        self._ended = False
        self._raises: BaseException | None = None

    async def __anext__(self) -> bytes:
        if self._ended:
            error, self._raises = self._raises, None
            raise error or StopAsyncIteration
        loop = self._reader.start()
        try:
            return await self._frame(None if self._ping is None else loop.time() + self._ping)
        except Exception as error:  # noqa: BLE001 - told to the browser, and raised next unless it is the API's
            self._ended = True
            await self.aclose()
            if isinstance(error, StopAsyncIteration):
                return _DONE
            self._raises = None if _is_the_apis(error) else error
            return b"event: error\ndata: %b\n\n" % event_json({"error": _described(error)}).encode()
        except BaseException:
            self._ended = True
            await self.aclose()
            raise

    async def _frame(self, until: float | None) -> bytes:
        if not await self._reader.wait(until):
            return _PING
        event = self._reader.take()
        kind = field_of(event, "type")
        line = f"event: {kind}\n" if isinstance(kind, str) and kind.isprintable() else ""
        return f"{line}data: {event_json(event)}\n\n".encode()


async def to_websocket(
    stream: AsyncIterable[Any], websocket: WebSocket, *, on_message: OnMessage | None = None
) -> bool:
    """Send the stream over an accepted WebSocket, one JSON text for each event, then `{"type": "done"}`.

    Returns False when the browser left before, which is noticed also while the model is silent: the stream is closed
    at once. If the stream breaks, the last message is `{"type": "error", "error": {"type": ..., "message": ...}}`,
    without the text of the exception; what is not an `openai.OpenAIError` is raised after it. What the browser sends
    meanwhile goes to `on_message`, and is dropped without; what that raises stops the stream and comes out here.
    The WebSocket stays open.
    """
    browser = _Browser(websocket, ReadAhead(stream, ahead=_AHEAD), on_message)
    try:
        return await browser.send_all()
    finally:
        await browser.stop()


class _Browser:
    """One stream on its way to one browser: a task listens while the caller's own sends."""

    def __init__(self, websocket: WebSocket, reader: ReadAhead[Any], on_message: OnMessage | None) -> None:
        self._websocket = websocket
        self._reader = reader
        self._on_message = on_message
        self._gone = self._sent = self._handling = False
        self._failure: Exception | None = None
        self._listener = reader.start().create_task(self._listen())

    async def send_all(self) -> bool:
        """Send events until there are no more; False when the browser leaves before."""
        error = await self._send_events() or self._failure
        if not self._gone:
            await self._send({"type": "done"} if error is None else {"type": "error", "error": _described(error)})
        self._sent = True
        if self._handling:
            await asyncio.wait([self._listener])
        if self._failure is not None:
            raise self._failure
        if error is not None and not _is_the_apis(error):
            raise error
        return not self._gone

    async def stop(self) -> None:
        """Close the stream and stop listening, whatever is cancelled meanwhile."""
        self._listener.cancel()
        await self._reader.aclose()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([self._listener])

    async def _send_events(self) -> Exception | None:
        try:
            while not self._gone and await self._reader.wait():
                await self._send(self._reader.take())
        except StopAsyncIteration:
            return None
        except Exception as error:  # noqa: BLE001 - told to the browser, and raised after that unless it is the API's
            return error
        return None

    async def _send(self, event: Any) -> None:
        text = event_json(event)
        try:
            await self._websocket.send_text(text)
        except Exception as error:  # noqa: BLE001 - each server has its own for a connection that is gone
            logger.debug("sending to a browser failed with %s: it has left", type(error).__name__)
            self._gone = True

    async def _listen(self) -> None:
        try:
            while not self._sent:
                message = await self._received()
                if message is None:
                    self._gone = True
                    break
                await self._handle(message)
        except Exception as error:  # noqa: BLE001 - raised by send_all
            self._failure = error
        finally:
            await self._reader.aclose()

    async def _received(self) -> str | bytes | None:
        """What the browser sent; None when it has left."""
        try:
            message = await self._websocket.receive()
        except Exception as error:  # noqa: BLE001 - it left before, and somebody has been told
            logger.debug("receiving from a browser failed with %s: it has left", type(error).__name__)
            return None
        if message["type"] == "websocket.connect":
            raise RuntimeError("the WebSocket is not open yet; `await websocket.accept()` before to_websocket")
        if message["type"] == "websocket.disconnect":
            return None
        text: str | None = message.get("text")
        return message["bytes"] if text is None else text

    async def _handle(self, message: str | bytes) -> None:
        if self._on_message is None:
            return
        self._handling = True
        try:
            result = self._on_message(message)
            if inspect.isawaitable(result):
                await result
        finally:
            self._handling = False


def _described(error: Exception) -> dict[str, str]:
    """What a browser may know of an error; its text may quote a prompt, a key or a host."""
    kind = type(error).__name__
    logger.warning("a stream to a browser broke off with %s", kind)
    return {"type": kind, "message": "The answer broke off before its end."}


def _is_the_apis(error: BaseException) -> bool:
    return isinstance(error, openai.OpenAIError)
