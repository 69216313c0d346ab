"""What a semantic cache asks of the place where it looks for similar texts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol


class Neighbour(NamedTuple):
    """A text like the one that was looked for."""

    key: str
    """Of the `Entry`."""
    score: float
    """Cosine, -1 to 1."""


class VectorIndex(Protocol):
    """Keeps embeddings by the keys of their entries. Its methods are called from many threads.

    A partition is the digest of everything that has to be equal; what is in another one is never found. All vectors
    of a partition have one length, and any that is of another one, or has no direction, raises ValueError.
    """

    blocks: bool
    """Whether methods do I/O or take milliseconds: async clients then call them in a thread."""
    shared: bool
    """Whether what other processes add is found, and stays; else a cache first fills the index from its store."""

    def add(self, partition: str, key: str, vector: Sequence[float], *, expires_at: float | None, now: float) -> None:
        """Keep a vector, in place of any other under its key."""
        ...

    def search(self, partition: str, vector: Sequence[float], *, most: int, now: float) -> list[Neighbour]:
        """The `most` nearest of the partition that have not expired, best first."""
        ...

    def remove(self, keys: Iterable[str]) -> None:
        """Forget vectors; keys that are not there are passed over."""
        ...
