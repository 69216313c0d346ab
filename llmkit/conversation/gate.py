"""One turn at a time, and work that is done once it has begun."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any
from weakref import ref

import anyio

from llmkit.conversation.errors import ConversationBusy

_running_tools: ContextVar[tuple[Gate, ...]] = ContextVar("llmkit_conversations_running_tools", default=())


class Gate:
    """Lets the turns of a conversation through one by one, and refuses one that would wait for itself."""

    def __init__(self) -> None:
        self._free = anyio.Semaphore(1)
        self._open: tuple[ref[Any], int] | None = None

    @asynccontextmanager
    async def alone(self, stream: ref[Any] | None = None) -> AsyncGenerator[None, None]:
        """Wait for the turn before; raises `ConversationBusy` inside a tool or an open stream of the conversation.

        `stream` is what the caller reads the turn from.
        """
        self._refuse_own_turn()
        async with self._free:
            self._open = None if stream is None else (stream, anyio.get_current_task().id)
            try:
                yield
            finally:
                self._open = None

    @contextmanager
    def tools_run(self) -> Generator[None, None, None]:
        """Mark what starts inside as running for this turn."""
        token = _running_tools.set((*_running_tools.get(), self))
        try:
            yield
        finally:
            _running_tools.reset(token)

    def _refuse_own_turn(self) -> None:
        if self in _running_tools.get():
            raise ConversationBusy("A tool cannot talk to the conversation that called it: the turn is not over.")
        stream, task = self._open or (None, None)
        # A stream that was dropped unfinished is being closed; only one that is still held would never end.
        if stream is not None and stream() is not None and task == anyio.get_current_task().id:
            raise ConversationBusy(
                "This task is still reading a stream of the conversation; read it to its end or close it first: "
                "`async with conversation.stream(...) as stream`."
            )


async def to_the_end(work: Callable[[], Awaitable[None]]) -> None:
    """Do the work even when this task is cancelled meanwhile; the cancellation is raised when it is done."""
    failures: list[Exception] = []

    async def run() -> None:
        with anyio.CancelScope(shield=True):
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - raised below, outside of the group that would wrap it
                failures.append(error)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
    for failure in failures:
        raise failure
