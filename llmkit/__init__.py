"""A drop-in `AsyncOpenAI` whose middleware logs, retries and meters every call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.client import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI, wrap
    from llmkit.context import (
        ContextLengthExceeded,
        DropOldest,
        MiddleOut,
        Summarize,
        TruncateLongest,
        trim_messages,
    )
    from llmkit.conversation import Conversation
    from llmkit.errors import InvalidMiddleware, InvalidSink, InvalidTag, LLMKitError, MiddlewareError
    from llmkit.log import StructlogSink
    from llmkit.middleware.context import Context
    from llmkit.middleware.retry import Retry
    from llmkit.middleware.usage_log import UsageLog
    from llmkit.prompts import compress, few_shot
    from llmkit.record import CallRecord, Sink
    from llmkit.request import CallNext, Middleware, Request
    from llmkit.runtime import Runtime
    from llmkit.server_count import count_on_server
    from llmkit.tagging import tags
    from llmkit.tokens import TokenCount, count_tokens
    from llmkit.tokens.models import ModelFacts, model_facts, register_model

__version__ = "0.1.0"

__all__ = [
    "AsyncAzureOpenAI",
    "AsyncOpenAI",
    "AzureOpenAI",
    "CallNext",
    "CallRecord",
    "Context",
    "ContextLengthExceeded",
    "Conversation",
    "DropOldest",
    "InvalidMiddleware",
    "InvalidSink",
    "InvalidTag",
    "LLMKitError",
    "MiddleOut",
    "Middleware",
    "MiddlewareError",
    "ModelFacts",
    "OpenAI",
    "Request",
    "Retry",
    "Runtime",
    "Sink",
    "StructlogSink",
    "Summarize",
    "TokenCount",
    "TruncateLongest",
    "UsageLog",
    "compress",
    "count_on_server",
    "count_tokens",
    "few_shot",
    "model_facts",
    "register_model",
    "tags",
    "trim_messages",
    "wrap",
]

_HOME = {
    "llmkit.context": (
        "ContextLengthExceeded",
        "DropOldest",
        "MiddleOut",
        "Summarize",
        "TruncateLongest",
        "trim_messages",
    ),
    "llmkit.conversation": ("Conversation",),
    "llmkit.middleware.context": ("Context",),
    "llmkit.prompts": ("compress", "few_shot"),
    "llmkit.tokens": ("TokenCount", "count_tokens"),
    "llmkit.tokens.models": ("ModelFacts", "model_facts", "register_model"),
    "llmkit.client": ("AsyncAzureOpenAI", "AsyncOpenAI", "AzureOpenAI", "OpenAI", "wrap"),
    "llmkit.errors": ("InvalidMiddleware", "InvalidSink", "InvalidTag", "LLMKitError", "MiddlewareError"),
    "llmkit.log": ("StructlogSink",),
    "llmkit.middleware.retry": ("Retry",),
    "llmkit.middleware.usage_log": ("UsageLog",),
    "llmkit.record": ("CallRecord", "Sink"),
    "llmkit.request": ("CallNext", "Middleware", "Request"),
    "llmkit.runtime": ("Runtime",),
    "llmkit.server_count": ("count_on_server",),
    "llmkit.tagging": ("tags",),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
