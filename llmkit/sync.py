"""Driving the one async stack from a sync client: no event loop, no thread, one step."""

from __future__ import annotations

import traceback
from collections.abc import Coroutine, Iterator
from types import CoroutineType, FrameType
from typing import Any, TypeVar, cast

from llmkit.errors import MiddlewareError
from llmkit.request import Step, name_of

R = TypeVar("R")

_SDK_CALL = "Call._send"
"""Where the stack ends and the SDK begins: what fails below is not a middleware's doing."""


def drive(call: Coroutine[Any, Any, R]) -> R:
    """Run a stack to its end in one step, because in a sync client nothing in it suspends.

    Raises `MiddlewareError` naming the middleware that awaited a real sleep or real I/O.
    """
    try:
        call.send(None)
    except StopIteration as done:
        return cast("R", done.value)
    except RuntimeError as error:
        layer = _layer_in([frame for frame, _ in traceback.walk_tb(error.__traceback__)])
        if layer is None or "event loop" not in str(error) or isinstance(error, MiddlewareError):
            raise
        raise _suspended(layer) from error
    layer = _layer_in(list(_frames(call)))
    call.close()
    raise _suspended(layer or "a middleware")


def _layer_in(frames: list[FrameType]) -> str | None:
    """The innermost middleware in a chain of frames, outermost first; None when the SDK was running."""
    names = [frame.f_code.co_qualname for frame in frames]
    steps = [index for index, frame in enumerate(frames) if frame.f_code is Step.__call__.__code__]
    if not steps or _SDK_CALL in names[steps[-1] :]:
        return None
    return name_of(frames[steps[-1]].f_locals["self"].layer)


def _frames(call: Any) -> Iterator[FrameType]:
    while isinstance(call, CoroutineType):
        yield cast("FrameType", call.cr_frame)
        call = call.cr_await


def _suspended(layer: str) -> MiddlewareError:
    return MiddlewareError(
        f"middleware {layer} awaited real I/O or a real sleep in a sync client, which has no event loop; wait with "
        "`await request.runtime.sleep(seconds)`, do I/O with blocking calls, or use the async client"
    )
