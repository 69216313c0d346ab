"""The wide event of a call: layers annotate it, sinks read it once when the call is over."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextvars import Context, copy_context
from dataclasses import InitVar, dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, cast, runtime_checkable

from llmkit.errors import InvalidSink
from llmkit.runtime import Runtime
from llmkit.tagging import Tag

if TYPE_CHECKING:
    from llmkit.streaming.received import Received

CacheState = Literal["hit", "semantic", "miss"]
Outcome = Literal["ok", "cached", "cut", "cancelled", "refused", "failed"]

CANCELLED: Final = frozenset({"CancelledError", "Cancelled"})
"""What asyncio and trio raise in a task that is no longer wanted, such as that of a browser that has gone."""

logger = logging.getLogger("llmkit")

Sink = Callable[["CallRecord"], None]
"""A plain function that reads a finished record. Called once a call, in the call's context; must not block."""


@runtime_checkable
class Starting(Protocol):
    """A sink that is told of calls when they begin, too.

    One that remembers them does so weakly: whoever holds the record of a stream keeps the stream from being collected.
    """

    def started(self, record: CallRecord) -> None:
        """Take note of a call that has begun; the same record comes to the sink when it is over."""
        ...


def check_sinks(sinks: Iterable[Sink]) -> tuple[Sink, ...]:
    """The sinks as a tuple; `InvalidSink` names the first thing that cannot be one."""
    given = cast("object", sinks)
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidSink(f"sinks is a {type(given).__qualname__}; pass a list of functions")
    for sink in cast("Iterable[object]", given):
        asynchronous = inspect.iscoroutinefunction(sink) or inspect.iscoroutinefunction(
            vars(type(sink)).get("__call__")
        )
        if isinstance(sink, type) or not callable(sink) or asynchronous:
            hint = "is async: a sink is called when nothing can be awaited" if asynchronous else "is not a function"
            name = getattr(sink, "__qualname__", type(sink).__qualname__)
            raise InvalidSink(f"sink {name} {hint}; pass a plain function or an instance with __call__(record)")
    return tuple(sinks)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """A pass into the SDK that did not give an answer."""

    at: float
    """When it failed, seconds after the call began."""
    model: str | None
    base_url: str
    error: str
    """The class name of what was raised."""
    error_code: str | None
    status_code: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarQuestion:
    """The kept question that a SemanticCache found nearest to the one that was asked."""

    key: str
    """Of its answer in the cache."""
    score: float
    """The cosine of the two embeddings, -1 to 1."""
    threshold: float
    objection: str | None
    """Why it must not share its answer, whatever the score: "other numbers", "a negation", ..."""
    question: str | None = field(default=None, repr=False)
    """Its text, only with `explain=True`."""


