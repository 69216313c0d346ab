"""The bounded loop between a model and its tools, as typed steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.tools.loop.engine import Checkpoint
    from llmkit.tools.loop.errors import (
        IncompleteAnswer,
        InvalidState,
        InvalidSubmission,
        NoReply,
        ToolLoopBusy,
        ToolLoopLimit,
        UnknownUsage,
    )
    from llmkit.tools.loop.loop import ToolLoop
    from llmkit.tools.loop.run import run_tools
    from llmkit.tools.loop.steps import (
        Final,
        ReasoningDelta,
        RefusalDelta,
        Step,
        StepUsage,
        TextDelta,
        ToolArguments,
        ToolCallFinished,
        ToolCallStarted,
        Waiting,
    )

__all__ = [
    "Checkpoint",
    "Final",
    "IncompleteAnswer",
    "InvalidState",
    "InvalidSubmission",
    "NoReply",
    "ReasoningDelta",
    "RefusalDelta",
    "Step",
    "StepUsage",
    "TextDelta",
    "ToolArguments",
    "ToolCallFinished",
    "ToolCallStarted",
    "ToolLoop",
    "ToolLoopBusy",
    "ToolLoopLimit",
    "UnknownUsage",
    "Waiting",
    "run_tools",
]

_HOME = {
    "llmkit.tools.loop.errors": (
        "IncompleteAnswer",
        "InvalidState",
        "InvalidSubmission",
        "NoReply",
        "ToolLoopBusy",
        "ToolLoopLimit",
        "UnknownUsage",
    ),
    "llmkit.tools.loop.engine": ("Checkpoint",),
    "llmkit.tools.loop.loop": ("ToolLoop",),
    "llmkit.tools.loop.run": ("run_tools",),
    "llmkit.tools.loop.steps": (
        "Final",
        "ReasoningDelta",
        "RefusalDelta",
        "Step",
        "StepUsage",
        "TextDelta",
        "ToolArguments",
        "ToolCallFinished",
        "ToolCallStarted",
        "Waiting",
    ),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
