"""One logical call: the request a middleware sees, the SDK's request under it, and the end of both."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any, cast

import anyio
import openai

from llmkit import _sdk, runtime
from llmkit.errors import MiddlewareError
from llmkit.record import CallRecord
from llmkit.request import Middleware, Request, compose
from llmkit.streaming.facts import answer_text, note_answer
from llmkit.streaming.taps import observed, tap, watch_loaded
from llmkit.streaming.watch import Watch
from llmkit.tagging import current_tags

_attempt: ContextVar[Attempt | None] = ContextVar("llmkit_attempt", default=None)


def attempt_starts(client: Any, options: _sdk.Options, retries_taken: int) -> int:
    """Note an HTTP attempt of the call running here, about to be built from `options`; returns its retry count."""
    attempt = _attempt.get()
    if attempt is None or attempt.client is not client:  # a call inside the call, by another client
        return retries_taken
    return attempt.starts(options, retries_taken)


class Attempt:
    """One pass from the stack into the SDK, which may send several requests when no Retry is in the stack."""

    def __init__(self, client: Any, call: Call, retries_taken: int) -> None:
        self.client = client
        self._call = call
        self._retries_taken = retries_taken

    def starts(self, options: _sdk.Options, retries_taken: int) -> int:
        """Count the attempt, and note where its uploads stand so that they can be put back."""
        self._call.record.attempts += 1
        self._call.uploads.note(options)
        return self._retries_taken + retries_taken


class Uploads:
    """Where the files of a call stood before they were sent."""

    __slots__ = ("_replay",)

    def __init__(self) -> None:
        self._replay: _sdk.Replay | None = None

    def note(self, options: _sdk.Options) -> None:
        """Note where they stand now, before they are sent."""
        self._replay = _sdk.Replay(options)

    def rewind(self) -> bool:
        """Put them back; False when the body was a one-shot stream."""
        return self._replay is None or self._replay.rewind()


class Call:
    """Runs a stack around `send`, the `request` of the SDK's client, and finishes the record when all is over."""

    def __init__(
        self,
        client: Any,
        send: Callable[..., Any],
        cast_to: Any,
        options: _sdk.Options,
        *,
        stream: bool,
        stream_cls: Any,
    ) -> None:
        self._client = client
        self._send_to_sdk = send
        self._cast_to = cast_to
        self._options = options
        self._idempotency_key = _sdk.idempotency_key(client, options)
        self._max_retries = _sdk.max_retries(client, options)
        self._stream = stream
        self._stream_cls = observed(stream_cls) if stream and stream_cls is not None else stream_cls
        self._is_async = isinstance(client, openai.AsyncOpenAI)
        self._body = _sdk.merged_body(options)
        self.uploads = Uploads()
        self._open: dict[Watch, Any] = {}
        self._running = True
        self._base_url = str(client.base_url)
        self._runtime = runtime.current(is_async=self._is_async)
        self.record = CallRecord(
            operation=_sdk.operation(options, self._base_url),
            model=self._body.get("model"),
            stream=stream,
            tags=dict(current_tags()),
            runtime=self._runtime,
        )

    async def run(self, middleware: Iterable[Middleware], *, max_retries: int | None) -> Any:
        """Run the stack; the record is finished here, or when the answer that is handed out has been read."""
        self._asked = request = Request(
            operation=self.record.operation,
            body=self._body,
            stream=self._stream,
            tags=self.record.tags,
            max_retries=max_retries if self._max_retries is None else self._max_retries,
            base_url=self._base_url,
            runtime=self._runtime,
            record=self.record,
            rewind=self.uploads.rewind,
        )
        try:
            result = await compose(middleware, self._send)(request)
        except BaseException as error:
            await self._fail(error)
            raise
        await self._settle(result)
        return result

    async def _send(self, request: Request) -> Any:
        options = self._options_for(request)
        outer = _attempt.get()
        _attempt.set(Attempt(self._client, self, request.retries_taken))
        try:
            result = self._send_to_sdk(self._cast_to, options, stream=self._stream, stream_cls=self._stream_cls)
            if inspect.isawaitable(result):
                result = await result
        finally:
            _attempt.set(outer)  # without a token, which a task dropped by its loop could not give back
        _sdk.count_retries_taken(result, request.retries_taken)
        self._observe(result, request)
        return result

    def _options_for(self, request: Request) -> _sdk.Options:
        options = self._options.model_copy()
        options.idempotency_key = self._idempotency_key
        if request.body is not self._asked.body and not _sdk.with_body(options, request.body):
            raise MiddlewareError(f"a middleware changed the body of {request.operation}, which is no JSON object")
        if request.max_retries is not None:
            options.max_retries = request.max_retries
        return options

    def _observe(self, result: Any, request: Request) -> None:
        self.record.error = self.record.error_code = None  # an earlier attempt's
        response = _sdk.response_of(result)
        if response is None:
            self._note_parsed(result)
            return
        self.record.request_id = response.headers.get("x-request-id") or self.record.request_id
        watch = Watch(
            self.record,
            request.body,
            hides_usage=_asks_for_usage(request.body) and not _asks_for_usage(self._body),
            on_end=lambda: self._ended(watch),
        )
        if response.is_closed:
            watch_loaded(response, watch)
            return
        self._open[watch] = response
        tap(response, watch)

    def _note_parsed(self, result: Any) -> None:
        record = self.record
        record.request_id = _sdk.request_id_of(result) or record.request_id
        note_answer(record, result)
        record.complete = record.error is None
        if record.capture_content:
            record.answer = answer_text(result)

    async def _settle(self, result: Any) -> None:
        """The stack has answered: end what it left open and did not hand out, and the call if nothing is open."""
        handed_out = _sdk.response_of(result)
        if handed_out is not None or _sdk.is_data(result):
            for watch, response in list(self._open.items()):
                if response is not handed_out:
                    watch.end(whole=False)
                    await self._close(response)
        if not self.record.attempts:  # a middleware answered by itself
            self._note_parsed(result)
        self._running = False
        self._finish_if_over()

    def _ended(self, watch: Watch) -> None:
        self._open.pop(watch, None)
        self._finish_if_over()

    def _finish_if_over(self) -> None:
        if not self._running and not self._open:
            self.record.finish()

    async def _fail(self, error: BaseException) -> None:
        for watch, response in list(self._open.items()):
            watch.end(whole=False, error=error)
            await self._close(response)
        record = self.record
        record.error, record.complete = type(error).__name__, False
        if isinstance(error, GeneratorExit) and not self._is_async:
            record.error = MiddlewareError.__name__  # which `drive` raises once this coroutine is closed
        if isinstance(error, openai.APIError):
            record.error_code = error.code
        if isinstance(error, openai.APIStatusError):
            record.status_code, record.request_id = error.status_code, error.request_id
        self._running = False
        record.finish()

    async def _close(self, response: Any) -> None:
        if not self._is_async:
            response.close()
            return
        with anyio.CancelScope(shield=True):  # a cancelled call gives its connection back, too
            await response.aclose()


def _asks_for_usage(body: Any) -> bool:
    stream_options = body.get("stream_options")
    return isinstance(stream_options, Mapping) and bool(cast("Mapping[str, Any]", stream_options).get("include_usage"))
