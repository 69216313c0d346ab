"""Replies and histories as the plain JSON that the API takes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import pydantic
from openai.types.chat import ChatCompletionMessage

from llmkit.streaming import surrogates

JSONObject: TypeAlias = dict[str, Any]

_THOUGHTS = ("reasoning", "reasoning_content", "reasoning_details", "thinking_blocks")
"""What providers add to a message and some want back with the results of its calls."""
_NOT_NULL = ("id", "status", "content", "encrypted_content", "caller", "namespace", "phase", "error", "output")
"""Fields of output items that may be null in a response and not in a request."""


def plain(value: Any) -> Any:
    """A deep copy as JSON values: objects of the SDK as the API writes them, iterables as lists."""
    if isinstance(value, ChatCompletionMessage):
        return assistant_message(value)
    if isinstance(value, pydantic.BaseModel):
        fields = value.model_dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
        return output_item(fields) if isinstance(fields.get("type"), str) else fields
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in cast("Mapping[str, Any]", value).items()}
    if hasattr(value, "__iter__") and not isinstance(value, str | bytes | type):
        return [plain(item) for item in value]
    return value


def assistant_message(given: ChatCompletionMessage) -> JSONObject:
    """The model's message as Chat takes it back."""
    message: JSONObject = {"role": "assistant", "content": given.content}
    if given.refusal:
        message["refusal"] = given.refusal
    if given.audio:
        message["audio"] = {"id": given.audio.id}
    if given.tool_calls:
        message["tool_calls"] = [
            _call(call.model_dump(mode="json", exclude_none=True, warnings=False)) for call in given.tool_calls
        ]
        extra = given.model_extra or {}
        message |= {name: extra[name] for name in _THOUGHTS if extra.get(name)}
    elif given.function_call:  # from a server that knows no tools yet
        message["function_call"] = {"name": given.function_call.name, "arguments": given.function_call.arguments}
    elif given.content is None and not given.refusal and not given.audio:
        message["content"] = ""  # the API takes no assistant message that says nothing at all
    return message


def _call(call: JSONObject) -> JSONObject:
    """The call without what only the SDK's parsers and streams add; what providers add stays."""
    call = {name: value for name, value in call.items() if name != "index"}
    if isinstance(call.get("function"), dict):
        call["function"].pop("parsed_arguments", None)
    return call


def output_item(item: JSONObject) -> JSONObject:
    """An item of a response's output as Responses takes it back as input."""
    dropped = {"created_by", "parsed_arguments", *(name for name in _NOT_NULL if item.get(name, 0) is None)}
    kept = {name: value for name, value in item.items() if name not in dropped}
    if item.get("type") == "message" and isinstance(kept.get("content"), list):
        kept["content"] = [{k: v for k, v in part.items() if k != "parsed"} for part in kept["content"]]
    return kept


def sendable(message: JSONObject) -> JSONObject:
    """The message without halves of surrogate pairs, such as a cut emoji: the SDK could never send it again."""
    text = json.dumps(message, ensure_ascii=False)
    whole = surrogates.sendable(text)
    if whole is text:
        return message
    mended: JSONObject = json.loads(whole)
    return mended
