from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import pickle
import re
import threading
from contextlib import suppress
from typing import Any

import httpx2
import openai
import pytest
from surfaces import CHAT

import llmkit
from llmkit import CallNext, CallRecord, Request, Retry, UsageLog
from llmkit.breaker import CircuitState
from llmkit.errors import CircuitOpen, InvalidResponse
from llmkit.middleware.circuit_breaker import CircuitBreaker
from llmkit.middleware.rate_limit import RateLimit
from llmkit.middleware.timeouts import Timeouts
from llmkit.testing import FakeOpenAI, virtual_time
from llmkit.testing.fake.records import FakeRequest


def client_for(fake: FakeOpenAI, *layers: Any) -> tuple[llmkit.AsyncOpenAI, list[CallRecord]]:
    records: list[CallRecord] = []
    return fake.async_client(middleware=[UsageLog(sinks=[records.append]), *layers], max_retries=0), records


async def fail(client: Any, times: int, **options: Any) -> None:
    for _ in range(times):
        with pytest.raises(openai.APIError):
            await client.chat.completions.create(**CHAT | options)


def states(breaker: CircuitBreaker) -> list[str]:
    return [state.state for state in breaker.states()]


async def test_calls_of_a_model_that_keeps_failing_are_refused_without_a_request() -> None:
    fake = FakeOpenAI().error(500).error(503).fail(httpx2.ConnectError("refused"))
    breaker = CircuitBreaker(failures=3)
    client, records = client_for(fake, breaker)
    with virtual_time() as clock:
        await fail(client, 3)
        clock.advance(10)
        with pytest.raises(CircuitOpen) as caught:
            await client.chat.completions.create(**CHAT)
    assert str(caught.value) == (
        "calls of 'gpt-4o-mini' at fake.openai.test are not sent: the last 3 failed with APIConnectionError; "
        "one is tried in 20 s"
    )
    assert caught.value.retry_in == 20
    assert len(fake.requests) == 3
    assert (records[-1].error, records[-1].attempts) == ("CircuitOpen", 0)


async def test_a_call_counts_once_however_often_it_is_retried() -> None:
    fake = FakeOpenAI()
    for _ in range(6):
        fake.error(500)
    breaker = CircuitBreaker(failures=3)
    client = fake.async_client(middleware=[breaker, Retry(max_retries=2)])
    with virtual_time():
        await fail(client, 2)
        await client.chat.completions.create(**CHAT)
    assert len(fake.requests) == 7
    assert states(breaker) == ["closed"]


@pytest.mark.parametrize("status", [400, 401, 404, 408, 409, 422, 429])
async def test_what_else_the_api_refuses_is_neither_failure_nor_success(status: int) -> None:
    fake = FakeOpenAI().error(500).error(status).error(status).error(500)
    breaker = CircuitBreaker(failures=2)
    client, _ = client_for(fake, breaker)
    await fail(client, 3)
    assert breaker.states()[0].failures == 1
    await fail(client, 1)
    assert states(breaker) == ["open"]


async def test_models_and_addresses_have_circuits_of_their_own() -> None:
    fake = FakeOpenAI().error(500).error(500)
    breaker = CircuitBreaker(failures=1)
    client, _ = client_for(fake, breaker)
    elsewhere = client.with_options(base_url="https://elsewhere.test/v1")
    with virtual_time():
        await fail(client, 1)
        await fail(elsewhere, 1)
        await client.chat.completions.create(**CHAT | {"model": "gpt-4o"})
        await client.models.retrieve("gpt-4o")
        assert breaker.states() == [
            CircuitState(base_url=f"{base_url}/", model=model, state=state, failures=failures,
                         last_error=error, retry_in=retry_in)
            for base_url, model, state, failures, error, retry_in in (
                (fake.base_url, CHAT["model"], "open", 1, "InternalServerError", 30.0),
                ("https://elsewhere.test/v1", CHAT["model"], "open", 1, "InternalServerError", 30.0),
                (fake.base_url, "gpt-4o", "closed", 0, None, 0.0),
                (fake.base_url, None, "closed", 0, None, 0.0),
            )
        ]  # fmt: skip


