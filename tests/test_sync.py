from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from surfaces import CHAT

from llmkit import CallNext, CallRecord, MiddlewareError, Request, Retry, UsageLog
from llmkit.testing import FakeOpenAI, virtual_time


async def sleeps(request: Request, call_next: CallNext) -> Any:
    await asyncio.sleep(0.01)
    return await call_next(request)


async def sleeps_on_anyio(request: Request, call_next: CallNext) -> Any:
    await anyio.sleep(0.01)
    return await call_next(request)


class Suspends:
    def __await__(self) -> Any:
        yield

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        await self
        return await call_next(request)


async def fails(request: Request, call_next: CallNext) -> Any:
    raise RuntimeError("no such thing")


@pytest.mark.parametrize("layer", [sleeps, sleeps_on_anyio])
def test_a_sync_client_names_the_middleware_that_needs_an_event_loop(layer: Any) -> None:
    fake = FakeOpenAI()
    with pytest.raises(MiddlewareError, match=rf"middleware {layer.__name__} awaited .* request\.runtime\.sleep"):
        fake.client(middleware=[layer]).chat.completions.create(**CHAT)
    assert fake.requests == []


async def test_a_sync_client_inside_a_running_loop_names_the_middleware_that_suspends() -> None:
    with pytest.raises(MiddlewareError, match="middleware sleeps awaited"):
        FakeOpenAI().client(middleware=[sleeps]).chat.completions.create(**CHAT)


async def test_a_stream_opened_before_the_suspension_is_closed() -> None:
    async def sleeps_after(request: Request, call_next: CallNext) -> Any:
        answer = await call_next(request)
        await asyncio.sleep(0.01)
        return answer

    fake = FakeOpenAI()
    with pytest.raises(MiddlewareError, match="sleeps_after"):
        fake.client(middleware=[sleeps_after]).chat.completions.create(**CHAT, stream=True)
    assert fake.open_streams == 0


def test_a_suspension_that_a_middleware_swallows_is_raised_all_the_same() -> None:
    async def swallows(request: Request, call_next: CallNext) -> Any:
        try:
            return await call_next(request)
        except MiddlewareError:
            return "swallowed"

    records: list[CallRecord] = []
    client = FakeOpenAI().client(middleware=[UsageLog(sinks=[records.append]), swallows, Suspends()])
    with pytest.raises(MiddlewareError, match="middleware Suspends awaited"):
        client.chat.completions.create(**CHAT)
    assert len(records) == 1


def test_the_record_of_a_suspended_call_has_the_error() -> None:
    records: list[CallRecord] = []
    client = FakeOpenAI().client(middleware=[UsageLog(sinks=[records.append]), Suspends()])
    with pytest.raises(MiddlewareError):
        client.chat.completions.create(**CHAT)
    assert records[0].error == "MiddlewareError"


async def test_an_event_loop_error_from_below_the_stack_is_not_blamed_on_it() -> None:
    async def token() -> str:
        return "sk-fake"

    def key() -> str:
        coroutine = token()
        try:
            return asyncio.run(coroutine)
        finally:
            coroutine.close()

    client = FakeOpenAI().client(middleware=[Retry()], api_key=key)
    with pytest.raises(RuntimeError, match=r"asyncio\.run\(\) cannot be called") as caught:
        client.chat.completions.create(**CHAT)
    assert not isinstance(caught.value, MiddlewareError)


def test_another_runtime_error_comes_out_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="no such thing"):
        FakeOpenAI().client(middleware=[fails]).chat.completions.create(**CHAT)


def test_the_same_middleware_waits_in_a_sync_client_through_the_runtime() -> None:
    async def waits(request: Request, call_next: CallNext) -> Any:
        await request.runtime.sleep(3)
        return await call_next(request)

    with virtual_time() as clock:
        assert FakeOpenAI().client(middleware=[waits]).chat.completions.create(**CHAT).choices
    assert clock.sleeps == [3]
