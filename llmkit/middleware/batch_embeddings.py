"""Embedding calls made at the same time, sent as one request."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import anyio.lowlevel
import openai
from openai.types import CreateEmbeddingResponse

from llmkit import _sdk
from llmkit.embedding_batches import Inputs, count_inputs, merged_body, read_inputs, split_answer, usage_of
from llmkit.errors import copy_of
from llmkit.request import CallNext, Middleware, Request
from llmkit.streaming.facts import note_answer, note_usage

_ONES_FAULT = (400, 413, 422)
"""Statuses by which one bad input fails a request: each call then asks for itself."""


def batch_embeddings(*, window: float = 0.005, max_inputs: int = 2048, max_tokens: int = 300_000) -> Middleware:
    """Merge `embeddings.create` calls that are made within `window` seconds of each other into one request.

    Only calls that differ in nothing but `input` are merged; each gets its own embeddings and its own share of the
    usage, counted with the model's vocabulary. A call waits for others at most `window` seconds, also when none
    come; 0 merges what is asked in the same pass of the event loop. `max_inputs` and `max_tokens` are OpenAI's limits
    of one request; UTF-8 bytes stand for tokens there, which never are more. Raw responses are not merged.

    When the API rejects the merged request (400, 413, 422), each call is sent by itself, so a bad input fails only
    its own caller. Any other error goes to all of them. The record of the call that sends has the attempts, those of
    the others have none; it also has the usage of those that are cancelled while it waits for the answer. Put it above
    `Retry` and `RateLimit`, which then see one request, and below `Cache` and `Budget`, which then see each call.
    """
    if not window >= 0:
        raise ValueError(f"window={window!r} must be 0 or more seconds")
    for name, value in (("max_inputs", max_inputs), ("max_tokens", max_tokens)):
        if value < 1:
            raise ValueError(f"{name}={value!r} must be at least 1")
    return BatchEmbeddings(window=window, max_inputs=max_inputs, max_tokens=max_tokens)


class _Waiting:
    """A call in a batch: `woken` when it has an outcome or is the one to send."""

    __slots__ = ("answer", "error", "inputs", "request", "woken")

    def __init__(self, request: Request, inputs: Inputs) -> None:
        self.request = request
        self.inputs = inputs
        self.woken = request.runtime.event()
        self.answer: Any = None
        self.error: Exception | None = None

    async def outcome(self, call_next: CallNext) -> Any:
        """What came of it; a call without an outcome asks for itself."""
        if self.error is not None:
            raise self.error
        return await call_next(self.request) if self.answer is None else self.answer


class _Batch:
    """Calls that will be one request; the `sender` sends it."""

    __slots__ = ("calls", "inputs", "key", "most_tokens", "sender")

    def __init__(self, key: Hashable, sender: _Waiting) -> None:
        self.key = key
        self.sender = sender
        self.calls: list[_Waiting] = []
        self.inputs = self.most_tokens = 0

    def add(self, call: _Waiting) -> None:
        self.calls.append(call)
        self.inputs += len(call.inputs.items)
        self.most_tokens += call.inputs.most_tokens

    def remove(self, call: _Waiting) -> None:
        self.calls.remove(call)
        self.inputs -= len(call.inputs.items)
        self.most_tokens -= call.inputs.most_tokens


class BatchEmbeddings:
    """What `batch_embeddings` makes."""

    def __init__(self, *, window: float, max_inputs: int, max_tokens: int) -> None:
        self._window = window
        self._max_inputs = max_inputs
        self._max_tokens = max_tokens
        self._open: dict[Hashable, _Batch] = {}
        self._lock = threading.RLock()  # a coroutine that is collected leaves while this very thread may be inside

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Join a batch; the first to come sends it, and the next in line does when that one is cancelled."""
        inputs = self._mergeable(request)
        key = None if inputs is None else _key(request, inputs)
        if inputs is None or key is None:
            return await call_next(request)
        call = _Waiting(request, inputs)
        batch = self._join(key, call)
        try:
            await call.woken.wait(self._window if batch.sender is call else None)
            if batch.sender is call and call.error is None:
                await self._send(batch, call_next)
        except BaseException:
            self._leave(batch, call)
            raise
        return await call.outcome(call_next)

    def _mergeable(self, request: Request) -> Inputs | None:
        raw = _sdk.RAW_RESPONSE_HEADER in request.headers
        if request.operation != "embeddings" or raw or not isinstance(request.model, str):
            return None
        inputs = read_inputs(request.body.get("input"))
        return inputs if inputs is not None and self._fit(len(inputs.items) + 1, inputs.most_tokens + 1) else None

    def _fit(self, inputs: int, most_tokens: int) -> bool:
        return inputs <= self._max_inputs and most_tokens <= self._max_tokens

    def _join(self, key: Hashable, call: _Waiting) -> _Batch:
        """The batch that `call` is in now. One that is full is sent at once."""
        with self._lock:
            batch = self._open.get(key)
            if batch is not None and not self._fit(
                batch.inputs + len(call.inputs.items), batch.most_tokens + call.inputs.most_tokens
            ):
                batch.sender.woken.set()
                batch = None
            if batch is None:
                batch = self._open[key] = _Batch(key, call)
            batch.add(call)
            if batch.inputs == self._max_inputs:
                self._close(batch)
                batch.sender.woken.set()
            return batch

    def _leave(self, batch: _Batch, call: _Waiting) -> None:
        """Take out a cancelled call; if it was to send, the next one does."""
        with self._lock:
            batch.remove(call)
            if batch.sender is not call:
                return
            if not batch.calls:
                self._close(batch)
                return
            batch.sender = batch.calls[0]
            batch.sender.woken.set()

    def _close(self, batch: _Batch) -> None:
        if self._open.get(batch.key) is batch:
            del self._open[batch.key]

    async def _send(self, batch: _Batch, call_next: CallNext) -> None:
        with self._lock:
            self._close(batch)
            calls = [*batch.calls]
        if len(calls) > 1:
            await _answer_all(batch, calls, call_next)
        for call in calls:
            call.woken.set()


