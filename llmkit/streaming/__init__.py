"""Answers that arrive bit by bit: read whole, merged, buffered, resumed, and sent on to a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.streaming.channels import channel
    from llmkit.streaming.coalescing import coalesce
    from llmkit.streaming.gather import collect
    from llmkit.streaming.gather_chat import ChatGatherer
    from llmkit.streaming.gather_responses import ResponseGatherer
    from llmkit.streaming.interrupted import StreamInterrupted, whole
    from llmkit.streaming.partial import partial_json
    from llmkit.streaming.resume import resumed
    from llmkit.streaming.tool_calls import AssembledCall, ToolCallAssembler
    from llmkit.streaming.web import SSE_HEADERS, to_sse, to_websocket

__all__ = [
    "SSE_HEADERS",
    "AssembledCall",
    "ChatGatherer",
    "ResponseGatherer",
    "StreamInterrupted",
    "ToolCallAssembler",
    "channel",
    "coalesce",
    "collect",
    "partial_json",
    "resumed",
    "to_sse",
    "to_websocket",
    "whole",
]

_HOME = {
    "llmkit.streaming.channels": ("channel",),
    "llmkit.streaming.coalescing": ("coalesce",),
    "llmkit.streaming.gather": ("collect",),
    "llmkit.streaming.gather_chat": ("ChatGatherer",),
    "llmkit.streaming.gather_responses": ("ResponseGatherer",),
    "llmkit.streaming.interrupted": ("StreamInterrupted", "whole"),
    "llmkit.streaming.partial": ("partial_json",),
    "llmkit.streaming.resume": ("resumed",),
    "llmkit.streaming.tool_calls": ("AssembledCall", "ToolCallAssembler"),
    "llmkit.streaming.web": ("SSE_HEADERS", "to_sse", "to_websocket"),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
