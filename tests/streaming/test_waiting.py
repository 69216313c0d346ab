from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from stream_sources import Source, settled, taken

from llmkit import UsageLog
from llmkit.streaming.channels import channel
from llmkit.streaming.coalescing import coalesce
from llmkit.streaming.sources import OwnedStream
from llmkit.streaming.waiting import ReadAhead
from llmkit.streaming.web import to_sse
from llmkit.testing import FakeOpenAI

EACH = pytest.mark.parametrize("reading", [coalesce, channel, to_sse])


async def everything(reader: ReadAhead[Any]) -> list[Any]:
    found: list[Any] = []
    try:
        while await reader.wait():
            found.append(reader.take())
    except StopAsyncIteration:
        pass
    return found


async def test_events_arrive_in_order_and_the_source_is_closed_once_at_its_end() -> None:
    source = Source(range(100))
    reader = ReadAhead(source, ahead=3)
    assert await everything(reader) == list(range(100))
    assert source.closes == 1
    assert reader.over
    await reader.aclose()
    assert source.closes == 1


async def test_no_more_than_ahead_events_wait_to_be_taken() -> None:
    source = Source(range(100))
    reader = ReadAhead(source, ahead=4)
    for number in range(50):
        await reader.wait()
        await settled()
        assert source.read <= number + 4
        assert reader.take() == number
    await reader.aclose()


async def test_waiting_ends_at_its_time_and_the_event_is_not_lost() -> None:
    gate = asyncio.Event()
    reader = ReadAhead(Source([gate, "late"]), ahead=1)
    now = asyncio.get_running_loop().time()
    assert not await reader.wait(now - 1)
    assert not await reader.wait(now + 0.001)
    gate.set()
    assert await reader.wait(now + 3600)
    assert reader.take() == "late"
    await reader.aclose()


async def test_an_event_that_comes_before_the_time_ends_the_wait() -> None:
    gate = asyncio.Event()
    reader = ReadAhead(Source([gate, "soon"]), ahead=1)
    waiting = asyncio.create_task(reader.wait(asyncio.get_running_loop().time() + 3600))
    await settled()
    gate.set()
    assert await waiting
    await reader.aclose()


async def test_the_error_of_the_source_comes_after_what_was_read_and_the_source_is_closed() -> None:
    source = Source([1, 2], error=ValueError("broke"))
    reader = ReadAhead(source, ahead=8)
    await reader.wait()
    await settled()
    assert (reader.take(), reader.take(), source.closes) == (1, 2, 1)
    for _ in range(2):
        assert await reader.wait()
        with pytest.raises(ValueError, match="broke"):
            reader.take()


async def test_a_cancelled_error_of_the_source_is_raised_where_its_events_are_taken() -> None:
    reader = ReadAhead(Source([1], error=asyncio.CancelledError()), ahead=8)
    assert await reader.wait()
    assert reader.take() == 1
    assert await reader.wait()
    with pytest.raises(asyncio.CancelledError):
        reader.take()


async def test_closing_while_the_source_is_silent_cancels_it_and_closes_it() -> None:
    source = Source([1], hangs=True)
    reader = ReadAhead(source, ahead=8)
    await reader.wait()
    await settled()
    await asyncio.gather(reader.aclose(), reader.aclose())
    assert source.cancelled
    assert source.closes == 1
    assert await everything(reader) == []


async def test_closing_before_anything_was_read_closes_the_source() -> None:
    unstarted, just_started = Source([1]), Source([1])
    reader = ReadAhead(unstarted, ahead=1)
    await reader.aclose()
    assert (unstarted.closes, unstarted.read) == (1, 0)
    assert await everything(reader) == []
    reader = ReadAhead(just_started, ahead=1)
    reader.start()
    await reader.aclose()
    assert (just_started.closes, just_started.read) == (1, 0)


async def test_closing_during_the_last_close_waits_for_it() -> None:
    finishing = asyncio.Event()

    class Slow(Source):
        async def aclose(self) -> None:
            await finishing.wait()
            await super().aclose()

    source = Slow([1])
    reader = ReadAhead(source, ahead=8)
    await reader.wait()
    await settled()
    closing = asyncio.create_task(reader.aclose())
    await settled()
    assert not closing.done()
    finishing.set()
    await closing
    assert source.closes == 1


async def test_a_source_that_goes_on_when_cancelled_is_closed_all_the_same() -> None:
    class Stubborn(Source):
        async def __anext__(self) -> Any:
            try:
                return await super().__anext__()
            except asyncio.CancelledError:
                return "still here"

    source = Stubborn([1], hangs=True)
    reader = ReadAhead(source, ahead=8)
    await reader.wait()
    await settled()
    await reader.aclose()
    assert source.closes == 1
    assert await everything(reader) == []


