"""Few-shot examples as the messages of a conversation."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

from llmkit.context.groups import spans
from llmkit.context.items import Item, read

Example: TypeAlias = tuple[str, str] | Sequence[Mapping[str, Any]]
"""What the user says and the answer; or the messages of a turn, tool calls and results included."""


def few_shot(examples: Sequence[Example], *, system: str | None = None) -> list[Item]:
    """The examples as messages to start a conversation with, after `system` if there is one.

    An example is a pair of texts, or a list of messages from the user's to the assistant's answer. Raises
    `ValueError` when one does not begin or end so, `InvalidHistory` for a tool call without its result.
    """
    messages: list[Item] = [] if system is None else [{"role": "system", "content": system}]
    for number, example in enumerate(examples):
        messages += _messages(example, f"examples[{number}]")
    return messages


def _messages(example: Example, where: str) -> list[dict[str, Any]]:
    given = list(cast("Sequence[object]", example))
    if isinstance(example, str):
        raise TypeError(f"{where} is a text; give a pair of texts, (user, assistant), or a list of messages")
    if len(given) == 2 and all(isinstance(text, str) for text in given):
        return [{"role": "user", "content": given[0]}, {"role": "assistant", "content": given[1]}]
    if not all(isinstance(message, Mapping) for message in given):
        raise TypeError(f"{where} is neither a pair of texts, (user, assistant), nor a list of messages")
    messages = [copy.deepcopy(dict(cast("Mapping[str, Any]", message))) for message in given]
    roles = [read(message, "role") for message in messages]
    if roles[:1] != ["user"] or roles[-1] != "assistant" or messages[-1].get("tool_calls"):
        raise ValueError(f"{where} must begin with a user message and end with the assistant's answer")
    for _ in spans(messages, head=0):  # raises InvalidHistory
        pass
    return messages
