"""Similar texts by comparing with every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit.cache.vectors.in_memory import InMemoryIndex
from llmkit.cache.vectors.index import Neighbour

if TYPE_CHECKING:
    from llmkit.cache.vectors.unit import Numbers


class NumpyIndex(InMemoryIndex):
    """Finds the nearest vectors exactly, in memory: for up to some ten thousand similar requests.

    A partition of 10,000 vectors of 1536 numbers takes 61 MB and 1 to 2 ms a search, one of 100,000 ten times that.
    Needs the extra: pip install "llmkit[semantic]".
    """

    def __init__(self) -> None:
        super().__init__(Matrix)


class Matrix:
    """The unit vectors of one partition: the first rows of an array that doubles when it is full."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.keys: list[str] = []
        self._rows: dict[str, int] = {}
        self._array = self._sized(0)

    @property
    def vectors(self) -> Numbers:
        """In the order of the keys."""
        return self._array[: len(self.keys)]

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, key: str, vector: Numbers) -> None:
        """Keep a vector under a key that has none."""
        row = len(self.keys)
        if row == len(self._array):
            self._array = self._sized(2 * row or 1)
        self._array[row] = vector
        self._rows[key] = row
        self.keys.append(key)

    def drop(self, key: str) -> None:
        """Forget a vector, whose row the last one takes."""
        row, last = self._rows.pop(key), self.keys.pop()
        if last != key:
            self._array[row] = self._array[len(self.keys)]
            self.keys[row] = last
            self._rows[last] = row
        if 4 * len(self.keys) < len(self._array):
            self._array = self._sized(len(self._array) // 2)

    def nearest(self, vector: Numbers, most: int) -> list[Neighbour]:
        """Best first."""
        scores = self.vectors @ vector
        return [Neighbour(self.keys[row], max(-1.0, min(1.0, float(scores[row])))) for row in _best(scores, most)]

    def _sized(self, rows: int) -> Numbers:
        import numpy as np

        array = np.empty((rows, self.length), dtype=np.float32)
        if self.keys:
            array[: len(self.keys)] = self.vectors
        return array


def _best(scores: Numbers, most: int) -> list[int]:
    """Where the highest scores are, best first, sorting no more than those."""
    import numpy as np

    if most == 1:
        return [int(scores.argmax())]
    among = np.argpartition(scores, -most)[-most:] if most < len(scores) else np.arange(len(scores))
    rows: list[int] = among[scores[among].argsort()[::-1]].tolist()
    return rows