class Waiting:
    """A layer below the breaker in which calls wait until the test lets them go."""

    def __init__(self) -> None:
        self.inside = 0
        self.go = asyncio.Event()

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        self.inside += 1
        await self.go.wait()
        return await call_next(request)


async def test_exactly_one_probe_runs_while_fifty_calls_wait_for_it() -> None:
    fake, breaker, waiting = FakeOpenAI().error(500), CircuitBreaker(failures=1), Waiting()
    client, _ = client_for(fake, breaker, waiting)
    waiting.go.set()
    with virtual_time() as clock:
        await fail(client, 1)
        clock.advance(30)
        waiting.go.clear()
        waiting.inside = 0
        calls = [asyncio.create_task(client.chat.completions.create(**CHAT)) for _ in range(50)]
        await asyncio.sleep(0)
        assert states(breaker) == ["half-open"]
        waiting.go.set()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert waiting.inside == 1
        refused = [answer for answer in answers if isinstance(answer, CircuitOpen)]
        assert len(refused) == 49
        assert str(refused[0]).endswith("with InternalServerError; one is being tried now")
        assert len(fake.requests) == 2
        await asyncio.gather(*(client.chat.completions.create(**CHAT) for _ in range(50)))
    assert len(fake.requests) == 52


async def test_a_probe_that_fails_opens_the_circuit_again() -> None:
    fake = FakeOpenAI().error(500).error(500).reply("ok")
    client, _ = client_for(fake, CircuitBreaker(failures=1, cooldown=30))
    with virtual_time() as clock:
        await fail(client, 1)
        for _ in range(2):
            clock.advance(29)
            with pytest.raises(CircuitOpen):
                await client.chat.completions.create(**CHAT)
            clock.advance(1)
            if len(fake.requests) == 1:
                await fail(client, 1)
        await client.chat.completions.create(**CHAT)
    assert len(fake.requests) == 3


async def test_a_probe_that_is_cancelled_makes_room_for_another_at_once() -> None:
    fake, breaker, waiting = FakeOpenAI().error(500), CircuitBreaker(failures=1), Waiting()
    client, _ = client_for(fake, breaker, waiting)
    waiting.go.set()
    with virtual_time() as clock:
        await fail(client, 1)
        clock.advance(30)
        waiting.go.clear()
        probe = asyncio.create_task(client.chat.completions.create(**CHAT))
        await asyncio.sleep(0)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert states(breaker) == ["open"]
        waiting.go.set()
        await client.chat.completions.create(**CHAT)
    assert states(breaker) == ["closed"]


@pytest.mark.parametrize("above", [True, False])
async def test_a_call_that_a_timeouts_ends_is_a_failure(above: bool) -> None:
    breaker, timeouts = CircuitBreaker(failures=1), Timeouts(total=2)
    client, _ = client_for(FakeOpenAI(delay=3), *((timeouts, breaker) if above else (breaker, timeouts)))
    with virtual_time(), pytest.raises(openai.APITimeoutError):
        await client.chat.completions.create(**CHAT)
    assert breaker.states()[0].last_error == "CallTimeout"


async def again(request: Request, call_next: CallNext) -> Any:
    with suppress(openai.RateLimitError):
        return await call_next(request)
    return await call_next(request)


@pytest.mark.parametrize("above", [True, False])
async def test_a_call_whose_time_is_over_while_it_waits_for_a_rate_limit_is_none(above: bool) -> None:
    breaker, timeouts = CircuitBreaker(failures=1), Timeouts(total=2)
    fake, limit = FakeOpenAI().error(429), RateLimit(requests_per_minute=1)
    client, records = client_for(fake, *((timeouts, breaker) if above else (breaker, timeouts)), again, limit)
    with virtual_time(), pytest.raises(openai.APITimeoutError):
        await client.chat.completions.create(**CHAT)
    assert records[0].limit_wait == 2
    assert len(fake.requests) == 1
    assert states(breaker) == ["closed"]
    assert breaker.states()[0].failures == 0


