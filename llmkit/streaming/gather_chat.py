"""A ChatCompletion put together from the chunks of a Chat stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from openai.types.chat import ChatCompletion

from llmkit.streaming.fragments import fields_of
from llmkit.streaming.merging import Merged
from llmkit.streaming.surrogates import joined
from llmkit.streaming.tool_calls import AssembledCall, ToolCallAssembler

_OF_A_CHUNK = frozenset({"id", "object", "choices", "created", "model", "obfuscation"})
_OF_A_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})
_OF_A_DELTA = frozenset({"role", "tool_calls", "function_call", "content", "refusal"})


class ChatGatherer:
    """Adds up chunks to the ChatCompletion that the same request gives without `stream`.

    Cost is linear in the length of the answer. Text is concatenated, other fields keep their last value, objects are
    merged. A tool call without an id gets one, so that it can be answered.
    """

    def __init__(self) -> None:
        self._head: dict[str, Any] = {"id": "", "created": 0, "model": ""}
        self._choices: dict[int, _Choice] = {}
        self._rest = Merged(continues=False)

    @property
    def finished(self) -> bool:
        """Whether each choice seen has its finish reason."""
        return bool(self._choices) and all(choice.finish_reason for choice in self._choices.values())

    @property
    def completion(self) -> ChatCompletion:
        """The completion so far; the `finish_reason` of a choice that is not finished is None."""
        head = self._head
        choices = [self._choices[index].to_dict(head["id"]) for index in sorted(self._choices)]
        fields: dict[str, Any] = {**self._rest.to_dict(), **head, "object": "chat.completion", "choices": choices}
        return ChatCompletion.construct(None, **fields)

    def calls(self, choice: int = 0) -> list[AssembledCall]:
        """The tool calls of a choice so far."""
        return self._choices[choice].tool_calls.calls if choice in self._choices else []

    def add(self, chunk: object) -> None:
        """Take in a `ChatCompletionChunk`, or the same as a dict."""
        fields = fields_of(chunk)
        for name in self._head:
            self._head[name] = self._head[name] or fields.get(name) or self._head[name]
        for delta in fields.get("choices") or ():
            choice = fields_of(delta)
            index = choice.get("index") or 0
            if index not in self._choices:
                self._choices[index] = _Choice(index)
            self._choices[index].add(choice)
        self._rest.add((name, value) for name, value in fields.items() if name not in _OF_A_CHUNK)


class _Choice:
    """One choice of the answer."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.finish_reason: str | None = None
        self.role = "assistant"
        self.texts: dict[str, list[str]] = {}
        self.tool_calls = ToolCallAssembler()
        self.function_call = ToolCallAssembler()
        self._logprobs: dict[str, Any] | None = None
        self._message = Merged(continues=True)
        self._rest = Merged(continues=False)

    def add(self, choice: Mapping[str, Any]) -> None:
        """Take in what one chunk says about this choice."""
        self.finish_reason = choice.get("finish_reason") or self.finish_reason
        if choice.get("logprobs") is not None:
            self._add_logprobs(fields_of(choice["logprobs"]))
        delta = fields_of(choice.get("delta"))
        for name in ("content", "refusal"):
            if isinstance(text := delta.get(name), str):
                self.texts.setdefault(name, []).append(text)
        if delta.get("tool_calls"):
            self.tool_calls.add(delta["tool_calls"])
        if delta.get("function_call"):
            self.function_call.add([delta["function_call"]])
        self.role = delta.get("role") or self.role
        self._message.add((name, value) for name, value in delta.items() if name not in _OF_A_DELTA)
        self._rest.add((name, value) for name, value in choice.items() if name not in _OF_A_CHOICE)

    def text(self, name: str) -> str | None:
        """The `content` or the `refusal` so far; None when there was none at all."""
        return joined("".join(self.texts[name])) if name in self.texts else None

    def to_dict(self, answer_id: str) -> dict[str, Any]:
        """The choice as the API writes it."""
        message = {
            **self._message.to_dict(),
            "role": self.role,
            "content": self.text("content"),
            "refusal": self.text("refusal"),
        }
        if calls := self._calls(answer_id):
            message["tool_calls"] = calls
        if legacy := self.function_call.calls:
            message["function_call"] = {"name": legacy[0].name, "arguments": legacy[0].arguments}
        return {
            **self._rest.to_dict(),
            "index": self.index,
            "finish_reason": self.finish_reason,
            "logprobs": self._logprobs and {name: tokens and list(tokens) for name, tokens in self._logprobs.items()},
            "message": message,
        }

    def _add_logprobs(self, logprobs: Mapping[str, Any]) -> None:
        found = self._logprobs = self._logprobs or {}
        for name, tokens in logprobs.items():
            if tokens and found.get(name):
                found[name].extend(tokens)
            else:
                found[name] = list(tokens) if tokens else found.get(name, tokens)

    def _calls(self, answer_id: str) -> list[dict[str, Any]]:
        return [_call(call, f"call_{answer_id[-24:]}_{self.index}_{call.index}") for call in self.tool_calls.calls]


def _call(call: AssembledCall, made_up: str) -> dict[str, Any]:
    said = {"input": call.arguments} if call.type == "custom" else {"arguments": call.arguments}
    return {**call.extra, "id": call.id or made_up, "type": call.type, call.type: {"name": call.name, **said}}
