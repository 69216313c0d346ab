"""Where similar texts are found: in numpy arrays, in usearch graphs, in Redis 8, or in an index of your own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.cache.vectors.index import Neighbour, VectorIndex
    from llmkit.cache.vectors.numpy_index import NumpyIndex
    from llmkit.cache.vectors.redis_index import RedisIndex
    from llmkit.cache.vectors.usearch_index import UsearchIndex

__all__ = ["Neighbour", "NumpyIndex", "RedisIndex", "UsearchIndex", "VectorIndex"]

_HOME = {
    "llmkit.cache.vectors.index": ("Neighbour", "VectorIndex"),
    "llmkit.cache.vectors.numpy_index": ("NumpyIndex",),
    "llmkit.cache.vectors.redis_index": ("RedisIndex",),
    "llmkit.cache.vectors.usearch_index": ("UsearchIndex",),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
