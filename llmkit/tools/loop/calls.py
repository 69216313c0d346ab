"""The calls of the last reply: which run here, which wait, what others say of these, and what comes of all."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import anyio

from llmkit import runtime
from llmkit.tools.approval import Allow, Approve, Decision, Deny, Edit, decide
from llmkit.tools.call import ToolCall
from llmkit.tools.caps import capped
from llmkit.tools.content import json_text, parts_of
from llmkit.tools.definition import Tool
from llmkit.tools.failures import NoData
from llmkit.tools.loop.errors import InvalidSubmission
from llmkit.tools.loop.state import OpenCall, Verdict
from llmkit.tools.loop.steps import Reason
from llmkit.tools.loop.toolset import Toolset
from llmkit.tools.parts import TextPart
from llmkit.tools.result import ToolResult

Submissions: TypeAlias = Mapping[str, Any]
"""Results and decisions by the id of the call."""


class Calls:
    """Decides about the calls of a reply and runs those that can run here."""

    def __init__(self, tools: Toolset, *, approve: Approve | None, dependencies: Any, waits: bool) -> None:
        self._tools = tools
        self._approve = approve or tools.registry.approve
        self._dependencies = dependencies
        self._waits = waits

    def opened(self, calls: Sequence[ToolCall]) -> list[OpenCall]:
        """The calls as the state has them."""
        return [OpenCall(call=call, known=call.name in self._tools.registry) for call in calls]

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
            verdict = by_id[call.id].verdict
            return await decide(self._approve, call, turn=turn) if verdict is None else _decision(verdict)

        calls = [one.call for one in ready]
        await self._tools.registry.dispatch(calls, dependencies=self._dependencies, approve=approve, on_result=keep)
        for failure in failures:
            raise failure

    async def submit(self, calls: list[OpenCall], submissions: Submissions) -> None:
        """Take results and decisions, all of them or none."""
        self._check(submissions, calls)
        open_calls = {one.call.id: one for one in calls}
        taken = {call_id: await self._taken(open_calls[call_id].call, value) for call_id, value in submissions.items()}
        self._check(submissions, calls)  # somebody else may have been quicker
        for call_id, value in taken.items():
            if isinstance(value, ToolResult):
                open_calls[call_id].result = value
            else:
                open_calls[call_id].verdict = value

    def _reason(self, one: OpenCall) -> Reason | None:
        if not self._waits or one.result is not None or one.call.name not in self._tools.registry:
            return None
        tool = self._tools.registry[one.call.name]
        if tool.function is None:
            return "external"
        asks = tool.options.needs_approval and self._approve is None and one.verdict is None
        return "approval" if asks and _is_valid(tool, one.call) else None

    def _check(self, submissions: Submissions, calls: list[OpenCall]) -> None:
        if not isinstance(submissions, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidSubmission(f"give a dict of results by call id, not a {type(submissions).__qualname__}")
        waiting = self.waiting(calls)
        for call_id, value in submissions.items():
            if call_id not in waiting:
                answered = any(one.call.id == call_id for one in calls)
                why = "has been answered already" if answered else "is no call of the last reply"
                raise InvalidSubmission(f"{call_id!r} {why}; waiting: {', '.join(map(repr, waiting)) or 'nothing'}")
            if problem := _misfit(value, call_id, waiting[call_id]):
                raise InvalidSubmission(f"{call_id!r} {problem}")

    async def _taken(self, call: ToolCall, value: Any) -> ToolResult | Verdict:
        if isinstance(value, ToolResult):
            return value
        tool = self._tools.registry[call.name]
        try:
            if tool.function is not None:
                return _verdict(value)
            if isinstance(value, Deny):
                text = f"Error: {call.name} was not run" + (f": {value.reason}" if value.reason else "")
                return ToolResult(call=call, content=(TextPart(text=text),), error="denied")
            limit = tool.options.max_result_tokens or self._tools.registry.limits.max_result_tokens
            content, truncated = await capped(parts_of(value), limit, runtime.current(is_async=True))
        except NoData as error:
            raise InvalidSubmission(f"what {call.id!r} was given has a {error}, which is not JSON data") from None
        return ToolResult(call=call, content=content, truncated=truncated, value=value)


def _misfit(value: Any, call_id: str, reason: Reason) -> str | None:
    """Why a call cannot take what was submitted, if it cannot."""
    if isinstance(value, ToolResult):
        other = value.call.id
        return None if other == call_id else f"was given the ToolResult of the call {other!r}: mend the key"
    if reason == "external" and isinstance(value, Allow | Edit):
        kind = type(value).__name__
        return f"is of a tool that runs elsewhere, so {kind} has nothing to run: submit the result, or Deny(reason)"
    fits = isinstance(value, bool | Allow | Deny) or (isinstance(value, Edit) and isinstance(value.arguments, Mapping))  # pyright: ignore[reportUnnecessaryIsInstance]
    if reason == "approval" and not fits:
        return (
            "waits for approval: submit Allow(), Deny(reason) or Edit(a dict of arguments), or a ToolResult, "
            f"not a {type(value).__name__}"
        )
    return None


def _verdict(decision: bool | Allow | Deny | Edit) -> Verdict:
    if isinstance(decision, Edit):
        changed: dict[str, Any] = json.loads(json_text(decision.arguments))
        return changed
    if isinstance(decision, Deny):
        return str(decision.reason or "")
    return True if decision else ""


def _decision(verdict: Verdict) -> Decision:
    if isinstance(verdict, dict):
        return Edit(verdict)
    return Deny(verdict) if isinstance(verdict, str) else Allow()


def _is_valid(tool: Tool, call: ToolCall) -> bool:
    """A call with arguments that nobody could run needs no approval: its error goes back to the model."""
    try:
        tool.bind(call.arguments, context=None)
    except Exception:  # noqa: BLE001 - validators are the user's, too
        return False
    return True