@dataclass(kw_only=True)
class CallRecord:
    """Everything known about one logical call, retries and stream included; `dataclasses.asdict` makes it data.

    Times are seconds; token figures are the server's own, unless `estimated`. `None` means unknown.
    """

    operation: str
    """"chat.completions", "responses", "embeddings", ... (`Request.operation`)."""
    model: str | None
    """The model asked for."""
    stream: bool = False
    tags: dict[str, Tag] = field(default_factory=dict[str, Tag])
    """Who and what for, from `llmkit.tags`."""

    base_url: str = ""
    """Where the call's own client sends it, without credentials."""

    started_at: float = 0.0
    """When the call began, seconds since the epoch."""
    latency: float | None = None
    """From the call to its end; for a stream, to its last event or its close."""
    time_to_first_token: float | None = None
    """From the call to the first piece of text or arguments of a stream."""

    attempts: int = 0
    """HTTP requests made, retries included."""
    queued: bool = False
    """It waits for a rate limit of llmkit's right now."""
    retry_wait: float = 0.0
    """Time spent waiting between attempts."""
    limit_wait: float = 0.0
    """Time spent waiting for a rate limit of llmkit's."""
    failures: list[FailedAttempt] = field(default_factory=list[FailedAttempt])
    """What went wrong on the way, in order; empty when the first attempt answered."""
    key: str | None = None
    """The label of the API key used last, "...wxyz", where a KeyRing chose it."""
    sent_model: str | None = None
    """The model that was asked in place of `model`, by a Route or a Fallback."""
    sent_to: str | None = None
    """The base URL of the client that was asked in place of the call's own, by a Fallback."""

    fallback: bool = False
    """A target of a Fallback has answered, because what was asked first has failed."""

    response_model: str | None = None
    """The model that answered, such as a dated snapshot."""
    response_id: str | None = None
    request_id: str | None = None
    """The server's `x-request-id`; quote it to support."""
    service_tier: str | None = None
    """The tier that the server says it has used: "default", "flex", "priority"."""
    finish_reasons: tuple[str, ...] = ()
    """One for each choice; a Responses call has its status or the reason it is incomplete."""

    predicted_tokens: int | None = None
    """The input tokens counted before the call, after trimming."""
    trimmed_messages: int = 0
    """Messages left out because they did not fit."""

    cache: CacheState | None = None
    """Whether the answer came from a cache, which had it ("hit") or one to a question that means the same
    ("semantic"); None where no cache was asked."""
    cache_key: str | None = None
    """The key of the answer in the cache: what invalidates it."""
    similar: SimilarQuestion | None = None
    """What a SemanticCache compared the question with."""
    saved_input_tokens: int = 0
    saved_output_tokens: int = 0
    """What the answer of a cache was billed when it was made; the tokens below are 0 then."""
    saved_cost: Decimal | None = None
    """In USD; None when it is not known."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cached_tokens: int | None = None
    """The part of `input_tokens` read from the provider's prompt cache."""
    cache_write_tokens: int | None = None
    """The part of `input_tokens` written to it."""
    reasoning_tokens: int | None = None
    """The part of `output_tokens` spent on reasoning."""
    input_audio_tokens: int | None = None
    output_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    output_image_tokens: int | None = None
    """Parts of `input_tokens` and `output_tokens`, too."""
    audio_seconds: float | None = None
    """Of a recording that is billed by its length."""
    cost: Decimal | None = None
    """In USD, of the figures above; None when it is not known. `UsageLog` works it out at the end of the call where
    prices are loaded: by a sink that keeps costs, or by `UsageLog(cost=True)`."""
    estimated: bool = False
    """The token figures are llmkit's own: the server sent none."""
    complete: bool = False
    """The answer arrived whole. False for errors and for streams cut short."""

    status_code: int | None = None
    """The HTTP status of a failed call."""
    error: str | None = None
    """The class name of what ended the call; "APIError" for a failure that the answer itself reports."""
    error_code: str | None = None
    """The API's own code, such as "insufficient_quota"."""

    hint: str | None = None
    """What to do about an error or about an answer that is cut short, refused or empty."""

    capture_content: bool = field(default=False, repr=False)
    """Set by a layer that was asked to log texts; nothing is kept otherwise."""
    prompt: Any = field(default=None, repr=False)
    """`messages` or `input`, only with `capture_content`."""
    body: Mapping[str, Any] | None = field(default=None, repr=False)
    """The whole request as it was asked, only with `capture_content`."""
    answer: str | None = field(default=None, repr=False)
    """The text answered, only with `capture_content`."""

    runtime: InitVar[Runtime]

    def __post_init__(self, runtime: Runtime) -> None:
        # Not fields: they are no facts about the call, and go when it is over.
        self._clock: Runtime | None = runtime
        self._context: Context | None = copy_context()
        self.headers: Mapping[str, str] = {}
        """Of the last answer of the server, for the layers of the stack."""
        self.received: Received | None = None
        """The last answer itself, for a layer that keeps its bytes; gone when the call is over, like `headers`."""
        self.on_event: Callable[[object], None] | None = None
        """Told of each event of a stream, by a layer that must not fail; gone when the call is over, too."""
        self.earlier: dict[str, int | float] = {}
        """The figures of earlier attempts, which were billed and whose answers could not be used."""
        self._sinks: list[Sink] = []
        self._began = runtime.monotonic()
        self.started_at = runtime.time()

    @property
    def from_cache(self) -> bool:
        """Whether a cache has answered, so that nobody is billed."""
        return self.cache in ("hit", "semantic")

    @property
    def outcome(self) -> Outcome:
        """How it ended: "refused" was never sent, "cut" is an answer that did not arrive whole."""
        if self.error in CANCELLED:
            return "cancelled"
        if self.error is not None:
            return "failed" if self.attempts else "refused"
        if self.from_cache:
            return "cached"
        return "ok" if self.complete else "cut"

    @property
    def over(self) -> bool:
        """Whether the call has ended and the sinks have been told."""
        return self._context is None

    def elapsed(self) -> float:
        """Seconds since the call began; its latency when it is over."""
        return (self.latency or 0.0) if self._clock is None else self._clock.monotonic() - self._began

    def add_done_callback(self, sink: Sink) -> None:
        """Have `sink(record)` called once, when the call is over: at the end of the stream if there is one."""
        if sink not in self._sinks:  # a layer above may run the one that adds it several times
            self._sinks.append(sink)

    def tell(self, sink: Sink) -> None:
        """Hand the record to a sink, which cannot fail the user's call."""
        try:
            sink(self)
        except Exception as error:  # noqa: BLE001 - whatever it is
            _report(sink, error)

    def finish(self) -> None:
        """Report the end of the call; the client does this, and only the first time counts."""
        if self._context is None:
            return
        self.latency = self.elapsed()
        context, sinks = self._context, self._sinks
        self._clock, self._context, self._sinks = None, None, []
        for sink in sinks:
            context.run(self.tell, sink)
        self.headers, self.received, self.on_event = {}, None, None  # whoever keeps records does not keep these


def _report(sink: Sink, error: Exception) -> None:
    """Say which sink failed and where, without the error's text, which may quote a prompt."""
    name = getattr(sink, "__qualname__", type(sink).__qualname__)
    place = traceback.extract_tb(error.__traceback__)[-1]
    logger.warning("sink %s failed with %s at %s:%s", name, type(error).__name__, place.filename, place.lineno)
