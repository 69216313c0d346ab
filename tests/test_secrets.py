"""A recognisable key, prompt and answer through every error path of the full stack: they must come out nowhere."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import pickle
import sys
import traceback
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import redis
import structlog
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import BaseModel
from telemetry_sdk import Telemetry

import llmkit
from llmkit import (
    AccessLog,
    Budget,
    Cache,
    CallNext,
    CallRecord,
    CircuitBreaker,
    Context,
    Fallback,
    KeyRing,
    LedgerSink,
    PrometheusSink,
    RateLimit,
    RedisBackend,
    RedisStore,
    Request,
    Retry,
    Route,
    Rule,
    SemanticCache,
    SQLiteStore,
    StructlogSink,
    Timeouts,
    UnusualUsage,
    UsageLog,
    explain,
)
from llmkit.budgets import RedisLedger, SQLiteLedger
from llmkit.testing import FakeOpenAI, virtual_time

KEYS = ("sk-kingfisher-4f9a1c77d2-first", "sk-kingfisher-90b3e8e1aa-second")
PROMPT = "the patient is called Rosalind"
ANSWER = "she has the Zanzibar fever"
SECRETS = (*KEYS, "kingfisher", PROMPT, "Rosalind", ANSWER, "Zanzibar")
ECHO = f"no: {PROMPT}, {ANSWER}"
"""What a careless server says in its error message; the SDK shows it in str(error), and nobody else may."""


class Diagnosis(BaseModel):
    text: str


async def broken(request: Request, call_next: CallNext) -> Any:
    raise ValueError(f"cannot handle {request!r}")


def forgetful(request: Request, call_next: CallNext) -> Any:
    return None


def page(body: str | bytes, kind: str = "application/json", status: int = 200) -> httpx2.Response:
    return httpx2.Response(status, headers={"content-type": kind}, content=body)


def refused() -> Exception:
    error = httpx2.ConnectError("refused")
    error.__cause__ = OSError(111, "Connection refused")
    return error


STATUSES = {
    f"{status} {code or ''}".strip(): (
        lambda fake, status=status, code=code: fake.error(status, code=code, message=ECHO)
    )
    for status, code in [
        (400, "context_length_exceeded"),
        (400, "invalid_json_schema"),
        (400, None),
        (401, "invalid_api_key"),
        (403, "unsupported_country_region_territory"),
        (404, "model_not_found"),
        (408, None),
        (409, None),
        (413, None),
        (422, None),
        (429, "rate_limit_exceeded"),
        (429, "insufficient_quota"),
        (500, None),
        (503, None),
    ]
}
FAILURES: dict[str, Callable[[FakeOpenAI], object]] = {
    **STATUSES,
    "no connection": lambda fake: fake.fail(refused()),
    "connect timeout": lambda fake: fake.fail(httpx2.ConnectTimeout("slow")),
    "read timeout": lambda fake: fake.fail(httpx2.ReadTimeout("slow")),
    "pool timeout": lambda fake: fake.fail(httpx2.PoolTimeout("full")),
    "proxy": lambda fake: fake.fail(httpx2.ProxyError("407")),
    "half the JSON": lambda fake: fake.respond(page(json.dumps({"choices": [{"message": ANSWER}]})[:-3])),
    "a page": lambda fake: fake.respond(page(f"<html>{ANSWER}</html>", "text/html")),
    "another shape": lambda fake: fake.respond(page(json.dumps({"answer": ANSWER, "error": {"message": ECHO}}))),
    "a broken event": lambda fake: fake.respond(page(f"data: {ANSWER}\n\n".encode(), "text/event-stream")),
    "dropped": lambda fake: fake.drop(ANSWER, after=2),
    "cut at the limit": lambda fake: fake.reply(ANSWER, finish_reason="length"),
    "filtered": lambda fake: fake.reply(ANSWER, finish_reason="content_filter"),
    "refused": lambda fake: fake.reply(refusal=ANSWER),
    "answered": lambda fake: fake.reply(ANSWER),
}


@dataclasses.dataclass
class Sinks:
    """Everything that llmkit wrote, and everything that can be printed of it."""

    logged: io.StringIO
    caplog: pytest.LogCaptureFixture
    records: list[CallRecord]
    directory: Path
    redis_url: str
    prefix: str
    shown: list[str]
    telemetry: Telemetry = dataclasses.field(default_factory=Telemetry)
    registry: CollectorRegistry = dataclasses.field(default_factory=CollectorRegistry)
    kept: list[Any] = dataclasses.field(default_factory=list)

    def usage(self) -> list[Any]:
        """Every sink there is for figures."""
        ledger, log = LedgerSink(self.directory / "usage.db"), AccessLog(self.directory / "access.jsonl")
        self.kept += [ledger, log]
        return [ledger, log, PrometheusSink(registry=self.registry), UnusualUsage(per="user")]

    def show(self, *things: Any) -> None:
        self.shown += [form(thing) for thing in things for form in (repr, str)]

    def failed(self, error: BaseException) -> None:
        """As a log with tracebacks shows it: chained exceptions and notes included, the API's own words taken out."""
        self.show(*getattr(error, "__notes__", []), explain(error), dataclasses.asdict(explain(error)))
        written = "".join(traceback.format_exception(error)) + repr(error)
        self.shown.append(written.replace(ECHO, "").replace(json.dumps(ECHO)[1:-1], ""))
        processors: Any = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
        logger = structlog.wrap_logger(structlog.PrintLogger(self.logged), processors=processors)
        logger.warning("failed", exc_info=error)
        logging.getLogger("user").error("failed", exc_info=error)

    def everything(self) -> Iterator[str]:
        yield generate_latest(self.registry).decode()
        yield from (span.to_json() for span in self.telemetry.spans)
        yield self.logged.getvalue().replace(ECHO, "").replace(json.dumps(ECHO)[1:-1], "")
        yield self.caplog.text.replace(ECHO, "")
        yield from self.shown
        for record in self.records:
            yield repr(record)
            yield json.dumps(dataclasses.asdict(record), default=str)
        for file in self.directory.iterdir():
            text = file.read_bytes().decode("latin-1")
            yield text.replace(ANSWER, "") if file.name.startswith("cache.db") else text  # answers are what it is for
        with redis.Redis.from_url(self.redis_url) as client:
            for key in client.scan_iter(f"{self.prefix}*"):
                yield key.decode("latin-1")
                dumped = (client.dump(key) or b"").decode("latin-1")
                yield dumped.replace(ANSWER, "") if b":cache" in key else dumped
                held = repr(client.hgetall(key) if client.type(key) == b"hash" else "")
                yield held.replace(ANSWER, "") if b":cache" in key else held

    def stored(self) -> set[Any]:
        """The files and the types of Redis keys that were written."""
        assert all(sink.flush(30) for sink in self.kept)
        with redis.Redis.from_url(self.redis_url) as client:
            kinds = {client.type(key) for key in client.scan_iter(f"{self.prefix}*")}
        return kinds | {file.name for file in self.directory.iterdir()}

    def assert_clean(self) -> None:
        for text in self.everything():
            for secret in SECRETS:
                assert secret not in text, text[max(0, text.index(secret) - 300) : text.index(secret) + 200]


