"""What the guards of a semantic cache keep of a text, so that it need not be kept itself."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from pydantic import TypeAdapter

from llmkit.cache.semantic.numerals import numbers, signs
from llmkit.cache.semantic.words import CHOICES, FILLERS, JOINTS, LINKS, NEGATIONS, QUESTIONS

_LITERAL = re.compile(r"https?://[^\s<>]+|(?<![\w.+-])[\w.+-]++@[\w-]+\.[\w.]+")
_CODE = re.compile(r"(?<!\w)[^\W\d_]+\d\w*")
_QUOTED = re.compile(r'"([^"]{1,300})"|“([^”]{1,300})”|«([^»]{1,300})»|`([^`]{1,300})`')
_WORD = re.compile(r"\d+(?:\.\d+)?|[^\W\d]+(?:['.-][^\W\d]+)*|[$€£¥₹]")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_TITLE = re.compile(r"\b(Mrs?|Ms|Dr|Prof|St)\.")
_FIGURE = re.compile("[¹²³¼-¾⁰⁴-⁹⅐-ↂ]")
_PERCENT = re.compile(r"(?<=\d) ?per ?cent\b", re.IGNORECASE)
_OPENING = re.compile(r"[.!?:\n]")
_NOT_NEGATIVE = re.compile(r"\b(?:or|why|if|whether) not\b|\bor no\b|\bnot only\b|\bno\. ?(?=\d)", re.IGNORECASE)
_NEGATIVE = re.compile("[不没沒無无未别別]|ない|ません|않|못")
_EMPTY = FILLERS | LINKS
_MOST_LETTERS = 200

ALTERNATIVES = 16
"""Numbers of a row of choices, at most."""
REASONS = [reason for reason, rows in CHOICES.items() for _ in rows]
"""Why the rows of choices matter, in their order."""

_MEANINGS: dict[str, set[int]] = {}
for _row, _alternatives in enumerate(itertools.chain.from_iterable(CHOICES.values())):
    for _place, _words in enumerate(_alternatives.split("|")):
        for _word in _words.split():
            _MEANINGS.setdefault(_word, set()).add(ALTERNATIVES * _row + _place)
_ASKS = {word: asked for asked, words in QUESTIONS.items() for word in words.split()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What is kept of a text: about 230 bytes of JSON for a question, in which many texts look the same.

    Words are kept as hashes of 12 bits, each of them shared by many words. `bag` and `order` are hashes of 32 bits
    of all words together, by which a guess of the whole text can be confirmed; a `secret` prevents that.
    """

    version: Literal[1] = 1
    """Of the tables of words: marks of another version are not compared."""
    numbers: frozenset[int]
    """Hashes of the numbers, however they are written; of one that is there twice, two."""
    signs: int
    """A hash of the signs by numbers and letters in order: + - * / < = %, and the rest of C# and C++."""
    names: frozenset[int]
    """Hashes of capitalised words, ALLCAPS, camelCase, snake_case, X86, addresses."""
    words: frozenset[int]
    """Hashes of all words that say something about the subject."""
    quoted: frozenset[int]
    """Hashes of what stands between quotation marks or backticks, and of emoji."""
    choices: frozenset[int]
    """Which alternatives of the table `CHOICES` occur, such as "before" and not "after"."""
    question: str
    """What the first question word asks for: "who", "when", ..., "" when that is not certain."""
    negated: bool
    bag: int
    """A hash of the sorted words."""
    order: int
    """A hash of the words in order."""
    length: int
    """In characters."""
    script: str
    """That of most letters: "LATIN", "CYRILLIC", ..."""
    check: int
    """The same for all texts with the same secret: marks of another one are not compared."""

    def to_json(self) -> bytes:
        """As JSON, to be kept with the answer."""
        return _JSON.dump_json(self)

    @staticmethod
    def from_json(data: bytes | str) -> Marks:
        """Back from JSON; a ValueError for anything but marks of this version."""
        return _JSON.validate_json(data)


_JSON = TypeAdapter(Marks)


