"""A drop-in `AsyncOpenAI` whose middleware logs, counts and retries every call; typed functions as tools; streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.batches import FailedRequest, run_batch
    from llmkit.budgets import MemoryLedger, RedisLedger, SQLiteLedger
    from llmkit.cache import MemoryStore, RedisStore, SQLiteStore, caching
    from llmkit.cache.warming import Warmed, warm
    from llmkit.client import AsyncAzureOpenAI, AsyncOpenAI, AzureOpenAI, OpenAI, wrap
    from llmkit.context import ContextLengthExceeded, DropOldest, MiddleOut, Summarize, TruncateLongest, trim_messages
    from llmkit.conversation import Conversation
    from llmkit.errors import (
        BatchFailed,
        BudgetExceeded,
        CacheUnavailable,
        CallTimeout,
        CircuitOpen,
        InvalidMiddleware,
        InvalidResponse,
        InvalidSink,
        InvalidTag,
        LedgerUnavailable,
        LLMKitError,
        MiddlewareError,
        NoUsableKey,
        RateLimitTimeout,
        RedisUnavailable,
        UnknownPrice,
    )
    from llmkit.guidance import Explanation, explain
    from llmkit.limits import MemoryBackend, RedisBackend
    from llmkit.log import StructlogSink
    from llmkit.middleware.batch_embeddings import batch_embeddings
    from llmkit.middleware.budget import Budget
    from llmkit.middleware.cache import Cache
    from llmkit.middleware.circuit_breaker import CircuitBreaker
    from llmkit.middleware.context import Context
    from llmkit.middleware.fallback import Fallback
    from llmkit.middleware.key_ring import KeyRing
    from llmkit.middleware.open_telemetry import OpenTelemetry
    from llmkit.middleware.rate_limit import RateLimit
    from llmkit.middleware.retry import Retry
    from llmkit.middleware.route import Route, Rule
    from llmkit.middleware.semantic_cache import SemanticCache
    from llmkit.middleware.timeouts import Timeouts
    from llmkit.middleware.usage_log import UsageLog
    from llmkit.prompts import compress, few_shot
    from llmkit.record import CallRecord, FailedAttempt, Outcome, SimilarQuestion, Sink
    from llmkit.request import CallNext, Middleware, Request
    from llmkit.runtime import Runtime
    from llmkit.server_count import count_on_server
    from llmkit.streaming.channels import channel
    from llmkit.streaming.coalescing import coalesce
    from llmkit.streaming.gather import collect
    from llmkit.streaming.interrupted import StreamInterrupted
    from llmkit.streaming.resume import resumed
    from llmkit.streaming.web import SSE_HEADERS, to_sse, to_websocket
    from llmkit.tagging import tags
    from llmkit.tokens import TokenCount, count_tokens
    from llmkit.tokens.models import ModelFacts, model_facts, register_model
    from llmkit.tools.approval import Allow, Deny, Edit
    from llmkit.tools.call import ToolCall
    from llmkit.tools.context import ToolContext
    from llmkit.tools.definition import tool
    from llmkit.tools.errors import InvalidTool, ToolError
    from llmkit.tools.loop.errors import ToolLoopLimit
    from llmkit.tools.loop.loop import ToolLoop
    from llmkit.tools.loop.run import run_tools
    from llmkit.tools.loop.steps import Final, Step
    from llmkit.tools.registry import ToolRegistry
    from llmkit.tools.result import ToolResult
    from llmkit.usage.access_log import AccessLog
    from llmkit.usage.anomalies import Unusual, UnusualUsage
    from llmkit.usage.ledger import LedgerSink
    from llmkit.usage.postgres import PostgresSink
    from llmkit.usage.prices import cost, register_price
    from llmkit.usage.prometheus import PrometheusSink
    from llmkit.usage.rates import Price
    from llmkit.usage.reading import Ledger
    from llmkit.usage.totals import Usage
    from llmkit.usage.tracking import track_usage

__version__ = "0.1.0"

__all__ = [
    "SSE_HEADERS",
    "AccessLog",
    "Allow",
    "AsyncAzureOpenAI",
    "AsyncOpenAI",
    "AzureOpenAI",
    "BatchFailed",
    "Budget",
    "BudgetExceeded",
    "Cache",
    "CacheUnavailable",
    "CallNext",
    "CallRecord",
    "CallTimeout",
    "CircuitBreaker",
    "CircuitOpen",
    "Context",
    "ContextLengthExceeded",
    "Conversation",
    "Deny",
    "DropOldest",
    "Edit",
    "Explanation",
    "FailedAttempt",
    "FailedRequest",
    "Fallback",
    "Final",
    "InvalidMiddleware",
    "InvalidResponse",
    "InvalidSink",
    "InvalidTag",
    "InvalidTool",
    "KeyRing",
    "LLMKitError",
    "Ledger",
    "LedgerSink",
    "LedgerUnavailable",
    "MemoryBackend",
    "MemoryLedger",
    "MemoryStore",
    "MiddleOut",
    "Middleware",
    "MiddlewareError",
    "ModelFacts",
    "NoUsableKey",
    "OpenAI",
    "OpenTelemetry",
    "Outcome",
    "PostgresSink",
    "Price",
    "PrometheusSink",
    "RateLimit",
    "RateLimitTimeout",
    "RedisBackend",
    "RedisLedger",
    "RedisStore",
    "RedisUnavailable",
    "Request",
    "Retry",
    "Route",
    "Rule",
    "Runtime",
    "SQLiteLedger",
    "SQLiteStore",
    "SemanticCache",
    "SimilarQuestion",
    "Sink",
    "Step",
    "StreamInterrupted",
    "StructlogSink",
    "Summarize",
    "Timeouts",
    "TokenCount",
    "ToolCall",
    "ToolContext",
    "ToolError",
    "ToolLoop",
    "ToolLoopLimit",
    "ToolRegistry",
    "ToolResult",
    "TruncateLongest",
    "UnknownPrice",
    "Unusual",
    "UnusualUsage",
    "Usage",
    "UsageLog",
    "Warmed",
    "batch_embeddings",
    "caching",
    "channel",
    "coalesce",
    "collect",
    "compress",
    "cost",
    "count_on_server",
    "count_tokens",
    "explain",
    "few_shot",
    "model_facts",
    "register_model",
    "register_price",
    "resumed",
    "run_batch",
    "run_tools",
    "tags",
    "to_sse",
    "to_websocket",
    "tool",
    "track_usage",
    "trim_messages",
    "warm",
    "wrap",
]

_HOME = {
    "llmkit.batches": ("FailedRequest", "run_batch"),
    "llmkit.budgets": ("MemoryLedger", "RedisLedger", "SQLiteLedger"),
    "llmkit.cache": ("MemoryStore", "RedisStore", "SQLiteStore", "caching"),
    "llmkit.cache.warming": ("Warmed", "warm"),
    "llmkit.client": ("AsyncAzureOpenAI", "AsyncOpenAI", "AzureOpenAI", "OpenAI", "wrap"),
    "llmkit.context": (
        "ContextLengthExceeded",
        "DropOldest",
        "MiddleOut",
        "Summarize",
        "TruncateLongest",
        "trim_messages",
    ),
    "llmkit.conversation": ("Conversation",),
    "llmkit.errors": (
        "BatchFailed",
        "BudgetExceeded",
        "CacheUnavailable",
        "CallTimeout",
        "CircuitOpen",
        "InvalidMiddleware",
        "InvalidResponse",
        "InvalidSink",
        "InvalidTag",
        "LLMKitError",
        "LedgerUnavailable",
        "MiddlewareError",
        "NoUsableKey",
        "RateLimitTimeout",
        "RedisUnavailable",
        "UnknownPrice",
    ),
    "llmkit.guidance": ("Explanation", "explain"),
    "llmkit.limits": ("MemoryBackend", "RedisBackend"),
    "llmkit.log": ("StructlogSink",),
    "llmkit.middleware.batch_embeddings": ("batch_embeddings",),
    "llmkit.middleware.budget": ("Budget",),
    "llmkit.middleware.cache": ("Cache",),
    "llmkit.middleware.circuit_breaker": ("CircuitBreaker",),
    "llmkit.middleware.context": ("Context",),
    "llmkit.middleware.fallback": ("Fallback",),
    "llmkit.middleware.key_ring": ("KeyRing",),
    "llmkit.middleware.rate_limit": ("RateLimit",),
    "llmkit.middleware.retry": ("Retry",),
    "llmkit.middleware.route": ("Route", "Rule"),
    "llmkit.middleware.timeouts": ("Timeouts",),
    "llmkit.middleware.semantic_cache": ("SemanticCache",),
    "llmkit.middleware.usage_log": ("UsageLog",),
    "llmkit.prompts": ("compress", "few_shot"),
    "llmkit.record": ("CallRecord", "FailedAttempt", "Outcome", "SimilarQuestion", "Sink"),
    "llmkit.request": ("CallNext", "Middleware", "Request"),
    "llmkit.runtime": ("Runtime",),
    "llmkit.server_count": ("count_on_server",),
    "llmkit.streaming.channels": ("channel",),
    "llmkit.streaming.coalescing": ("coalesce",),
    "llmkit.streaming.gather": ("collect",),
    "llmkit.streaming.interrupted": ("StreamInterrupted",),
    "llmkit.streaming.resume": ("resumed",),
    "llmkit.streaming.web": ("SSE_HEADERS", "to_sse", "to_websocket"),
    "llmkit.tagging": ("tags",),
    "llmkit.tokens": ("TokenCount", "count_tokens"),
    "llmkit.tokens.models": ("ModelFacts", "model_facts", "register_model"),
    "llmkit.tools.approval": ("Allow", "Deny", "Edit"),
    "llmkit.tools.call": ("ToolCall",),
    "llmkit.tools.context": ("ToolContext",),
    "llmkit.tools.definition": ("tool",),
    "llmkit.tools.errors": ("InvalidTool", "ToolError"),
    "llmkit.tools.loop.errors": ("ToolLoopLimit",),
    "llmkit.tools.loop.loop": ("ToolLoop",),
    "llmkit.tools.loop.run": ("run_tools",),
    "llmkit.tools.loop.steps": ("Final", "Step"),
    "llmkit.tools.registry": ("ToolRegistry",),
    "llmkit.tools.result": ("ToolResult",),
    "llmkit.usage.prices": ("cost", "register_price"),
    "llmkit.usage.rates": ("Price",),
    "llmkit.usage.tracking": ("track_usage",),
    "llmkit.usage.ledger": ("LedgerSink",),
    "llmkit.usage.prometheus": ("PrometheusSink",),
    "llmkit.usage.postgres": ("PostgresSink",),
    "llmkit.usage.access_log": ("AccessLog",),
    "llmkit.middleware.open_telemetry": ("OpenTelemetry",),
    "llmkit.usage.reading": ("Ledger",),
    "llmkit.usage.anomalies": ("Unusual", "UnusualUsage"),
    "llmkit.usage.totals": ("Usage",),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