@pytest.fixture
def sinks(
    tmp_path: Path, redis_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Sinks]:
    logged = io.StringIO()
    monkeypatch.setattr(sys, "stderr", logged)
    structlog.reset_defaults()
    caplog.set_level(logging.DEBUG)
    yield Sinks(logged, caplog, [], tmp_path, redis_url, f"canary:{uuid.uuid4().hex}", [])
    structlog.reset_defaults()


def stack(sinks: Sinks, *, spare: Any) -> list[Any]:
    """Every layer there is; each of them meets each failure."""
    redis_url, prefix = sinks.redis_url, sinks.prefix
    logs = [StructlogSink(format="json"), StructlogSink(format="console")]
    return [
        sinks.telemetry.middleware(),
        UsageLog(sinks=[*logs, *sinks.usage(), sinks.records.append]),
        Budget(daily_tokens=10**6, per="user", ledger=SQLiteLedger(sinks.directory / "budget.db")),
        Budget(monthly_usd=1000, ledger=RedisLedger(redis_url, prefix=f"{prefix}:budget")),
        Cache(SQLiteStore(sinks.directory / "cache.db")),
        SemanticCache(RedisStore(redis_url, prefix=f"{prefix}:cache"), embed=lambda text: [len(text), 1.0]),
        Context(),
        Route(Rule("gpt-4o-mini", max_input_tokens=5), lambda request: None, dry_run=True),
        Fallback("gpt-4o-mini", spare),
        Timeouts(total=60, first_token=50, between_tokens=50),
        CircuitBreaker(failures=2),
        Retry(max_retries=1),
        RateLimit(
            requests_per_minute=600,
            tokens_per_minute=10**6,
            backend=RedisBackend(redis_url, prefix=f"{prefix}:limit"),
        ),
    ]


