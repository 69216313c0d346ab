"""Running calls: one result for each, in their order, whatever happens."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, TypeAlias

import anyio

from llmkit import runtime
from llmkit.retries import waits
from llmkit.tagging import current_tags
from llmkit.tools.approval import Approve, Deny, Edit, decide
from llmkit.tools.call import ToolCall
from llmkit.tools.cancelling import cancellations, start, stop
from llmkit.tools.caps import CHARS_A_TOKEN, capped, fits
from llmkit.tools.content import json_text, parts_of
from llmkit.tools.context import ToolContext
from llmkit.tools.definition import Tool
from llmkit.tools.drain import Taken
from llmkit.tools.errors import InvalidArguments
from llmkit.tools.execute import execute
from llmkit.tools.failures import Denied, NoData, describe, worth_another
from llmkit.tools.names import known_names
from llmkit.tools.parts import Part, TextPart
from llmkit.tools.result import ToolResult
from llmkit.tools.threads import Threads

OnResult: TypeAlias = Callable[[ToolResult], Awaitable[None] | None]
Outcome: TypeAlias = tuple[Any, Exception | None, float]
"""What a function returned or raised, and the seconds it took."""

_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What holds for all calls of a registry."""

    max_concurrency: int
    timeout: float | None
    max_result_tokens: int
    threads: Threads


