"""What holds for every history: HYPOTHESIS_EXAMPLES=10000 runs the long version."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from context.histories import (
    MODELS,
    TOOL,
    chats,
    plain,
    problems_of_chat,
    problems_of_responses,
    response_inputs,
    total,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmkit.context import ContextLengthExceeded, DropOldest, Group, MiddleOut, TruncateLongest, trim_messages

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "300"))
often = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def small_ones_first(groups: Sequence[Group], budget: int) -> list[Group]:
    """A user's own strategy."""
    kept = [groups[-1]]
    for group in sorted(groups[:-1], key=lambda group: group.tokens):
        if sum(each.tokens for each in kept) + group.tokens <= budget:
            kept.append(group)
    return kept


STRATEGIES: dict[str, Callable[..., Any]] = {
    "oldest": DropOldest(),
    "middle": MiddleOut(),
    "longest": TruncateLongest(keep_tokens=32),
    "own": small_ones_first,
}
CHAT_TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": TOOL}}]
RESPONSES_TOOLS = [{"type": "function", "name": "get_weather", "description": "Weather", "parameters": TOOL}]


def kept_always(items: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Head and current turn, said once more in other words."""
    roles = [plain(item).get("role") for item in items]
    head = next((i for i, role in enumerate(roles) if role not in ("system", "developer")), len(items))
    users = [i for i, role in enumerate(roles) if role == "user"]
    return list(items[:head]), list(items[users[-1] :]) if users else list(items[len(items) :])


def is_subsequence(short: Sequence[Any], full: Sequence[Any]) -> bool:
    left = iter(full)
    return all(any(item is other for other in left) for item in short)


def check(items: list[Any], operation: str, model: str, share: float, name: str, with_tools: bool) -> None:
    chat = operation == "chat.completions"
    extra = {"tools": CHAT_TOOLS if chat else RESPONSES_TOOLS} if with_tools else {}
    whole = total(items, model, operation, **extra)
    before = copy.deepcopy(items)
    head, current = kept_always(items)
    least = total([*head, *current], model, operation, **extra)
    budget = max(1, int(least + (whole - least) * share))

    def trim(messages: list[Any]) -> list[Any]:
        return trim_messages(
            messages, max_tokens=budget, model=model, operation=operation, strategy=STRATEGIES[name], **extra
        )

    try:
        result = trim(items)
    except ContextLengthExceeded as error:
        refused = error
        result = None
    if result is None:
        assert items == before
        assert refused.sizes is not None
        assert refused.sizes.needed > budget
        assert least > budget or not current
        return
    assert items == before
    assert total(result, model, operation, **extra) <= budget
    problems = problems_of_chat(result) if chat else problems_of_responses(result, items)
    assert not problems
    assert result[: len(head)] == head
    assert len(result) >= len(current)
    if name == "longest":
        shape = [{**plain(item), "content": 0, "output": 0} for item in current]
        assert [{**plain(item), "content": 0, "output": 0} for item in result[len(result) - len(current) :]] == shape
    else:
        assert result[len(result) - len(current) :] == current
        assert is_subsequence(result, items)
    assert trim(result) == result
    assert trim(items) == result
    if whole <= budget:
        assert result == items
        assert result is not items


@often
@given(chats(), st.sampled_from(MODELS), st.floats(-0.1, 1.1), st.sampled_from(sorted(STRATEGIES)), st.booleans())
def test_a_chat_history_is_trimmed_to_a_valid_one_within_budget(
    items: list[Any], model: str, share: float, name: str, with_tools: bool
) -> None:
    check(items, "chat.completions", model, share, name, with_tools)


@often
@given(
    response_inputs(), st.sampled_from(MODELS), st.floats(-0.1, 1.1), st.sampled_from(sorted(STRATEGIES)), st.booleans()
)
def test_a_responses_history_is_trimmed_to_a_valid_one_within_budget(
    items: list[Any], model: str, share: float, name: str, with_tools: bool
) -> None:
    check(items, "responses", model, share, name, with_tools)


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_a_long_history_is_trimmed_by_every_strategy(name: str) -> None:
    items = [{"role": "system", "content": "Be brief."}]
    for number in range(600):
        items.append({"role": "user" if number % 2 == 0 else "assistant", "content": f"message {number} " * 20})
    items.append({"role": "user", "content": "And now?"})
    for share in (0.01, 0.3, 0.97, 0.9999, 1):
        check(items, "chat.completions", "gpt-4o-mini", share, name, True)
