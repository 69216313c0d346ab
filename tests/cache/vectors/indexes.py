from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from llmkit.cache.vectors import NumpyIndex, RedisIndex, UsearchIndex, VectorIndex

KINDS = {"numpy": 1e-6, "usearch matrix": 1e-6, "usearch graph": 0.005, "redis": 0.02}
"""How far the scores of short vectors may be off; long ones are nearer."""


def new_index(kind: str, redis_url: Callable[[], str]) -> VectorIndex:
    if kind == "numpy":
        return NumpyIndex()
    if kind == "redis":
        return RedisIndex(redis_url(), prefix=f"test-{uuid.uuid4().hex}")
    return UsearchIndex(compare_up_to=1 if kind == "usearch graph" else 100)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


@dataclass
class Model:
    """What an index is to know, in plain Python."""

    kept: dict[str, tuple[str, Sequence[float], float | None]] = field(default_factory=dict)

    def add(self, partition: str, key: str, vector: Sequence[float], expires_at: float | None) -> None:
        self.kept[key] = partition, vector, expires_at

    def remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.kept.pop(key, None)

    def scores(self, partition: str, vector: Sequence[float], now: float) -> dict[str, float]:
        return {
            key: cosine(vector, kept)
            for key, (home, kept, end) in self.kept.items()
            if home == partition and (end is None or end > now)
        }