async def test_a_call_cancelled_under_a_timeouts_with_time_left_is_none() -> None:
    breaker, waiting = CircuitBreaker(failures=1), Waiting()
    client, _ = client_for(FakeOpenAI(), Timeouts(total=100), breaker, waiting)
    call = asyncio.create_task(client.chat.completions.create(**CHAT))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert states(breaker) == ["closed"]


async def test_a_stream_that_breaks_off_is_a_failure_and_one_read_to_its_end_a_success() -> None:
    fake = FakeOpenAI().drop("a long answer", after=2).reply("ok").drop("a long answer", after=2)
    breaker = CircuitBreaker(failures=2)
    client, _ = client_for(fake, breaker)
    failures: list[int] = []
    for _ in range(3):
        stream = await client.chat.completions.create(**CHAT, stream=True)
        before = breaker.states()[0].failures
        with suppress(Exception):  # whatever the SDK makes of it
            _ = [chunk async for chunk in stream]
        failures += [before, breaker.states()[0].failures]
    assert failures == [0, 1, 1, 0, 0, 1]


@pytest.mark.parametrize(("code", "failures"), [("server_error", 1), (None, 1), ("rate_limit_exceeded", 0)])
async def test_an_error_within_a_stream_counts_when_it_is_the_servers_fault(code: str | None, failures: int) -> None:
    event = b'data: {"error": {"message": "no", "code": %s}}\n\n' % (f'"{code}"' if code else "null").encode()
    response = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=event)
    breaker = CircuitBreaker()
    client, _ = client_for(FakeOpenAI().respond(response), breaker)
    with pytest.raises(openai.APIError):
        _ = [chunk async for chunk in await client.chat.completions.create(**CHAT, stream=True)]
    assert breaker.states()[0].failures == failures


async def test_a_stream_that_its_reader_leaves_is_no_failure() -> None:
    breaker = CircuitBreaker(failures=1)
    client, _ = client_for(FakeOpenAI(), breaker)
    async with await client.chat.completions.create(**CHAT, stream=True) as stream:
        await anext(aiter(stream))
    assert states(breaker) == ["closed"]
    assert breaker.states()[0].failures == 0


async def test_a_stream_that_begins_is_probe_enough_and_its_end_counts_for_the_closed_circuit() -> None:
    breaker = CircuitBreaker(failures=2)
    fake = FakeOpenAI().error(500).error(500).drop("a long answer", after=2)
    client, _ = client_for(fake, breaker)
    with virtual_time() as clock:
        await fail(client, 2)
        clock.advance(30)
        stream = await client.chat.completions.create(**CHAT, stream=True)
        assert states(breaker) == ["closed"]
        with pytest.raises(Exception):  # noqa: B017 - whatever the SDK makes of it
            _ = [chunk async for chunk in stream]
    assert (states(breaker), breaker.states()[0].failures) == (["closed"], 1)


@pytest.mark.parametrize(
    ("on", "failing"),
    [((503,), 503), ((openai.RateLimitError,), 429), (lambda error: getattr(error, "status_code", 0) == 404, 404)],
)
async def test_what_counts_can_be_chosen(on: Any, failing: int) -> None:
    fake = FakeOpenAI().error(500).error(500).error(failing)
    breaker = CircuitBreaker(failures=1, on=on)
    client, _ = client_for(fake, breaker)
    await fail(client, 2)
    assert states(breaker) == ["closed"]
    await fail(client, 1)
    assert states(breaker) == ["open"]


async def test_answers_that_make_no_sense_are_failures() -> None:
    async def nonsense(request: Request, call_next: CallNext) -> Any:
        raise InvalidResponse("no", operation=request.operation, missing="choices")

    breaker = CircuitBreaker(failures=1)
    client, _ = client_for(FakeOpenAI(), breaker, nonsense)
    with pytest.raises(InvalidResponse):
        await client.chat.completions.create(**CHAT)
    assert states(breaker) == ["open"]


