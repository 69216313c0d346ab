"""Responses: input items, with the instructions as one more system message."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from llmkit.tokens.calls import Call, call_tokens, together_tokens
from llmkit.tokens.chat import MESSAGE
from llmkit.tokens.plain import listed, not_json, plain_mapping
from llmkit.tokens.sections import ONE_CALL_AT_A_TIME, add_choice, add_format, add_tools, tool_texts
from llmkit.tokens.tally import Tally

ELSEWHERE: Final = ("previous_response_id", "conversation", "prompt")  # what they hold is on the server
RESULT: Final = {"chatml": 3, "harmony": 5}
RESULTS: Final = ("function_call_output", "custom_tool_call_output")
CIPHER_OVERHEAD: Final = 900  # characters of encrypted_content that hold no reasoning
CIPHER_PER_TOKEN: Final = 4.5  # characters; 5.6 was measured, a quarter is safety


def add_responses(tally: Tally, body: Mapping[str, Any]) -> None:
    """Add the body of a `responses` request."""
    for key in ELSEWHERE:
        if body.get(key):
            tally.doubt(key)
    texts = tool_texts(body.get("tools"), chat=False)
    add_tools(tally, texts, chat=False, leading=None)
    if body.get("parallel_tool_calls") is False and texts.functions and tally.family.layout == "harmony":
        tally.tools += ONE_CALL_AT_A_TIME
    form = plain_mapping(body.get("text") or {}, "text").get("format")
    add_format(tally, form, chat=False, joined="", texts=texts)
    add_choice(tally, body.get("tool_choice"), texts, chat=False)
    instructions = body.get("instructions")
    if instructions is not None:
        tally.instructions = MESSAGE + tally.memory.text(_text(instructions))
    items = body.get("input")
    _Items(tally, body.get("store")).add(
        [{"role": "user", "content": items}] if isinstance(items, str) else listed(items, "input")
    )


def _text(instructions: object) -> str:
    if isinstance(instructions, str):
        return instructions
    raise TypeError(f"instructions is a {type(instructions).__name__}: give a string")


class _Items:
    """Input items: messages, tool calls and what belongs to them."""

    __slots__ = ("_names", "_store", "_tally")

    def __init__(self, tally: Tally, store: object) -> None:
        self._tally = tally
        self._store = store
        self._names: dict[str, str] = {}

    def add(self, values: Sequence[Any]) -> None:
        """Add every item."""
        items = [plain_mapping(value, "input", index) for index, value in enumerate(values)]
        turn = self._last_turn(items)
        figures = self._tally.per_message
        while len(figures) < len(items):
            index = len(figures)
            item = items[index]
            if item.get("type") == "function_call":
                figures += self._run(items, index)
            elif item.get("type") == "reasoning":
                figures.append(self._reasoning(item) if index >= turn else 0)
            else:
                figures.append(self._item(item, index))

    def _last_turn(self, items: Sequence[Mapping[str, Any]]) -> int:
        """Return where reasoning items begin to count: after the last user message."""
        if self._tally.family.keeps_reasoning:
            return 0
        return max((index for index, item in enumerate(items) if item.get("role") == "user"), default=-1)

    def _run(self, items: Sequence[Mapping[str, Any]], start: int) -> list[int]:
        """Return the tokens of function calls in a row."""
        end = start
        while end < len(items) and items[end].get("type") == "function_call":
            end += 1
        calls = [self._call(item) for item in items[start:end]]
        stored = self._stored(items[start:end])
        if len(calls) > 1 and self._tally.costs.parallel == "calls only":
            return [together_tokens(self._tally, calls, ", ")] + [0] * (len(calls) - 1)
        return [call_tokens(self._tally, call) + stored for call in calls]

    def _call(self, item: Mapping[str, Any]) -> Call:
        name, arguments = str(item.get("name")), item.get("arguments", item.get("input"))
        self._names[str(item.get("call_id"))] = name
        return name, arguments if isinstance(arguments, str) else str(arguments or "")

    def _stored(self, run: Sequence[Mapping[str, Any]]) -> int:
        """Return what is added because the API swaps an item it has stored for the tokens once sampled."""
        if self._store is False or not any(item.get("id") for item in run):
            return 0
        self._tally.doubt("a stored tool call")
        return self._tally.costs.stored_call if len(run) == 1 else 0

    def _item(self, item: Mapping[str, Any], index: int) -> int:
        kind = item.get("type") or "message"
        if kind == "message":
            return self._message(item, index)
        if kind not in (*RESULTS, "custom_tool_call"):
            return self._unknown(item, str(kind), index)
        if kind == "custom_tool_call":
            self._tally.doubt("a custom tool call")
            return call_tokens(self._tally, self._call(item))
        name = self._names.get(str(item.get("call_id")))
        if name is None:
            self._tally.doubt("a tool result without its call")
        fixed = RESULT[self._tally.family.layout] + self._tally.memory.text(f"functions.{name or ''}")
        return fixed + self._tally.content(item.get("output"), index)

    def _message(self, item: Mapping[str, Any], index: int) -> int:
        role = item.get("role")
        if not isinstance(role, str):
            raise ValueError(f"input[{index}] has the role {role!r}: give assistant, developer, system or user")
        if role not in ("assistant", "developer", "system", "user"):
            self._tally.doubt(f"the role {role!r}")
        header = self._tally.family.assistant if role == "assistant" else 0
        return MESSAGE + header + self._tally.content(item.get("content"), index)

    def _unknown(self, item: Mapping[str, Any], kind: str, index: int) -> int:
        """Return the tokens of an item as JSON; how the API writes it is not known."""
        self._tally.doubt(kind)
        try:
            return MESSAGE + self._tally.memory.text(json.dumps(item, default=str))
        except (ValueError, TypeError, RecursionError):
            raise not_json(f"input[{index}]") from None

    def _reasoning(self, item: Mapping[str, Any]) -> int:
        """Estimate reasoning that is sent back from the size of its ciphertext."""
        self._tally.doubt("reasoning items")
        encrypted = item.get("encrypted_content")
        size = len(encrypted) if isinstance(encrypted, str) else 0
        return 2 + int(max(0, size - CIPHER_OVERHEAD) / CIPHER_PER_TOKEN)
