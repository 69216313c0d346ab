from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from usage.records import finished

from llmkit.errors import LedgerUnavailable
from llmkit.usage.anomalies.amounts import Totals
from llmkit.usage.anomalies.ledger import hours_of
from llmkit.usage.ledger import LedgerSink

HOUR = 472_222
AT = HOUR * 3600.0


def kept(path: Path, *calls: dict[str, Any]) -> Path:
    sink = LedgerSink(path)
    for call in calls:
        sink(finished(**call))
    sink.close()
    return path


def test_each_hour_of_each_series_is_added_up(tmp_path: Path) -> None:
    path = kept(
        tmp_path / "usage.db",
        {"at": AT, "tags": {"user": "al'ice", "n": 1}, "total_tokens": 100, "cost": Decimal("0.5")},
        {"at": AT + 3599, "tags": {"user": "al'ice"}, "total_tokens": 7},
        {"at": AT + 10, "tags": {"user": "al'ice"}, "total_tokens": 20, "cost": Decimal("0.25")},
        {"at": AT + 11, "tags": {"user": "al'ice"}, "error": "APIError", "complete": False},
        {"at": AT + 12, "tags": {"user": "al'ice"}, "cache": "hit", "total_tokens": 0, "cost": Decimal(0)},
        {"at": AT + 13, "model": None},
        {"at": AT + 13, "sent_model": "sent", "response_model": "answered", "audio_seconds": 1.5},
        {"at": AT + 13, "model": None, "response_model": "answered"},
        {"at": AT - 29 * 86_400, "tags": {"user": "al'ice"}},
    )
    hours = list(hours_of(path, ("user",)))
    assert sorted(hours, key=lambda hour: (hour[1], str(hour[0]))) == [
        (
            ("al'ice", "gpt-4o"),
            HOUR,
            Totals(usage=[4.0, 120.0, 0.75], squares=[4.0, 10_400.0, pytest.approx(0.3125)], asked=3, failed=1),
        ),
        ((None, "answered"), HOUR, Totals(usage=[1.0, 0.0, 0.0], squares=[1.0, 0.0, 0.0], asked=1)),
        ((None, "sent"), HOUR, Totals(usage=[1.0, 0.0, 0.0], squares=[1.0, 0.0, 0.0], asked=1, unpriced=True)),
        ((None, None), HOUR, Totals(usage=[1.0, 0.0, 0.0], squares=[1.0, 0.0, 0.0], asked=1)),
        (
            ("al'ice", "gpt-4o"),
            HOUR + 1,
            Totals(usage=[1.0, 7.0, 0.0], squares=[1.0, 49.0, 0.0], asked=1, unpriced=True),
        ),
    ]


def test_without_tags_a_model_is_a_series(tmp_path: Path) -> None:
    path = kept(tmp_path / "usage.db", {"at": AT, "tags": {"user": "alice"}}, {"at": AT, "tags": {"user": "bob"}})
    assert [(key, totals.usage[0]) for key, _, totals in hours_of(path, ())] == [(("gpt-4o",), 2.0)]


def test_a_ledger_without_calls_and_one_that_is_not_there_yet_have_no_past(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert list(hours_of(kept(tmp_path / "usage.db"), ("user",))) == []
    assert not caplog.records
    later = tmp_path / "later.db"
    assert list(hours_of(later, ("user",))) == []
    assert not later.exists()
    assert [entry.getMessage() for entry in caplog.records] == [
        f"there is no ledger {later} yet; nothing is learnt from it"
    ]


def test_only_a_file_can_be_learnt_from(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^ledger is the address of a server; give the file of a LedgerSink"):
        list(hours_of("postgresql://u:kingfisher@h/d", ()))
    with pytest.raises(ValueError, match=f"^ledger is the folder '{tmp_path}'; give the file of a LedgerSink"):
        list(hours_of(tmp_path, ()))


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("These are notes, and no ledger at all.\n" * 30)
    with pytest.raises(LedgerUnavailable, match=r"notes\.db"):
        list(hours_of(path, ()))
