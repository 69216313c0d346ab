"""What others say of the calls that a loop waits for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from llmkit.tools.approval import Allow, Deny, Edit
from llmkit.tools.call import ToolCall
from llmkit.tools.loop.errors import InvalidSubmission
from llmkit.tools.loop.state import OpenCall
from llmkit.tools.loop.steps import Reason
from llmkit.tools.parts import TextPart
from llmkit.tools.result import ToolResult

Submissions: TypeAlias = Mapping[str, Any]
"""Results and decisions by the id of the call."""


def check(submissions: Submissions, calls: list[OpenCall], waiting: Mapping[str, Reason]) -> None:
    """Raise when something is submitted that no waiting call can take."""
    answered = {one.call.id for one in calls if one.result is not None or one.decision is not None}
    for call_id, value in submissions.items():
        if call_id not in waiting:
            why = "has been answered already" if call_id in answered else "is no call of the last reply"
            raise InvalidSubmission(f"{call_id!r} {why}; waiting: {', '.join(map(repr, waiting)) or 'nothing'}")
        if isinstance(value, ToolResult):
            _check_result(call_id, value)
        elif waiting[call_id] == "approval" and not isinstance(value, bool | Allow | Deny | Edit):
            raise InvalidSubmission(
                f"{call_id!r} waits for approval: submit Allow(), Deny(reason) or Edit(arguments), "
                f"or a ToolResult, not a {type(value).__name__}"
            )
        elif waiting[call_id] == "external" and isinstance(value, Allow | Edit):
            raise InvalidSubmission(
                f"{call_id!r} is of a tool that runs elsewhere, so {type(value).__name__} has nothing to run: "
                "submit the result, or Deny(reason)"
            )


def _check_result(call_id: str, result: ToolResult) -> None:
    if result.call.id != call_id:
        raise InvalidSubmission(f"the ToolResult for {call_id!r} is of the call {result.call.id!r}: mend the key")


def denied(call: ToolCall, reason: str) -> ToolResult:
    """The result of a call that somebody elsewhere refused to run."""
    text = f"Error: {call.name} was not run: {reason}" if reason else f"Error: {call.name} was not run"
    return ToolResult(call=call, content=(TextPart(text=text),), error="denied")
