from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from usage.records import finished

from llmkit.usage.ledger import LedgerSink
from llmkit.usage.reading import Ledger
from llmkit.usage.rules import MODEL, UNPRICED, is_unpriced, model_of

MODELS: Any = [
    ({"sent_model": "a", "model": "b", "response_model": "c"}, "a"),
    ({"model": "b", "response_model": "c"}, "b"),
    ({"model": None, "response_model": "c"}, "c"),
    ({"model": None}, None),
]
PRICES: Any = [
    ({"total_tokens": 5}, True),
    ({"total_tokens": 5, "cost": Decimal("0.1")}, False),
    ({"total_tokens": 0, "audio_seconds": 0.0}, False),
    ({"audio_seconds": 1.5}, True),
    ({"audio_seconds": 1.5, "cost": Decimal(0)}, False),
    ({}, False),
]


def by_sql(path: Path, fields: dict[str, Any], expression: str) -> object:
    with closing(LedgerSink(path)) as sink:
        sink(finished(**fields))
    with closing(Ledger(path)) as ledger, ledger.reading() as connection:
        return connection.execute(f"SELECT {expression} FROM calls").fetchone()[0]


@pytest.mark.parametrize(("fields", "model"), MODELS)
def test_the_model_is_the_one_asked_in_the_end_or_else_the_one_that_answered(
    fields: dict[str, Any], model: str | None, tmp_path: Path
) -> None:
    assert model_of(finished(**fields)) == model
    assert by_sql(tmp_path / "usage.db", fields, MODEL) == model


def test_a_model_that_is_no_name_is_none() -> None:
    assert model_of(finished(model=7, response_model="gpt-4o")) == "gpt-4o"


@pytest.mark.parametrize(("fields", "unpriced"), PRICES)
def test_tokens_and_sound_without_a_cost_have_no_price(fields: dict[str, Any], unpriced: bool, tmp_path: Path) -> None:
    assert is_unpriced(finished(**fields)) is unpriced
    assert by_sql(tmp_path / "usage.db", fields, UNPRICED) == unpriced
