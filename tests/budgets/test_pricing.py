from __future__ import annotations

import sys
from decimal import Decimal
from typing import Any

import pytest

from llmkit import CallRecord, LLMKitError, runtime
from llmkit.budgets.pricing import Pricing
from llmkit.errors import UnknownPrice


def own(**given: Any) -> Decimal | None:
    assert given.keys() == {"model", "input_tokens", "output_tokens", "cached_tokens"}
    return Decimal("0.5") if given["model"] == "mine" else None


def answered(by: str | None) -> CallRecord:
    """A finished call of 1,000 tokens for 10."""
    record = CallRecord(operation="chat.completions", model="asked", runtime=runtime.current(is_async=False))
    record.response_model, record.input_tokens, record.output_tokens = by, 1_000, 10
    return record


def test_without_a_price_function_prices_are_genai_prices() -> None:
    # gpt-4o-mini: 0.15 USD a million input tokens, 0.60 output (OpenAI's price list, 2026)
    assert Pricing(None, refuse_unknown=True).before("gpt-4o-mini", input_tokens=1_000, output_tokens=10) == 156_000


def test_a_price_function_is_asked_first_for_all_models() -> None:
    pricing = Pricing(own, refuse_unknown=True)
    assert pricing.after(answered("gpt-4o-mini-2024-07-18"), asked="mine") == 500_000_000
    assert pricing.after(answered("gpt-4o-mini-2024-07-18"), asked="gpt-4o") == 156_000
    assert pricing.after(answered(None), asked="nobody's") is None


@pytest.mark.parametrize(("model", "called"), [("nobody's", '"nobody\'s"'), (None, "a request without a model")])
def test_a_price_that_nobody_knows_is_an_error_that_says_what_to_do(model: str | None, called: str) -> None:
    with pytest.raises(UnknownPrice) as caught:
        Pricing(None, refuse_unknown=True).before(model, input_tokens=1, output_tokens=1)
    assert str(caught.value) == (
        f"the price of {called} is not known, so a budget of dollars cannot count it; give Budget(price=...), a "
        "function of model, input_tokens, output_tokens and cached_tokens that returns dollars, or let its dollars go "
        "uncounted with unknown_price='allow'"
    )


def test_an_allowed_unknown_price_is_said_once_for_each_model(caplog: pytest.LogCaptureFixture) -> None:
    pricing = Pricing(None, refuse_unknown=False)
    for model in ("a", "a", "b", "b"):
        assert pricing.before(model, input_tokens=1, output_tokens=1) is None
    assert caplog.messages == [
        f"the price of '{model}' is not known: a budget counts its tokens but not its dollars" for model in "ab"
    ]


def test_a_million_made_up_models_do_not_fill_memory_or_log(caplog: pytest.LogCaptureFixture) -> None:
    pricing = Pricing(lambda **_: None, refuse_unknown=False)
    for number in range(1_010):
        pricing.before(f"model-{number}", input_tokens=1, output_tokens=1)
    assert len(caplog.messages) == 1_000


def test_without_the_extra_a_budget_of_dollars_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(LLMKitError, match=r"pip install 'llmkit\[prices\]'"):
        Pricing(None, refuse_unknown=True)
    assert Pricing(own, refuse_unknown=True).after(answered("mine"), asked=None) == 500_000_000
