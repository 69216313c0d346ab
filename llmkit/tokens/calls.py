"""Tool calls and results in the history of a conversation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from llmkit.tokens.plain import compact, embedded
from llmkit.tokens.tally import Tally

TOGETHER: Final = "multi_tool_use.parallel"

Call = tuple[str, str]  # name, arguments
_CALL: Final = object()
"""Keeps the key of a call apart from contents that are tuples of two texts."""


def call_tokens(tally: Tally, call: Call) -> int:
    """Return the tokens of one call."""
    memory, size = tally.memory, sum(map(len, call))
    key = (_CALL, call)
    texts = memory.get(key, size)
    if texts is None:
        texts = memory.text(f" to=functions.{call[0]}") + memory.text(compact(call[1]))
        memory.put(key, texts, size)
    return 4 + texts + tally.costs.call


def together_tokens(tally: Tally, calls: Sequence[Call], separator: str) -> int:
    """Return the tokens of calls made together: they are written as one."""
    key = (separator, *calls)
    size = sum(len(arguments) for _, arguments in calls)
    uses = tally.memory.get(key, size)
    if uses is None:
        uses = tally.memory.put(key, tally.memory.text(_uses(calls, separator)), size)
    return 4 + tally.memory.text(f" to={TOGETHER}") + uses + tally.costs.call


def results_tokens(tally: Tally, results: Sequence[str]) -> int:
    """Return the tokens of the results of calls made together: they are written as one list."""
    key = (tally.family.ascii_results, *results)
    size = sum(map(len, results))
    listing = tally.memory.get(key, size)
    if listing is None:
        text = json.dumps([embedded(result) for result in results], ensure_ascii=tally.family.ascii_results)
        listing = tally.memory.put(key, tally.memory.text(text), size)
    return 6 + tally.memory.text(TOGETHER) + listing


def _uses(calls: Sequence[Call], separator: str) -> str:
    uses = separator.join(
        f'{{"recipient_name":"functions.{name}","parameters":{compact(arguments)}}}' for name, arguments in calls
    )
    return f'{{"tool_uses":[{uses}]}}'
