"""Where the figures of a Budget are kept: in memory, in an SQLite file, in Redis, or in a ledger of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.budgets.ledger import Charge, Ledger, Refusal
    from llmkit.budgets.limits import Spent
    from llmkit.budgets.memory import MemoryLedger
    from llmkit.budgets.redis import RedisLedger
    from llmkit.budgets.sqlite import SQLiteLedger

__all__ = ["Charge", "Ledger", "MemoryLedger", "RedisLedger", "Refusal", "SQLiteLedger", "Spent"]

_HOME = {
    "llmkit.budgets.ledger": ("Charge", "Ledger", "Refusal"),
    "llmkit.budgets.limits": ("Spent",),
    "llmkit.budgets.memory": ("MemoryLedger",),
    "llmkit.budgets.redis": ("RedisLedger",),
    "llmkit.budgets.sqlite": ("SQLiteLedger",),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
