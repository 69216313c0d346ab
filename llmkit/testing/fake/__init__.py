"""FakeOpenAI: the OpenAI API in the test's own process."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

import httpx2

from llmkit.testing.fake import plans
from llmkit.testing.fake.answers import answer
from llmkit.testing.fake.arguments import check_count
from llmkit.testing.fake.batches import Ending, StoredBatches
from llmkit.testing.fake.http import FakeTransport, Network
from llmkit.testing.fake.prompt import prompt_tokens, with_default
from llmkit.testing.fake.records import (
    Answer,
    ApiError,
    FakeRequest,
    JSONObject,
    Outcome,
    Reply,
    Turn,
    as_object,
    json_bytes,
)
from llmkit.testing.fake.routes import Operation, resolve
from llmkit.testing.fake.server import serve
from llmkit.testing.fake.stored import StoredResponses

if TYPE_CHECKING:
    from llmkit.client import AsyncOpenAI, OpenAI


class FakeOpenAI:
    """The OpenAI API in memory: give `http_client()` or `async_http_client()` to a client, or take `client()`.

    Each call of `reply`, `error`, `fail`, `drop` and `respond` queues one answer, first in first out.
    Replies and drops wait for the next valid request that generates text (chat, responses, completions);
    the others answer whatever request comes next.

    With nothing queued the answer is `You said: ` and the last user text; for a JSON schema, a small instance of it
    that obeys types, bounds, minimal lengths and common formats, but not `pattern`: queue a reply for such a
    schema. Embeddings are unit vectors of hashed character trigrams. Tokens are counted by
    `llmkit.tokens`, as the API bills them. Ids count up from 1.

    The last 100 responses can be retrieved, unless the request said `store=False`. One made with `background=True`
    is queued at first and finished when it is asked for; made with `stream=True`, too, it can be streamed again from
    any event on, `retrieve(id, stream=True, starting_after=7)`, and outlives a dropped connection.

    Files are kept, and batches answer the lines of theirs with the queued replies once they are done: see `batch`.

    Args:
        stream_chars: Characters in each streamed fragment.
        cut: Bytes in each network chunk, one size or several in turn; None sends each event as one chunk.
        delay: Seconds before each network chunk; `virtual_time` makes them pass at once.
        model: The model that answers name; None repeats the request's.
        max_prompt_tokens: Reject longer prompts with `context_length_exceeded`.
        base_url: What `base_url` says; requests to any host are answered.
    """

    def __init__(
        self,
        *,
        stream_chars: int = 4,
        cut: int | Sequence[int] | None = None,
        delay: float = 0.0,
        model: str | None = None,
        max_prompt_tokens: int | None = None,
        base_url: str = "https://fake.openai.test/v1",
    ) -> None:
        check_count("stream_chars", stream_chars, least=1)
        self.base_url = base_url
        self.requests: list[FakeRequest] = []
        self._stream_chars = stream_chars
        self._model = model
        self._max_prompt_tokens = max_prompt_tokens
        self._network = Network(cut=cut, delay=delay)
        self._queue: deque[Reply | Outcome] = deque()
        self._stored = StoredResponses()
        self._batches = StoredBatches(self._line)
        self._answers = 0
        self._lock = Lock()

    def reply(
        self,
        text: str | None = None,
        *,
        tool_calls: Iterable[tuple[str, Mapping[str, object] | str]] = (),
        refusal: str | None = None,
        finish_reason: str | None = None,
        usage: Mapping[str, object] | None = None,
    ) -> Self:
        """Queue a reply; `tool_calls` are names with arguments, given as a mapping or as raw JSON text.

        `usage` is laid over the estimated usage, in the operation's own shape:
        `{"prompt_tokens_details": {"cached_tokens": 64}}`.
        """
        return self._plan(
            plans.reply(text, calls=tool_calls, refusal=refusal, finish_reason=finish_reason, usage=usage)
        )

    def drop(
        self,
        text: str | None = None,
        *,
        after: int,
        tool_calls: Iterable[tuple[str, Mapping[str, object] | str]] = (),
        error: Exception | None = None,
    ) -> Self:
        """Queue a reply whose connection breaks `after` that many server-sent events.

        A stream that has no more events breaks before its last one, a body that is not streamed halfway.
        `error` is what the transport raises then, an `httpx2.ReadError` unless given. A drop without text and tool
        calls also serves a stream that goes on with a background response, and says what that response says.
        """
        return self._plan(plans.drop(text, after=after, calls=tool_calls, error=error))

    def error(
        self,
        status: int,
        *,
        code: str | None = None,
        message: str | None = None,
        type: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Self:
        """Queue an error in OpenAI's shape; what is not given is what the API says for `status` and `code`."""
        return self._plan(
            plans.error(status, code=code, message=message, type=type, param=param, headers=headers or {})
        )

    def fail(self, error: Exception) -> Self:
        """Queue an exception of the transport, such as `httpx2.ConnectError("refused")`."""
        return self._plan(plans.failure(error))

    def respond(self, response: httpx2.Response | Callable[[FakeRequest], httpx2.Response]) -> Self:
        """Queue a response of your own, or a function that makes it from the request.

        A body given as an iterator arrives in the iterator's chunks.
        """
        return self._plan(plans.response(response))

    def batch(
        self,
        *,
        polls: int = 1,
        status: Ending = "completed",
        done: int | None = None,
        failing: Mapping[int, int] | None = None,
    ) -> Self:
        """Queue how a batch goes: in progress for so many `polls`, then `status` with the first `done` lines answered.

        `failing` has the HTTP statuses of lines, counted from 1, that fail; the others take the queued replies.
        """
        self._batches.plans.append(plans.batch(polls, status, done, failing or {}))
        return self

    def http_client(self) -> httpx2.Client:
        """The `http_client` for an `openai.OpenAI`."""
        return httpx2.Client(transport=self._transport())

    def async_http_client(self) -> httpx2.AsyncClient:
        """The `http_client` for an `openai.AsyncOpenAI`."""
        return httpx2.AsyncClient(transport=self._transport())

    def client(self, **options: Any) -> OpenAI:
        """An `llmkit.OpenAI` on this fake; `options` are its arguments."""
        from llmkit.client import OpenAI

        base: dict[str, Any] = {"api_key": "sk-fake", "base_url": self.base_url, "http_client": self.http_client()}
        return OpenAI(**base | options)

    def async_client(self, **options: Any) -> AsyncOpenAI:
        """An `llmkit.AsyncOpenAI` on this fake; `options` are its arguments."""
        from llmkit.client import AsyncOpenAI

        base: dict[str, Any] = {
            "api_key": "sk-fake",
            "base_url": self.base_url,
            "http_client": self.async_http_client(),
        }
        return AsyncOpenAI(**base | options)

    def serve(self) -> AbstractContextManager[str]:
        """Serve over HTTP on a free port of 127.0.0.1 inside a `with` block, which gets the base URL."""
        return serve(self._handle, self._network)

    @property
    def pending(self) -> int:
        """How many queued answers no request has taken yet: 0 at the end of a test that used them all."""
        return len(self._queue)

    @property
    def open_streams(self) -> int:
        """How many answers a client has received and not closed: 0 unless something leaks."""
        return len(self._network.open)

    def _transport(self) -> FakeTransport:
        return FakeTransport(self._handle, self._network)

    def _plan(self, planned: Reply | Outcome) -> Self:
        with self._lock:
            self._queue.append(planned)
        return self

    def _handle(self, request: FakeRequest) -> Answer:
        return self._answer(request, self.requests)

    def _line(self, url: str, body: JSONObject) -> tuple[int, JSONObject]:
        """Answer a line of a batch, which is no request over HTTP."""
        content, key = json_bytes(body), httpx2.Headers({"api-key": "sk-fake"})
        given = FakeRequest(method="POST", path=url, query={}, headers=key, body=body, content=content)
        answered = self._answer(given, [])
        with suppress(ValueError):  # of a connection that breaks
            return answered.status, as_object(json.loads(b"".join(answered.parts)))
        return 500, {"error": {"message": "The connection broke.", "type": "server_error", "code": None}}

    def _answer(self, request: FakeRequest, seen: list[FakeRequest]) -> Answer:
        found, body = resolve(
            request, stored=self._stored, batches=self._batches, max_prompt_tokens=self._max_prompt_tokens
        )
        number, planned = self._take(request, found, seen)
        if not isinstance(planned, Reply):
            return planned(request, number)
        if isinstance(found, ApiError):
            return found.answer(number)
        turn = self._turn(number, found, body, with_default(planned, body))
        if found.name == "responses":
            self._stored.keep(turn)
        return answer(found, turn)

    def _take(
        self, request: FakeRequest, found: Operation | ApiError, seen: list[FakeRequest]
    ) -> tuple[int, Reply | Outcome]:
        """Number the request and take its planned answer; a reply it cannot have stays in the queue."""
        with self._lock:
            seen.append(request)
            self._answers += 1
            planned = self._queue[0] if self._queue else Reply()
            waits = isinstance(planned, Reply) and not (isinstance(found, Operation) and found.takes(planned))
            return self._answers, Reply() if waits or not self._queue else self._queue.popleft()

    def _turn(self, number: int, operation: Operation, body: JSONObject, reply: Reply) -> Turn:
        return Turn(
            number=number,
            body=body,
            model=self._model or body.get("model", ""),
            reply=reply,
            prompt_tokens=prompt_tokens(body, operation.name),
            stream_chars=self._stream_chars,
        )
