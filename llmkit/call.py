"""One logical call: the request a middleware sees, the SDK's request under it, and the end of both."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, cast

import anyio
import openai

from llmkit import _sdk, attempt, runtime
from llmkit.attempt import Attempt, Uploads
from llmkit.errors import InvalidResponse, MiddlewareError
from llmkit.fast.members import kept_answer
from llmkit.record import CallRecord, FailedAttempt
from llmkit.request import Middleware, Request, address_of, compose
from llmkit.streaming.facts import answer_text, note_answer
from llmkit.streaming.hints import advise, answer_hint
from llmkit.streaming.received import Received
from llmkit.streaming.taps import observed, tap, watch_loaded
from llmkit.streaming.watch import Watch
from llmkit.structure import invalid_response, is_checked, is_no_stream
from llmkit.tagging import current_tags
from llmkit.usage.tokens import FIGURES
from llmkit.usage.tracking import track


class Call:
    """Runs a stack around the SDK's own `request` of a client, and finishes the record when all is over."""

    def __init__(self, client: Any, cast_to: Any, options: _sdk.Options, *, stream: bool, stream_cls: Any) -> None:
        self._client = client
        self._cast_to = cast_to
        self._options = options
        self._idempotency_key: str | None = None
        self._max_retries = _sdk.max_retries(client, options)
        self._stream = stream
        self._stream_cls = observed(stream_cls) if stream and stream_cls is not None else stream_cls
        self._is_async = isinstance(client, openai.AsyncOpenAI)
        self._body = _sdk.merged_body(options)
        self.uploads = Uploads()
        self._open: dict[Watch, Any] = {}
        self._running = True
        self._observed: Any = None
        self._base_url = address_of(client)
        self._runtime = runtime.current(is_async=self._is_async)
        self.record = CallRecord(
            operation=_sdk.operation(options, self._base_url),
            model=self._body.get("model"),
            stream=stream,
            tags=dict(current_tags()),
            base_url=self._base_url,
            runtime=self._runtime,
        )
        track(self.record)
        self._checked = not stream and is_checked(self.record.operation, cast_to)

    async def run(self, middleware: Iterable[Middleware], *, max_retries: int | None) -> Any:
        """Run the stack; the record is finished here, or when the answer that is handed out has been read."""
        self._asked = request = Request(
            operation=self.record.operation,
            body=self._body,
            stream=self._stream,
            tags=self.record.tags,
            headers=_sdk.headers(self._options),
            timeout=_sdk.timeout(self._client, self._options),
            max_retries=max_retries if self._max_retries is None else self._max_retries,
            client=self._client,
            base_url=self._base_url,
            runtime=self._runtime,
            record=self.record,
            variant=partial(_sdk.variant, self._cast_to, self._options),
            route=partial(_sdk.route, self._options),
            respond=self._respond,
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
        this = Attempt(request, self.uploads)
        self._keep_figures()
        options = self._options_for(request, this)
        outer = attempt.current.get()
        attempt.current.set(this)
        try:
            result = await self._answer(request, options, this)
        except Exception as error:
            invalid = this.unreadable(error) if self._checked else None
            self._note_failure(invalid or error, request)
            note_answer(self.record, this.unused())
            if invalid is not None:
                raise invalid from None  # the error's own text may quote the answer
            raise
        except BaseException:
            late = None if request.deadlines is None else request.deadlines.passed()
            if late is not None:  # cancelled by a Timeouts above, not by the caller
                self._note_failure(late, request)
            raise
        finally:
            attempt.current.set(outer)  # without a token, which a task dropped by its loop could not give back
        _sdk.count_retries_taken(result, request.retries_taken)
        self._observe(result, this.response, request)
        return result

    def _keep_figures(self) -> None:
        """Those of an earlier attempt, whose answer could not be used, or was not wanted by a layer above."""
        record = self.record
        if record.total_tokens or record.audio_seconds:
            figures = ((name, getattr(record, name)) for name in FIGURES)
            record.earlier = {name: figure for name, figure in figures if figure is not None}

    async def _respond(self, content: bytes, headers: Mapping[str, str]) -> Any:
        how = self._client, self._cast_to, self._options
        result = None if self._stream else kept_answer(*how, content, request_id=headers.get("x-request-id"))
        if result is None:
            stream, stream_cls = self._stream, self._stream_cls
            result = _sdk.answered(*how, stream=stream, stream_cls=stream_cls, content=content, headers=headers)
        if inspect.isawaitable(result):
            result = await result
        self._observe(result, None, self._asked)
        return result

    async def _answer(self, request: Request, options: _sdk.Options, this: Attempt) -> Any:
        result = request.client._llmkit_request(
            self._cast_to, options, stream=self._stream, stream_cls=self._stream_cls
        )
        if inspect.isawaitable(result):
            result = await result
        if self._checked:
            this.check(result, request.body)
        elif self._stream:
            await self._refuse_page(result)
        return result

    def _options_for(self, request: Request, this: Attempt) -> _sdk.Options:
        asked, options = self._asked, self._options.model_copy()
        if self._checked and not isinstance(options.post_parser, openai.NotGiven):
            options.post_parser = this.checking(options.post_parser, request.body)
        if self._idempotency_key is None:  # one for all attempts, and none for an answer from a cache
            self._idempotency_key = _sdk.idempotency_key(self._client, self._options)
        options.idempotency_key = self._idempotency_key
        if request.body is not asked.body and not _sdk.with_body(options, request.body):
            raise MiddlewareError(f"a middleware changed the body of {request.operation}, which is no JSON object")
        if request.headers is not asked.headers:
            _sdk.set_headers(options, request.headers)
        if request.timeout is not asked.timeout:
            options.timeout = request.timeout
        if request.max_retries is not None:
            options.max_retries = request.max_retries
        return options

    async def _refuse_page(self, result: Any) -> None:
        """A web page in place of a stream would be a stream without events."""
        if isinstance(result, openai.Stream | openai.AsyncStream):
            response: Any = result.response  # pyright: ignore[reportUnknownMemberType]
            if is_no_stream(response):
                await self._close(response)
                raise invalid_response("a stream of events", response, operation=self.record.operation)

    def _note_failure(self, error: Exception, request: Request) -> None:
        if not isinstance(error, InvalidResponse):
            response = getattr(error, "response", None)
            self.record.headers = {} if response is None else response.headers
        self.record.failures.append(
            FailedAttempt(
                at=self.record.elapsed(),
                model=request.model,
                base_url=request.base_url,
                error=type(error).__name__,
                error_code=error.code if isinstance(error, openai.APIError) else None,
                status_code=error.status_code if isinstance(error, openai.APIStatusError) else None,
            )
        )

    def _observe(self, result: Any, parsed: Any, request: Request) -> None:
        """Take note of an answer; `parsed` is the HTTP response of one that is a model."""
        record = self.record
        record.error = record.error_code = record.response_model = record.service_tier = None  # an earlier attempt's
        self._observed = result
        response = _sdk.response_of(result)
        if response is None:
            record.received = None if parsed is None else Received(result, parsed)
            self._note_parsed(result)
            return
        record.received = received = Received(result, response)
        record.request_id = response.headers.get("x-request-id") or record.request_id
        watch = Watch(
            record,
            request.body,
            hides_usage=not _asks_for_usage(self._body) and (record.from_cache or _asks_for_usage(request.body)),
            on_end=lambda: self._ended(watch),
        )
        watch.deadlines = request.deadlines
        watch.received = received
        if response.is_closed:
            watch_loaded(response, watch)
            return
        self._open[watch] = response
        tap(response, watch)

    def _note_parsed(self, result: Any) -> None:
        record = self.record
        record.request_id = _sdk.request_id_of(result) or record.request_id
        note_answer(record, result)
        record.hint = answer_hint(record, result)
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
        if not self.record.attempts and result is not self._observed:  # a middleware answered by itself
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
        if isinstance(error, InvalidResponse):
            record.request_id = error.request_id
        advise(record, error)
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