class _Fatal(Exception):
    """What ends all calls; asyncio would stop the loop at a task that raises SystemExit itself."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause


class Batch:
    """The calls of one message; made in the task that runs them."""

    __slots__ = (
        "_approve",
        "_cancelled_before",
        "_dependencies",
        "_limits",
        "_on_result",
        "_runtime",
        "_slots",
        "_tools",
        "_turn",
    )

    def __init__(
        self,
        tools: Mapping[str, Tool],
        limits: Limits,
        *,
        dependencies: Any,
        approve: Approve | None,
        on_result: OnResult | None,
    ) -> None:
        self._tools = tools
        self._limits = limits
        self._dependencies = dependencies
        self._approve = approve
        self._on_result = on_result
        self._runtime = runtime.current(is_async=True)
        self._slots: asyncio.Semaphore | None = None
        self._turn: anyio.CapacityLimiter | None = None
        self._cancelled_before = 0  # the task that a call runs in; one of its own has not been

    async def run(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """One result for each call, in their order; at most `max_concurrency` of them run at the same time.

        Raises what is no `Exception` (SystemExit and the like), what `on_result` raises, and the cancellation of the
        caller; the other calls are then cancelled.
        """
        if len(calls) == 1:  # no tasks, for they take longer than many a tool
            self._cancelled_before = cancellations()
            return [await self._one(calls[0])]
        if not calls:
            return []
        self._slots = asyncio.Semaphore(self._limits.max_concurrency)
        tasks = [start(self._guarded(call)) for call in calls]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            await stop(tasks)
        for task in tasks:
            if isinstance(error := None if task.cancelled() else task.exception(), _Fatal):
                raise error.cause
        return [
            await self._told(_cancelled(call)) if task.cancelled() else task.result()  # by the tool itself
            for call, task in zip(calls, tasks, strict=True)
        ]

    async def _guarded(self, call: ToolCall) -> ToolResult:
        try:
            return await self._one(call)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - raised by `run`
            raise _Fatal(error) from None

    async def _one(self, call: ToolCall) -> ToolResult:
        result = await self._result(call)
        return result if self._on_result is None else await self._told(result)

    async def _told(self, result: ToolResult) -> ToolResult:
        if self._on_result is not None and (told := self._on_result(result)) is not None:
            await told
        return result

    async def _result(self, call: ToolCall) -> ToolResult:
        tool = self._tools.get(call.name)
        if tool is None:
            return _problem(
                call, "unknown_tool", f"there is no tool of that name; {known_names(call.name, self._tools)}"
            )
        if tool.function is None:
            return _problem(call, "runs_elsewhere", f"{tool.name} runs elsewhere, and its result was not given")
        try:
            if tool.options.needs_approval:
                return await self._asked(call, tool)
            return await self._attempts(call, tool, call.arguments)
        except asyncio.CancelledError:
            if cancellations() > self._cancelled_before:
                raise
            return _cancelled(call)

    async def _asked(self, call: ToolCall, tool: Tool) -> ToolResult:
        try:
            tool.bind(call.arguments, context=None)
        except Exception as error:  # noqa: BLE001 - validators are the user's, too
            return await self._failed(call, tool, error)
        if self._turn is None:
            self._turn = anyio.CapacityLimiter(1)
        decision = await decide(self._approve, call, turn=self._turn)
        if isinstance(decision, Deny):
            return await self._failed(call, tool, Denied(decision.reason))
        if isinstance(decision, Edit):
            return await self._edited(call, tool, decision.arguments)
        return await self._attempts(call, tool, call.arguments)

    async def _edited(self, call: ToolCall, tool: Tool, arguments: Mapping[str, Any]) -> ToolResult:
        try:
            text = json_text(dict(arguments))
        except NoData as error:
            text = f"Error: the changed arguments have a {error}, which is not JSON data"
            return await self._failed(call, tool, InvalidArguments(text))
        note = TextPart(text=f"The arguments were changed before the call, to {text}")
        return await self._attempts(call, tool, text, (note,))

    async def _attempts(self, call: ToolCall, tool: Tool, arguments: str, note: tuple[Part, ...] = ()) -> ToolResult:
        attempt, pauses = 1, None
        while True:
            if self._slots is None:
                value, error, latency = await self._attempt(call, tool, arguments, attempt)
            else:
                async with self._slots:
                    value, error, latency = await self._attempt(call, tool, arguments, attempt)
            if error is None:
                return await self._succeeded(call, tool, value, latency, note)
            if attempt > tool.options.max_retries or not worth_another(error):
                return await self._failed(call, tool, error, latency, note)
            pauses = pauses or waits(first=_FIRST_WAIT, cap=_LONGEST_WAIT, random=random.random)
            await self._runtime.sleep(next(pauses))
            attempt += 1

    async def _attempt(self, call: ToolCall, tool: Tool, arguments: str, attempt: int) -> Outcome:
        options = tool.options

        def bind(seconds: float | None) -> tuple[list[Any], dict[str, Any]]:
            context = self._context(call, tool, attempt, seconds) if tool.takes_context else None
            return tool.bind(arguments, context=context)

        started = perf_counter()
        value, failure = None, None
        try:
            value = await execute(
                tool,
                bind,
                seconds=self._limits.timeout if options.timeout is None else options.timeout,
                threads=self._limits.threads,
                most=self._cap(tool) * CHARS_A_TOKEN,
            )
        except Exception as error:  # noqa: BLE001 - every call gets a result
            failure = error
        if cancellations() > self._cancelled_before:  # and the function made something else of it
            raise asyncio.CancelledError
        return value, failure, perf_counter() - started

    def _context(self, call: ToolCall, tool: Tool, attempt: int, seconds: float | None) -> ToolContext[Any]:
        return ToolContext(
            call_id=call.id,
            tool_name=tool.name,
            tags=current_tags(),
            deadline=None if seconds is None else self._runtime.monotonic() + seconds,
            attempt=attempt,
            dependencies=self._dependencies,
            runtime=self._runtime,
        )

    async def _succeeded(
        self, call: ToolCall, tool: Tool, value: Any, latency: float, note: tuple[Part, ...]
    ) -> ToolResult:
        try:
            parts = note + parts_of(value, function=tool.function)
        except NoData as error:
            return await self._failed(call, tool, error, latency, note)
        cap, truncated = self._cap(tool), isinstance(value, Taken) and value.stopped
        if not fits(parts, cap):  # asked here, too, for the sake of the microseconds
            parts, was_cut = await capped(parts, cap, self._runtime)
            truncated = truncated or was_cut
        return ToolResult(call=call, content=parts, truncated=truncated, latency=latency, value=value)

    async def _failed(
        self, call: ToolCall, tool: Tool, error: Exception, latency: float = 0.0, note: tuple[Part, ...] = ()
    ) -> ToolResult:
        kind, text = describe(tool.name, error, show_errors=tool.options.show_errors)
        content, truncated = await capped((*note, TextPart(text=text)), self._cap(tool), self._runtime)
        return ToolResult(call=call, content=content, error=kind, truncated=truncated, latency=latency, exception=error)

    def _cap(self, tool: Tool) -> int:
        return tool.options.max_result_tokens or self._limits.max_result_tokens


def _cancelled(call: ToolCall) -> ToolResult:
    return _problem(call, "cancelled", f"{call.name} was cancelled")


def _problem(call: ToolCall, kind: str, text: str) -> ToolResult:
    return ToolResult(call=call, content=(TextPart(text=f"Error: {text}"),), error=kind)
