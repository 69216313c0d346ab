"""Whether the answers that a semantic cache would have given agree with those that the API gave."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_WORD = re.compile(r"\w+")
_SAME = 0.6
"""Share of the words: two answers of one model to one question, at temperature 0, seldom have fewer in common."""
_LOWEST = 80
_COMPARED, _AGREED = "shadow_compared_", "shadow_agreed_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What came of the questions whose nearest neighbour scored from `low` up to the next band."""

    low: float
    """0.80, 0.81, ... 0.99: the lowest score of the band."""
    compared: int
    """At least 1."""
    agreed: int

    @property
    def share(self) -> float:
        """Of the answers that agreed, 0 to 1."""
        return self.agreed / self.compared


def say_the_same(one: str, other: str) -> bool:
    """Whether two answers have most of their words in common; for what matters to you, give a function of your own."""
    words, others = Counter(_WORD.findall(one.casefold())), Counter(_WORD.findall(other.casefold()))
    if not words or not others:
        return one.strip() == other.strip()
    return 2 * (words & others).total() >= _SAME * (words.total() + others.total())


def counted(score: float, *, agreed: bool) -> dict[str, int]:
    """The counters of a store to add to; none for scores that no threshold would take."""
    band = min(99, int(score * 100 + 1e-9))
    if band < _LOWEST:
        return {}
    return {f"{_COMPARED}{band}": 1, f"{_AGREED}{band}": int(agreed)}


def agreement(counts: Mapping[str, int]) -> Iterator[Agreement]:
    """The bands in which something was compared, from the counters of a store; the highest first."""
    for band in range(99, _LOWEST - 1, -1):
        compared = counts.get(f"{_COMPARED}{band}", 0)
        if compared:
            yield Agreement(low=band / 100, compared=compared, agreed=counts.get(f"{_AGREED}{band}", 0))
