from __future__ import annotations

import asyncio
from typing import Any

import pytest
from stream_sources import Source, settled, taken

from llmkit.streaming.channels import Channel, channel


async def test_the_source_waits_when_the_buffer_is_full_and_goes_on_when_there_is_room() -> None:
    source = Source(range(100))
    async with channel(source, maxsize=8) as items:
        await settled()
        assert source.read == 8
        assert [await anext(items) for _ in range(3)] == [0, 1, 2]
        await settled()
        assert source.read <= 11
        assert (await taken(items))[0] == list(range(3, 100))


async def test_one_item_at_a_time_is_read_when_there_is_room_for_one() -> None:
    source = Source(range(5))
    async with channel(source, maxsize=1) as items:
        for number in range(5):
            await settled()
            assert source.read == number + 1
            assert await anext(items) == number
        assert await taken(items) == ([], None)


async def test_reading_begins_with_the_block() -> None:
    source = Source(range(3))
    items = channel(source)
    await settled()
    assert source.read == 0
    async with items:
        await settled()
        assert source.read == 3


async def test_each_item_goes_to_one_of_several_consumers_and_all_see_the_end() -> None:
    async with channel(Source(range(200)), maxsize=4) as items:

        async def consume() -> list[int]:
            found: list[int] = []
            async for item in items:
                found.append(item)
                await asyncio.sleep(0)
            return found

        shares = await asyncio.gather(*(consume() for _ in range(5)))
    assert sorted(item for share in shares for item in share) == list(range(200))
    assert all(shares)


async def test_all_consumers_see_the_error_after_the_last_item() -> None:
    async with channel(Source(range(10), error=ConnectionError("dropped")), maxsize=4) as items:
        results = await asyncio.gather(*(taken(items) for _ in range(3)))
    assert sorted(item for found, _ in results for item in found) == list(range(10))
    assert all(isinstance(error, ConnectionError) for _, error in results)


async def test_a_consumer_that_is_cancelled_while_it_waits_takes_nothing_away() -> None:
    gate = asyncio.Event()
    source = Source([1, gate, 2, 3])
    async with channel(source) as items:
        assert await anext(items) == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await anext(items)
        gate.set()
        assert await taken(items) == ([2, 3], None)


async def leave_by_break(items: Channel[Any]) -> None:
    async for _ in items:
        break


async def leave_by_error(items: Channel[Any]) -> None:
    await anext(items)
    raise ZeroDivisionError


async def leave_by_cancellation(items: Channel[Any]) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_soon(task.cancel)
    await taken(items)


@pytest.mark.parametrize("length", [2, 100])
@pytest.mark.parametrize(
    ("leave", "raises"),
    [(leave_by_break, None), (leave_by_error, ZeroDivisionError), (leave_by_cancellation, asyncio.CancelledError)],
)
async def test_leaving_the_block_stops_the_reader_and_closes_the_source(length: int, leave: Any, raises: Any) -> None:
    opened = Source(range(length), hangs=True)

    async def consume() -> None:
        async with channel(opened, maxsize=4) as items:
            await leave(items)

    before = asyncio.all_tasks()
    [result] = await asyncio.gather(asyncio.create_task(consume()), return_exceptions=True)
    assert type(result) is (raises or type(None))
    assert opened.closes == 1
    assert asyncio.all_tasks() == before


async def test_consumers_that_wait_see_the_end_when_the_channel_is_closed() -> None:
    items = channel(Source(hangs=True))
    waiting = asyncio.create_task(taken(items))
    await settled()
    await items.aclose()
    assert await waiting == ([], None)


@pytest.mark.parametrize("maxsize", [0, -1, 1.5, True, None])
async def test_a_maxsize_that_leaves_no_room_is_named(maxsize: Any) -> None:
    with pytest.raises(ValueError, match=f"maxsize={maxsize!r} leaves no room"):
        channel(Source(), maxsize=maxsize)