def marks(text: str, *, secret: bytes = b"") -> Marks:
    """Take the fingerprint of a text; with a `secret` of up to 64 bytes nobody else can test what the text was."""
    text = _plain(text)
    addresses = [match[0].rstrip(".,;").casefold() for match in _LITERAL.finditer(text)]
    prose = _TITLE.sub(r"\1", _NOT_NEGATIVE.sub(" ", _LITERAL.sub(" ", text.lower() if text.isupper() else text)))
    words = [word.casefold() for word in _WORD.findall(prose)]
    content = [_stem(word) for word in words if word not in _EMPTY]
    codes = [code.casefold() for code in _CODE.findall(prose)]
    names = [*map(_stem, _names(prose)), *codes, *addresses]
    shape, order = _order(words)

    def hashes(items: Iterable[str]) -> frozenset[int]:
        return frozenset(_hash(item, secret) >> 20 for item in items)

    return Marks(
        numbers=hashes(numbers(words)),
        signs=_hash(signs(prose), secret) >> 20,
        names=hashes(names),
        words=hashes([*content, *names]),
        quoted=hashes(_quoted(text)),
        choices=frozenset(_choices(words)),
        question=_question(words),
        negated=any(word in NEGATIONS or word.endswith("n't") for word in words) or bool(_NEGATIVE.search(prose)),
        bag=_hash(" ".join([*sorted(content), shape]), secret),
        order=_hash(order, secret),
        length=len(text),
        script=_script(text),
        check=_hash("", secret),
    )


def _plain(text: str) -> str:
    """With one way to write what has several: quotation marks, minus, percent, 1,000 and figures such as ½ and Ⅳ."""
    text = _FIGURE.sub(lambda found: f" {unicodedata.numeric(found[0]):g} ", text)
    text = unicodedata.normalize("NFKC", text).replace("\u2019", "'").replace("\u2212", "-").replace('""', '"')
    return _PERCENT.sub("%", _THOUSANDS.sub("", text))


def _quoted(text: str) -> Iterator[str]:
    for found in _QUOTED.findall(text):
        yield " ".join(map(_stem, _WORD.findall("".join(found).casefold())))
    yield from (character for character in text if unicodedata.category(character) == "So")  # emoji


def _hash(item: str, secret: bytes) -> int:
    digest = blake2b(item.encode("utf-8", "surrogatepass"), digest_size=4, key=secret).digest()
    return int.from_bytes(digest, "big")


def _stem(word: str) -> str:
    word = word.casefold().removesuffix("'s").replace(".", "").replace("-", "")
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    if word == "usa":
        return "us"
    return word[:-1] if len(word) > 5 and word.endswith("an") else word  # Indian, India


def _names(prose: str) -> Iterator[str]:
    end = 0
    for found in _WORD.finditer(prose):
        opens = end == 0 or bool(_OPENING.search(prose, end, found.start()))
        end = found.end()
        if _is_name(found[0], opens=opens):
            yield found[0]


def _is_name(word: str, *, opens: bool) -> bool:
    if word.casefold() in _EMPTY or word.startswith("I'"):
        return False
    return "_" in word or word[1:] != word[1:].lower() or (word != word.lower() and not opens)


def _choices(words: Sequence[str]) -> Iterator[int]:
    for word, after in itertools.pairwise([*words, ""]):
        yield from _MEANINGS.get(word, ())
        yield from _MEANINGS.get(f"{word}_{after}", ())


def _question(words: Sequence[str]) -> str:
    for word, after in itertools.pairwise([*words, ""]):
        asked = _ASKS.get(f"{word}_{after}", _ASKS.get(word))
        if asked is not None:
            return asked
    return ""


def _order(words: Sequence[str]) -> tuple[str, str]:
    """How many words stand between those of relation, and which; those joined by "and" or "or" are sorted."""
    text = " ".join("~" if word in LINKS else _stem(word) for word in words if word not in FILLERS)
    groups = [group.split() for group in text.split("~")]
    ordered = [group if JOINTS.isdisjoint(group) else sorted(group) for group in groups]
    return " ".join(str(len(group)) for group in groups), "~".join(" ".join(group) for group in ordered)


def _script(text: str) -> str:
    letters = itertools.islice(filter(str.isalpha, text), _MOST_LETTERS)
    scripts = Counter(unicodedata.name(letter, "?").split()[0].split("-")[0] for letter in letters)
    scripts["CJK"] += scripts.pop("HIRAGANA", 0) + scripts.pop("KATAKANA", 0)
    return max(scripts, key=scripts.__getitem__) if scripts.total() else ""