def test_threads_of_a_sync_client_see_one_probe() -> None:
    fake, breaker = FakeOpenAI().error(500), CircuitBreaker(failures=1, cooldown=30)
    inside, go = threading.Event(), threading.Event()

    def slow(_: FakeRequest) -> httpx2.Response:
        inside.set()
        assert go.wait(10)
        return httpx2.Response(500, json={})

    fake.respond(slow)
    client = fake.client(middleware=[breaker], max_retries=0)
    outcomes: list[str] = []

    def call() -> None:
        try:
            client.chat.completions.create(**CHAT)
        except openai.OpenAIError as error:
            outcomes.append(type(error).__name__)

    with virtual_time() as clock:
        call()
        clock.advance(30)
        probe = threading.Thread(target=contextvars.copy_context().run, args=(call,))
        probe.start()
        assert inside.wait(10)
        call()
        go.set()
        probe.join(10)
    assert outcomes == ["InternalServerError", "CircuitOpen", "InternalServerError"]
    assert len(fake.requests) == 2


async def test_a_thousand_circuits_are_kept_and_of_more_the_oldest_is_forgotten() -> None:
    breaker = CircuitBreaker()
    client, _ = client_for(FakeOpenAI(), breaker, Answering())
    for number in [*range(1000), 0, 1000]:
        await client.chat.completions.create(**CHAT | {"model": f"model-{number}"})
    models = [state.model for state in breaker.states()]
    assert len(models) == 1000
    assert models[-2:] == ["model-0", "model-1000"]
    assert "model-1" not in models


class Answering:
    """Answers every call by itself."""

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        return openai.types.Model.construct(id="x")


async def test_operators_are_told_when_a_circuit_opens_and_closes(caplog: pytest.LogCaptureFixture) -> None:
    client, _ = client_for(FakeOpenAI().error(500), CircuitBreaker(failures=1))
    with virtual_time() as clock, caplog.at_level(logging.INFO, logger="llmkit"):
        await fail(client, 1)
        clock.advance(30)
        await client.chat.completions.create(**CHAT)
    told = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "llmkit"]
    assert told == [
        ("WARNING", "calls of 'gpt-4o-mini' at fake.openai.test are not sent for 30 s: InternalServerError"),
        ("INFO", "calls of 'gpt-4o-mini' at fake.openai.test are sent again"),
    ]


async def test_neither_a_password_in_the_address_nor_the_servers_text_is_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fake = FakeOpenAI(base_url="https://user:canary@fake.openai.test/v1").error(500, message="canary")
    client, _ = client_for(fake, CircuitBreaker(failures=1))
    with caplog.at_level(logging.INFO, logger="llmkit"):
        await fail(client, 1)
        with pytest.raises(CircuitOpen) as caught:
            await client.chat.completions.create(**CHAT)
    assert "canary" not in str(caught.value) + caplog.text


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(CircuitOpen("closed for now", retry_in=3.5)))
    assert (str(error), error.retry_in) == ("closed for now", 3.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"failures": 0}, "failures=0 must be at least 1"),
        ({"within": 0}, "within=0 must be above 0 seconds"),
        ({"cooldown": -1}, "cooldown=-1 must be above 0 seconds"),
    ],
)
def test_impossible_settings_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        CircuitBreaker(**options)


def test_a_choice_of_errors_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match="no choice of errors"):
        CircuitBreaker(on="500")  # type: ignore[arg-type]


def test_a_stream_that_is_collected_while_the_breaker_is_busy_does_not_block_it() -> None:
    breaker = CircuitBreaker()
    client = FakeOpenAI().client(middleware=[breaker])

    def leave_a_stream() -> None:
        stream: Any = client.chat.completions.create(**CHAT, stream=True)
        next(stream)
        stream.itself = stream

    def collect() -> None:
        with breaker._lock:  # as where a collection begins inside
            gc.collect()

    gc.disable()
    leave_a_stream()
    busy = threading.Thread(target=collect, daemon=True)
    busy.start()
    busy.join(10)
    gc.enable()
    assert not busy.is_alive()
