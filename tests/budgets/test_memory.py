from __future__ import annotations

from budgets.ledgers import ENDS, NOW, charge

from llmkit.budgets import MemoryLedger


def test_windows_that_are_long_over_are_forgotten() -> None:
    ledger = MemoryLedger()
    for minute in range(300):
        assert (
            ledger.reserve([charge(1, scope=f"user:user={minute}", ends=ENDS + 60 * minute)], now=NOW + 60 * minute)
            is None
        )
    assert len(ledger) == 61
    assert ledger.spent([charge(0, scope="user:user=0"), charge(0, scope="user:user=299")]) == [0, 1]


def test_they_are_looked_for_once_a_minute() -> None:
    ledger = MemoryLedger()
    ledger.settle([charge(1)], once="", now=NOW)
    assert ledger.reserve([charge(1, scope="all:", ends=ENDS + 7200)], now=ENDS + 3599) is None
    assert ledger.reserve([charge(1, scope="all:", ends=ENDS + 7200)], now=ENDS + 3601) is None
    assert len(ledger) == 2
    assert ledger.reserve([charge(1, scope="all:", ends=ENDS + 7200)], now=ENDS + 3660) is None
    assert len(ledger) == 1
