"""The numbers of a text, however they are written, and the signs between them."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal

from llmkit.cache.semantic.words import NUMBERS, SCALES

_SIGN = re.compile(
    r"(?<!\d)\d++/\d++/\d++|("  # a date
    r"[≤≥≠≈±\u00d7÷√∞∑∫^]|!?[<>=]+"
    r"|(?<=[\w)]) ?[*+]+|(?<=\w)\#|(?<=\d) ?%"
    r"|(?<=[\d)]) ?/|(?<=\b\w) ?/(?= ?\w\b)"  # not "and/or"
    r"|(?<![\w)])-(?=[$€£¥₹]?\.?\d|[^\W\d_]\b))"  # -5 and -x, not "e-mail" and "- item"
)


def numbers(words: Sequence[str]) -> Iterator[str]:
    """The numbers among lower-case words in digits; one that comes again has behind it how often it came before."""
    before = Counter[str]()
    for is_number, run in itertools.groupby(words, key=_is_number):
        found = list(run)
        for value in _values(found) if is_number and found != ["one"] else []:  # "the best one", "how does one"
            number = f"{value:f}"
            yield f"{number} {before[number]}" if before[number] else number
            before[number] += 1


def signs(text: str) -> str:
    """The signs of calculation, comparison and percent in order, and the rest of C# and C++."""
    return " ".join(sign.strip() for sign in _SIGN.findall(text) if sign)


def _is_number(word: str) -> bool:
    return word[0].isdecimal() or word in NUMBERS or word in SCALES


def _values(run: Sequence[str]) -> list[Decimal]:
    values: list[Decimal] = []
    for word in run:
        last = values[-1] if values and values[-1] < 10**12 else Decimal(0)
        number = Decimal(NUMBERS.get(word, 0) if not word[0].isdecimal() else word)
        if word in SCALES and last:
            values[-1] = (last * SCALES[word]).normalize()
        elif word in SCALES:
            values += [Decimal(SCALES[word])] if len(word) > 2 else []  # "k" alone is no number
        elif word in NUMBERS and last and last % 10 ** len(str(number)) == 0:
            values[-1] = last + number
        else:
            values.append(number)
    return values