async def test_a_source_is_closed_in_a_cancel_scope_that_was_cancelled() -> None:
    source = Source([1], hangs=True)
    reader = ReadAhead(source, ahead=8)
    with anyio.CancelScope() as scope:
        await reader.wait()
        await settled()
        scope.cancel()
        await reader.aclose()
    assert source.closes == 1
    unread = Source([1])
    with anyio.CancelScope() as scope:
        scope.cancel()
        await ReadAhead(unread, ahead=1).aclose()
    assert unread.closes == 1


async def test_a_waiter_that_is_cancelled_when_its_event_comes_passes_it_on() -> None:
    gate = asyncio.Event()
    reader = ReadAhead(Source([gate, "for one of you"], hangs=True), ahead=1)

    async def take() -> Any:
        await reader.wait()
        return reader.take()

    first, second = asyncio.create_task(take()), asyncio.create_task(take())
    await settled()
    gate.set()
    while not reader.items:
        await asyncio.sleep(0)
    first.cancel()  # its future is done, and it has not run yet
    assert await second == "for one of you"
    waiting = asyncio.create_task(take())
    await settled()
    waiting.cancel()
    await asyncio.wait([first, waiting])
    await reader.aclose()


async def test_the_source_runs_in_one_task_so_that_it_may_hold_scopes_and_context_variables() -> None:
    variable: ContextVar[str] = ContextVar("variable")
    tasks: set[Any] = set()

    async def scoped() -> AsyncIterator[str]:
        with anyio.CancelScope():
            variable.set("mine")
            for _ in range(3):
                tasks.add(asyncio.current_task())
                yield variable.get()
                await asyncio.sleep(0)

    async with channel(scoped(), maxsize=1) as items:
        assert [await anext(items), await anext(items)] == ["mine", "mine"]
    assert len(tasks) == 1


async def test_streams_of_the_sdk_are_closed_and_their_records_say_that_they_were_left() -> None:
    records: list[Any] = []
    fake = FakeOpenAI(stream_chars=1)
    client = fake.async_client(middleware=[UsageLog(sinks=[records.append])])
    options: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello. " * 20}]}
    stream = await client.chat.completions.create(**options, stream=True)
    async with channel(stream) as items:
        await anext(items)
        assert fake.open_streams == 1
    assert fake.open_streams == 0
    async with client.chat.completions.stream(**options) as helper:
        async with channel(helper) as events:
            await anext(events)
            assert fake.open_streams == 1
        assert fake.open_streams == 0
    assert [(record.complete, record.error) for record in records] == [(False, None)] * 2


@EACH
async def test_what_is_dropped_without_being_closed_closes_its_source_soon(reading: Any) -> None:
    source = Source(["a", 1, "b"], hangs=True)
    async for _ in reading(source):
        break
    gc.collect()
    await settled()
    unread = Source(["a"])
    reading(unread)
    gc.collect()
    await settled()
    assert source.closes == unread.closes == 1


def test_what_is_dropped_when_its_loop_is_closed_does_no_harm() -> None:
    kept: list[Any] = []

    async def read_some() -> None:
        kept.append(coalesce(Source([1, 2])))
        assert await anext(kept[0]) == 1

    asyncio.run(read_some())
    kept.clear()
    coalesce(Source([1]))
    gc.collect()


@EACH
async def test_what_cannot_be_read_is_named_with_what_to_do(reading: Any) -> None:
    fake = FakeOpenAI()
    options: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}]}
    pending = fake.async_client().chat.completions.create(**options, stream=True)
    manager = fake.async_client().chat.completions.stream(**options)
    stream = fake.client().chat.completions.create(**options, stream=True)
    try:
        with pytest.raises(TypeError, match="a coroutine cannot be read with `async for`; await it first"):
            reading(pending)
        with pytest.raises(TypeError, match=r"enter it first: `async with \.\.\. as stream`"):
            reading(manager)
        with pytest.raises(TypeError, match=r"a Stream cannot be read .* pass a stream of an AsyncOpenAI"):
            reading(stream)
    finally:
        pending.close()
        stream.close()
        async with manager:
            pass


@EACH
def test_another_async_library_is_told_that_asyncio_is_needed(reading: Any) -> None:
    step = reading(Source([1])).__anext__()
    with pytest.raises(RuntimeError, match="run them in an asyncio event loop"):
        step.send(None)


async def test_a_source_without_anext_is_read_through_its_iterator() -> None:
    class Iterable:
        async def __aiter__(self) -> AsyncIterator[int]:
            yield 1
            yield 2

    assert await taken(channel(Iterable())) == ([1, 2], None)


async def test_an_owned_stream_closes_at_the_end_of_its_block() -> None:
    source = Source(["a", "b"], hangs=True)
    async with coalesce(source, tokens=1, seconds=0.001) as texts:
        assert isinstance(texts, OwnedStream)
        assert await anext(texts) == "ab"
    assert source.closes == 1
    assert await taken(texts) == ([], None)
