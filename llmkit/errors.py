"""llmkit's own errors. The API's errors are the SDK's, never wrapped or renamed.

openai.OpenAIError
└── LLMKitError
    ├── ContextLengthExceeded, InvalidHistory    what cannot be trimmed to fit (llmkit.context, also ValueErrors)
    ├── InvalidTool, UnknownTool, InvalidArguments, InvalidAnswer, ToolError    of tools (llmkit.tools)
    ├── ToolLoopLimit, NoReply, ...              why a tool loop stopped (llmkit.tools.loop.errors)
    ├── StreamInterrupted    a stream broke off; it has what had arrived (llmkit.streaming)
    ├── InvalidSink          what was given as a sink cannot be one (also a TypeError)
    ├── InvalidMiddleware    what was given as `middleware=` cannot be one (also a TypeError)
    ├── MiddlewareError      a middleware broke its contract while a call ran (also a RuntimeError)
    ├── InvalidTag           a tag's value is not text, a number or a bool (also a TypeError)
    ├── InvalidResponse      the server's answer is not what the SDK's types promise
    ├── RateLimitTimeout     no room under a RateLimit in the time given (also a TimeoutError)
    ├── CallTimeout          a limit of a Timeouts was reached (also an openai.APITimeoutError)
    ├── CircuitOpen          a model that keeps failing is left alone for a while
    ├── BudgetExceeded       a Budget is spent
    ├── UnknownPrice         a Budget of dollars does not know what a model costs
    ├── LedgerUnavailable    the SQLite file of a Budget or a LedgerSink cannot be used
    ├── CacheUnavailable     the SQLite file of a cache cannot be used
    ├── NoUsableKey          every key of a KeyRing is parked
    ├── RedisUnavailable     a Redis server that is shared does not answer
    ├── PostgresUnavailable  a PostgreSQL server that is shared does not answer, or refuses
    └── BatchFailed          the API refused a batch as a whole
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import httpx2
import openai


class LLMKitError(openai.OpenAIError):
    """The root of llmkit's own exceptions; `except openai.OpenAIError` catches it, too.

    An argument with an impossible value is a plain `ValueError`.
    """


class InvalidSink(LLMKitError, TypeError):
    """A sink is async, a class, or not callable."""


class InvalidMiddleware(LLMKitError, TypeError):
    """`middleware=` was given something that is not a list of async callables."""


class MiddlewareError(LLMKitError, RuntimeError):
    """A middleware returned nothing, was not awaitable, or suspended in a sync client."""


class InvalidTag(LLMKitError, TypeError):
    """A tag's value is not text, a number or a bool."""


class RedisUnavailable(LLMKitError):
    """The Redis server that processes share does not answer."""


class PostgresUnavailable(LLMKitError):
    """The PostgreSQL server that processes share does not answer, or refuses what it is asked."""


class InvalidResponse(LLMKitError, ValueError):
    """The server answered with success, and with something else than the SDK's types promise.

    `missing` says what is not there or not readable, such as "choices[0].message" or "JSON at byte 17"; `response` is
    the HTTP response, with the body as it came.
    """

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        missing: str = "",
        status_code: int | None = None,
        content_type: str | None = None,
        request_id: str | None = None,
        response: Any = None,
    ) -> None:
        super().__init__(message)
        self.operation = operation
        self.missing = missing
        self.status_code = status_code
        self.content_type = content_type
        self.request_id = request_id
        self.response = response


class CallTimeout(LLMKitError, openai.APITimeoutError):
    """A call, or a wait within its stream, took longer than a `Timeouts` allows.

    `limit` is "total", "first_token" or "between_tokens", and `seconds` what it is set to. `request` has no more than
    the client's base URL.
    """

    def __init__(self, limit: str, seconds: float, request: httpx2.Request) -> None:
        message = f"Timed out: Timeouts({limit}={seconds:g}) allows {seconds:g} seconds."
        super(openai.APITimeoutError, self).__init__(message=message, request=request)
        self.limit = limit
        self.seconds = seconds

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.limit, self.seconds, self.request), self.__dict__


class RateLimitTimeout(LLMKitError, TimeoutError):
    """A call waited for room under a `RateLimit` for as long as its `timeout` allows.

    `bucket` is the limit's name, `waited` the seconds, `needed` the tokens that the call wanted to reserve.
    """

    def __init__(self, message: str, *, bucket: str = "", waited: float = 0.0, needed: int = 0) -> None:
        super().__init__(message)
        self.bucket = bucket
        self.waited = waited
        self.needed = needed


class NoUsableKey(LLMKitError):
    """Every key of a KeyRing is parked; the message has their labels, why, and when the next one is tried again."""


class CircuitOpen(LLMKitError):
    """A CircuitBreaker does not send calls of a model that keeps failing; it tries one in `retry_in` seconds."""

    def __init__(self, message: str, *, retry_in: float = 0.0) -> None:
        super().__init__(message)
        self.retry_in = retry_in


class BatchFailed(LLMKitError):
    """The API refused a batch as a whole and ran none of it; `errors` is its list, with `line`, `code` and `message`.

    `run_batch` has forgotten the refused batch: the same call again sends its requests anew.
    """

    def __init__(self, message: str, *, batch_id: str, errors: Sequence[Any]) -> None:
        super().__init__(message)
        self.batch_id = batch_id
        self.errors = errors


class BudgetExceeded(LLMKitError):
    """A `Budget` has no room for a call, which was not sent.

    `name` is the limit, such as "daily_usd"; `limit`, `spent` (with what is set aside for running calls) and
    `expected` (by this call) are tokens as int or dollars as Decimal; `per` has the tags whose budget it is, such as
    {"user": "alice"}; `resets_at` is in UTC.
    """

    def __init__(
        self,
        message: str,
        *,
        name: str,
        limit: int | Decimal,
        spent: int | Decimal,
        expected: int | Decimal,
        per: Mapping[str, str | int | float | bool],
        resets_at: datetime,
    ) -> None:
        super().__init__(message)
        self.name = name
        self.limit = limit
        self.spent = spent
        self.expected = expected
        self.per = per
        self.resets_at = resets_at

    def __reduce__(self) -> tuple[Any, ...]:
        fields = ("name", "limit", "spent", "expected", "per", "resets_at")
        return partial(type(self), str(self), **{field: getattr(self, field) for field in fields}), (), self.__dict__


class UnknownPrice(LLMKitError):
    """A `Budget` of dollars does not know what a call costs, which was not sent."""


class LedgerUnavailable(LLMKitError):
    """The SQLite file of a `Budget` or a `LedgerSink` is locked, damaged, not writable, or not one of this llmkit's."""


class CacheUnavailable(LLMKitError):
    """The SQLite file of a cache is locked, damaged, full, not writable, or not one of this llmkit's."""


def copy_of(error: Exception) -> Exception:
    """The same error for another caller: `copy.copy` would call its class again, and the SDK's want more arguments.

    One whose class wants more than its `args` even to be made is handed out as it is.
    """
    try:
        copied = type(error).__new__(type(error), *error.args)
    except Exception:  # noqa: BLE001 - a class of the user's may do anything
        return error
    vars(copied).update(vars(error))
    if hasattr(error, "__notes__"):
        copied.__notes__ = [*error.__notes__]
    copied.__cause__, copied.__suppress_context__ = error.__cause__, error.__suppress_context__
    return copied.with_traceback(error.__traceback__)
