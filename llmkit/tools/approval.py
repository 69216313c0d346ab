"""Asking before a tool runs."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import anyio
import anyio.to_thread

from llmkit.tools.call import ToolCall
from llmkit.tools.failures import log_failure

logger = logging.getLogger("llmkit")


@dataclass(frozen=True, slots=True)
class Allow:
    """Run the call as it is."""


@dataclass(frozen=True, slots=True)
class Deny:
    """Do not run the call; the model is told the reason."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Edit:
    """Run the call with these arguments instead; the model is told so."""

    arguments: Mapping[str, Any]


Decision: TypeAlias = bool | Allow | Deny | Edit
Approve: TypeAlias = Callable[[ToolCall], Decision | Awaitable[Decision]]
"""Asked for the calls of tools with `needs_approval`, once their arguments are known to be valid.

A plain function runs in a thread, one call after the other; an async one is asked for all calls at once.
"""


async def decide(approve: Approve | None, call: ToolCall, *, turn: anyio.CapacityLimiter) -> Allow | Deny | Edit:
    """What the hook says of a call; without a hook, or with one that fails, the call is denied.

    `turn` is what plain hooks wait for, so that one asks a person about one call at a time.
    """
    if approve is None:
        return Deny("it needs approval, and nobody is there to give it")
    try:
        decision = await _ask(approve, call, turn)
    except Exception as error:  # noqa: BLE001 - a broken hook must not let anything pass, nor end the run
        log_failure("approval of tool", call.name, error)
        return Deny("asking for approval failed")
    if isinstance(decision, bool):
        return Allow() if decision else Deny()
    if isinstance(decision, Allow | Deny) or (isinstance(decision, Edit) and isinstance(decision.arguments, Mapping)):  # pyright: ignore[reportUnnecessaryIsInstance]
        return decision
    kind = type(decision).__qualname__
    logger.warning("approval of tool %s: %s is no True, False, Allow, Deny or Edit(a dict)", call.name, kind)
    return Deny("asking for approval failed")


async def _ask(approve: Approve, call: ToolCall, turn: anyio.CapacityLimiter) -> Any:
    if inspect.iscoroutinefunction(approve) or inspect.iscoroutinefunction(type(approve).__call__):
        return await cast("Awaitable[Any]", approve(call))
    answer: Any = await anyio.to_thread.run_sync(approve, call, abandon_on_cancel=True, limiter=turn)
    return await answer if inspect.isawaitable(answer) else answer
