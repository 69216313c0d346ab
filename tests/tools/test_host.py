from __future__ import annotations

import asyncio

import anyio
import pytest

from llmkit.tools.host import Host


def test_without_asyncio_there_is_no_task_to_ask() -> None:
    with pytest.raises(anyio.NoEventLoopError):
        Host().is_cancelled()


async def test_outside_of_tasks_nothing_is_cancelled() -> None:
    asked = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lambda: asked.set_result(Host().is_cancelled()))
    assert await asked is False


async def test_nothing_is_raised_while_nothing_is_cancelled() -> None:
    await Host().check()
