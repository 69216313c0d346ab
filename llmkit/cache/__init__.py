"""Where a Cache keeps its answers, and what it has saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.cache.entry import Entry
    from llmkit.cache.memory import MemoryStore
    from llmkit.cache.opening import open_store
    from llmkit.cache.per_call import caching
    from llmkit.cache.redis import RedisStore
    from llmkit.cache.sqlite import SQLiteStore
    from llmkit.cache.stats import CacheStats
    from llmkit.cache.store import CacheStore

__all__ = [
    "CacheStats",
    "CacheStore",
    "Entry",
    "MemoryStore",
    "RedisStore",
    "SQLiteStore",
    "caching",
    "open_store",
]

_HOME = {
    "llmkit.cache.per_call": ("caching",),
    "llmkit.cache.entry": ("Entry",),
    "llmkit.cache.memory": ("MemoryStore",),
    "llmkit.cache.opening": ("open_store",),
    "llmkit.cache.redis": ("RedisStore",),
    "llmkit.cache.sqlite": ("SQLiteStore",),
    "llmkit.cache.stats": ("CacheStats",),
    "llmkit.cache.store": ("CacheStore",),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
