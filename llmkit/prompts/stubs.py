"""Old tool results, which the model has long read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from llmkit.context.groups import last_user
from llmkit.context.items import Item, change, read
from llmkit.prompts.texts import keep_smaller, texts
from llmkit.tokens import count_text

_RESULT_ROLES: Final = frozenset({"tool", "function"})
_STUB: Final = "[Old result of "
_BEGINNING: Final = 80  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class stub_tool_results:
    """Replace the results of old tool calls by the tool's name, their size and how they began.

    The current turn's results, from the last user message on, and the `keep_last` results before it stay.
    """

    keep_last: int = 3

    def __post_init__(self) -> None:
        if self.keep_last < 0:
            raise ValueError(f"keep_last={self.keep_last!r} is negative; use 0 to keep none before the current turn")

    def __call__(self, messages: Sequence[Item], *, model: str) -> list[Item]:
        """The messages with each old result replaced."""
        names: dict[str, str] = {}
        results: list[int] = []
        for index, message in enumerate(messages[: last_user(messages, 0) or 0]):
            names |= _called(message)
            if read(message, "role") in _RESULT_ROLES:
                results.append(index)
        changed = list(messages)
        for index in results[: max(len(results) - self.keep_last, 0)]:
            changed[index] = _stub(messages[index], names, model)
        return keep_smaller(messages, changed, model=model)


def _called(message: Item) -> dict[str, str]:
    """The names of the tools the message calls, by the ids of the calls."""
    return {
        read(call, "id"): read(read(call, "function") or read(call, "custom"), "name")
        for call in read(message, "tool_calls") or ()
    }


def _stub(message: Item, names: dict[str, str], model: str) -> Item:
    text = "".join(texts(message))
    if text.startswith(_STUB):
        return message
    name = names.get(read(message, "tool_call_id")) or read(message, "name") or "a tool"
    size = count_text(text, model=model)
    return change(message, "content", f'{_STUB}{name}: {size:,} tokens, began "{text[:_BEGINNING].strip()}"]')
