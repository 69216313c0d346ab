"""How alike two texts must be for a semantic cache to give one the answer of the other."""

from __future__ import annotations

from types import MappingProxyType

DEFAULT = 0.95
"""Cosine of the two embeddings; for models that nobody has measured."""

THRESHOLDS = MappingProxyType({"all-MiniLM-L6-v2": 0.95})
"""Only models that were measured: the table of docs/semantic_cache.md, by benchmarks/semantic_evaluation.py."""


def threshold_for(embedding_model: str) -> float:
    """Give the cosine to begin with for an embedding model, with or without its owner ("sentence-transformers/...").

    Models spread their cosines differently: names of colours and fruits have 0.83 to 0.90 with text-embedding-ada-002
    and 0.31 to 0.56 with text-embedding-3-small (https://github.com/Stevenic/vectra/issues/53). Measure yours in shadow
    mode.
    """
    return THRESHOLDS.get(embedding_model.rpartition("/")[2], DEFAULT)
