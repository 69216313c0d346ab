"""The calls of the last reply: which run here, which wait, and what comes of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio

from llmkit import runtime
from llmkit.tools.approval import Approve, Decision, Deny, decide
from llmkit.tools.call import ToolCall
from llmkit.tools.caps import capped
from llmkit.tools.content import parts_of
from llmkit.tools.definition import Tool
from llmkit.tools.loop.state import OpenCall, SavedDecision
from llmkit.tools.loop.steps import Reason
from llmkit.tools.loop.submissions import Submissions, check, denied
from llmkit.tools.loop.toolset import Toolset
from llmkit.tools.result import ToolResult


class OpenCalls:
    """Decides about the calls of a reply and runs those that can run here."""

    def __init__(self, tools: Toolset, *, approve: Approve | None, dependencies: Any, waits: bool) -> None:
        self._tools = tools
        self._approve = approve or tools.approve
        self._dependencies = dependencies
        self._waits = waits

    def opened(self, calls: Sequence[ToolCall]) -> list[OpenCall]:
        """The calls as the state has them."""
        return [OpenCall(call=call, known=self._tools.tool(call.name) is not None) for call in calls]

    def ready(self, calls: Sequence[OpenCall]) -> list[OpenCall]:
        """Those that can be run now."""
        return [one for one in calls if one.result is None and self._reason(one) is None]

    def waiting(self, calls: Sequence[OpenCall]) -> dict[str, Reason]:
        """Why the others wait."""
        return {one.call.id: reason for one in calls if (reason := self._reason(one))}

    async def run(self, ready: Sequence[OpenCall], *, when_done: Callable[[], Awaitable[None]]) -> None:
        """Run calls at the same time; each has its result as soon as it is done, then `when_done` is awaited.

        What `when_done` raises is raised when all have ended.
        """
        by_id = {one.call.id: one for one in ready}
        failures: list[Exception] = []
        turn = anyio.CapacityLimiter(1)

        async def keep(result: ToolResult) -> None:
            by_id[result.call.id].result = result
            try:
                await when_done()
            except Exception as error:  # noqa: BLE001 - raised below: siblings must not die of it
                failures.append(error)

        async def approve(call: ToolCall) -> Decision:
            decision = by_id[call.id].decision
            return await decide(self._approve, call, turn=turn) if decision is None else decision.value

        await self._tools.registry.dispatch(
            [one.call for one in ready],
            dependencies=self._dependencies,
            approve=approve,
            on_result=keep,
        )
        for failure in failures:
            raise failure

    async def submit(self, calls: list[OpenCall], submissions: Submissions) -> None:
        """Take results and decisions, all of them or none."""
        check(submissions, calls, self.waiting(calls))
        open_calls = {one.call.id: one for one in calls}
        taken = {call_id: await self._taken(open_calls[call_id], value) for call_id, value in submissions.items()}
        check(submissions, calls, self.waiting(calls))  # somebody else may have been quicker
        for call_id, value in taken.items():
            if isinstance(value, ToolResult):
                open_calls[call_id].result = value
            else:
                open_calls[call_id].decision = value

    def _reason(self, one: OpenCall) -> Reason | None:
        tool = self._tools.tool(one.call.name)
        if not self._waits or one.result is not None or tool is None:
            return None
        if tool.function is None:
            return "external"
        asks = tool.options.needs_approval and self._approve is None and one.decision is None
        return "approval" if asks and _is_valid(tool, one.call) else None

    async def _taken(self, one: OpenCall, value: Any) -> ToolResult | SavedDecision:
        if isinstance(value, ToolResult):
            return value
        tool = self._tools.registry[one.call.name]
        if tool.function is None:
            return denied(one.call, value.reason) if isinstance(value, Deny) else await self._result(one.call, value)
        return SavedDecision.of(value)

    async def _result(self, call: ToolCall, value: Any) -> ToolResult:
        limit = self._tools.max_result_tokens(call.name)
        content, truncated = await capped(parts_of(value), limit, runtime.current(is_async=True))
        return ToolResult(call=call, content=content, truncated=truncated, value=value)


def _is_valid(tool: Tool, call: ToolCall) -> bool:
    """A call with arguments that nobody could run needs no approval: its error goes back to the model."""
    try:
        tool.bind(call.arguments, context=None)
    except Exception:  # noqa: BLE001 - validators are the user's, too
        return False
    return True
