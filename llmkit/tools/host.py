"""Telling a cancellation from outside from one that a tool made."""

from __future__ import annotations

import asyncio
import math

import anyio
import anyio.lowlevel


class Host:
    """The task in which calls are run; made before they are."""

    __slots__ = ("_before", "_task")

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None
        self._before = 0
        try:
            task = asyncio.current_task()
        except RuntimeError:  # on trio
            return
        if task is not None:
            self._task, self._before = task, task.cancelling()

    def is_cancelled(self) -> bool:
        """Whether the run is to end: its task was cancelled, or a cancel scope around it."""
        if self._task is not None and self._task.cancelling() > self._before:
            return True
        return anyio.current_effective_deadline() == -math.inf

    async def check(self) -> None:
        """Raise the cancellation that a tool made something else of."""
        if self.is_cancelled():
            await anyio.lowlevel.checkpoint()  # a cancel scope raises it again; a task does not
            raise asyncio.CancelledError
