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
    └── InvalidTag           a tag's value is not text, a number or a bool (also a TypeError)
"""

from __future__ import annotations

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
