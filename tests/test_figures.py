from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from llmkit import CircuitBreaker, RateLimit, Retry, Rule, Timeouts
from llmkit.figures import check_figures


def test_numbers_and_none_are_figures() -> None:
    check_figures(a=1, b=0.5, c=Decimal(1), d=None)


@pytest.mark.parametrize(
    ("layer", "name", "value"),
    [
        (RateLimit, "requests_per_minute", "500"),
        (RateLimit, "max_concurrency", "5"),
        (Retry, "max_retries", "2"),
        (Retry, "deadline", True),
        (CircuitBreaker, "failures", "5"),
        (Timeouts, "total", "60"),
    ],
)
def test_a_text_from_the_environment_is_named(layer: Callable[..., Any], name: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"{name}={value!r} is of type .*; give a number"):
        layer(**{name: value})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "m", "max_input_tokens": "5"}, "max_input_tokens='5' is of type str"),
        ({"model": "m", "tags": "user"}, "tags='user' is no mapping"),
        ({"model": 5}, "model=5 names no model"),
    ],
)
def test_a_rule_says_what_is_wrong_with_it(given: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        Rule(**given)
