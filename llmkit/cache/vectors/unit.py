"""Embeddings at length one, where the dot product of two is their cosine."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from llmkit.errors import LLMKitError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float32]


def load() -> None:
    """Import numpy now, or say which extra has it."""
    try:
        importlib.import_module("numpy")
    except ImportError:
        raise LLMKitError("similar texts are found with numpy: pip install 'llmkit[semantic]'") from None


def unit(vector: Sequence[float]) -> Numbers:
    """`vector` at length one; ValueError when it has no direction: empty, all zero, or not finite."""
    import numpy as np

    numbers = np.asarray(vector, dtype=np.float64)
    if numbers.ndim != 1:
        raise ValueError(f"an embedding is one list of numbers, not an array of shape {numbers.shape}")
    with np.errstate(all="ignore"):
        length = math.sqrt(np.dot(numbers, numbers))
    if not 0 < length < math.inf:
        raise ValueError(f"an embedding of {len(numbers)} numbers has no direction: they are all zero, or not finite")
    return (numbers / length).astype(np.float32)


def refuse_length(given: int, kept: int) -> None:
    """ValueError unless a vector is as long as those of its partition."""
    if given != kept:
        raise ValueError(
            f"an embedding of {given} numbers cannot be compared with those of {kept} in its partition: "
            "the embedding function must always give vectors of one length"
        )