async def calls(client: Any) -> AsyncIterator[Any]:
    """One call after another, of each kind; the errors come out."""
    messages: Any = [{"role": "user", "content": PROMPT}]
    chat: Any = {"model": "gpt-4o", "messages": messages}

    async def stream() -> None:
        async for _ in await client.chat.completions.create(**chat, stream=True):
            pass

    async def raw() -> None:
        (await client.chat.completions.with_raw_response.create(**chat)).parse()

    for call in (
        lambda: client.chat.completions.create(**chat),
        stream,
        raw,
        lambda: client.responses.create(model="gpt-4o", input=PROMPT),
        lambda: client.embeddings.create(model="text-embedding-3-small", input=PROMPT),
    ):
        try:
            await call()
        except Exception as error:  # noqa: BLE001 - whatever is raised must be clean
            yield error


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_no_error_path_shows_a_key_a_prompt_or_an_answer(
    failure: Callable[[FakeOpenAI], object], sinks: Sinks
) -> None:
    fake, elsewhere = FakeOpenAI(), FakeOpenAI()
    for _ in range(60):
        failure(fake)
        failure(elsewhere)
    spare = llmkit.AsyncOpenAI(
        api_key=KEYS[1], base_url="https://spare.test/v1", http_client=elsewhere.async_http_client()
    )
    ring, layers = KeyRing(*KEYS), stack(sinks, spare=spare)
    client = llmkit.AsyncOpenAI(
        api_key=ring, base_url=fake.base_url, http_client=fake.async_http_client(), middleware=layers
    )
    with virtual_time(), llmkit.tags(user="u-1"):
        async for error in calls(client):
            sinks.failed(error)
    sinks.show(
        client,
        ring,
        ring.status(),
        layers,
        *layers,
        spare,
        *(vars(layer) for layer in layers if hasattr(layer, "__dict__")),
    )
    assert [record.operation for record in sinks.records][:2] == ["chat.completions"] * 2
    assert len(sinks.records) == 5
    assert any(record.error or record.hint for record in sinks.records) == (failure is not FAILURES["answered"])
    assert sinks.stored() >= {"budget.db", "cache.db", "access.jsonl", "usage.db", b"hash"}
    assert fake.requests[0].headers["authorization"].removeprefix("Bearer ") in KEYS
    sinks.assert_clean()


async def test_llmkits_own_refusals_are_clean(sinks: Sinks) -> None:
    fake = FakeOpenAI()
    for _ in range(40):
        fake.error(401, message=ECHO)
    small: list[Any] = [
        [Budget(daily_tokens=1, per="user")],
        [Context(max_tokens=1, on_overflow="raise")],
        [Context(max_tokens=1)],
        [RateLimit(requests_per_minute=1, timeout=0.01)],
        [CircuitBreaker(failures=1)],
        [Fallback("gpt-4o-mini", on=(401,))],
        [broken],
        [forgetful],
        [],
    ]
    with virtual_time(), llmkit.tags(user="u-1"):
        for layers in small:
            client = llmkit.AsyncOpenAI(
                api_key=KeyRing(*KEYS),
                base_url=fake.base_url,
                http_client=fake.async_http_client(),
                middleware=[UsageLog(sinks=[StructlogSink(format="json"), sinks.records.append]), *layers],
            )
            for _ in range(2):
                async for error in calls(client):
                    sinks.failed(error)
    assert {record.error for record in sinks.records} >= {
        "BudgetExceeded",
        "ContextLengthExceeded",
        "RateLimitTimeout",
        "NoUsableKey",
        "AuthenticationError",
        "ValueError",
        "MiddlewareError",
    }
    sinks.assert_clean()


def test_a_ring_cannot_be_pickled_or_dumped_with_its_keys(sinks: Sinks) -> None:
    ring = KeyRing(*KEYS)
    try:
        sinks.shown.append(pickle.dumps(ring).decode("latin-1"))
    except TypeError as error:
        sinks.show(error)
    sinks.show(ring, vars(ring) if hasattr(ring, "__dict__") else "", ring.status())
    sinks.assert_clean()


def test_the_check_would_see_a_secret(sinks: Sinks) -> None:
    sinks.show(PROMPT)
    with pytest.raises(AssertionError, match="Rosalind"):
        sinks.assert_clean()
