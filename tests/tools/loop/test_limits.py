"""The ceilings by themselves."""

from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any

import pytest

from llmkit.errors import LLMKitError
from llmkit.tools.loop.errors import ToolLoopLimit
from llmkit.tools.loop.limits import Limits
from llmkit.usage.totals import Usage


def limits(**changes: Any) -> Limits:
    arguments: dict[str, Any] = {"max_steps": 10, "max_tokens": None, "max_cost": None, **changes}
    return Limits.checked(**arguments)


def check(given: Limits, *, steps: int = 1, **used: Any) -> None:
    given.check(steps=steps, usage=Usage(calls=steps, **used), model="gpt-4o", messages=[])


@pytest.mark.parametrize("name", ["max_steps", "max_tokens"])
def test_a_ceiling_that_is_no_number_of_calls_or_tokens_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name}=True is not a whole number"):
        limits(**{name: True})
    with pytest.raises(TypeError, match=f"{name}=1.5 is not a whole number"):
        limits(**{name: 1.5})
    with pytest.raises(ValueError, match=f"{name}=0 allows no call at all"):
        limits(**{name: 0})


@pytest.mark.parametrize("cost", [0, -1, "0", Decimal("NaN"), float("nan")])
def test_a_cost_that_buys_nothing_is_refused(cost: Any) -> None:
    with pytest.raises(ValueError, match="max_cost="):
        limits(max_cost=cost)


def test_a_cost_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="max_cost='cheap' is no amount"):
        limits(max_cost="cheap")


def test_a_ceiling_of_cost_needs_the_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(LLMKitError, match=r"llmkit\[prices\]"):
        limits(max_cost=1)


def test_a_ceiling_is_reached_when_it_is_used_up_and_not_before() -> None:
    check(limits(max_steps=2), steps=1)
    check(limits(max_tokens=10), total_tokens=9)
    check(limits(max_cost="0.10"), cost=Decimal("0.09"))
    reached: list[tuple[Limits, dict[str, Any]]] = [
        (limits(max_tokens=10), {"total_tokens": 10}),
        (limits(max_cost=0.1), {"cost": Decimal("0.1")}),
        (limits(max_steps=1), {}),
    ]
    for given, used in reached:
        with pytest.raises(ToolLoopLimit):
            check(given, **used)