async def _answer_all(batch: _Batch, calls: Sequence[_Waiting], call_next: CallNext) -> None:
    """Send the calls as one request and give each its outcome; none when it shall ask for itself."""
    request = batch.sender.request
    parts = [call.inputs for call in calls]
    # Before the request: who is cancelled while counting has paid nothing yet.
    tokens = await request.runtime.run_blocking(lambda: count_inputs(parts, request.model or ""))
    try:
        answer = await call_next(request.replace(body=merged_body(request.body, parts)))
        answers = split_answer(answer, parts, tokens)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is each caller's own error now
        if not isinstance(error, openai.APIStatusError) or error.status_code not in _ONES_FAULT:
            _fail_all(calls, request, error)
        return
    except BaseException:
        late = None if request.deadlines is None else request.deadlines.passed()
        if late is not None:  # by a Timeouts above: the others' time ends in the same moment, too soon for a request
            _fail_all(calls, request, late)
        raise
    if answers is not None:
        _hand_out(batch, dict(zip(calls, answers, strict=True)))


def _hand_out(batch: _Batch, answers: Mapping[_Waiting, CreateEmbeddingResponse]) -> None:
    """Give each call its answer, and its record the usage: the sender's also that of calls which are gone."""
    here = set(batch.calls)
    for call in here:
        call.answer = answers[call]
        note_answer(call.request.record, call.answer)  # for the layers above; the sender's had the usage of all
    paid = [answer for call, answer in answers.items() if call is batch.sender or call not in here]
    note_usage(batch.sender.request.record, usage_of(paid))


def _fail_all(calls: Sequence[_Waiting], request: Request, error: Exception) -> None:
    """Each caller gets an exception of its own, so that what is noted on one does not show on another."""
    for call in calls:
        call.error = error if call.request is request else copy_of(error)
        call.woken.set()


def _key(request: Request, inputs: Inputs) -> Hashable:
    """Equal for calls that may be one request; None when the rest of the body cannot be compared."""
    rest = {name: value for name, value in sorted(request.body.items()) if name != "input"}
    try:
        body = _sdk.dumps(rest)
    except (TypeError, ValueError):
        return None
    is_async = isinstance(request.client, openai.AsyncOpenAI)
    # A loop may end with calls of its own; those of another one must not wait for them.
    loop = anyio.lowlevel.current_token().native_token if is_async else None
    headers = tuple(sorted(request.headers.items()))
    sent = request.client, request.base_url, headers, repr(request.timeout), request.max_retries
    return loop, inputs.kind, body, request.variant(), *sent
