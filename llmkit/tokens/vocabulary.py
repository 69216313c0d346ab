"""The two vocabularies, shipped with the package: nothing is downloaded, registered or read from the environment."""

from __future__ import annotations

import importlib.resources
import lzma
import re
import threading
from typing import TYPE_CHECKING, Final

from llmkit.forks import begin_anew_in_children
from llmkit.tokens.families import family_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiktoken import Encoding

# Patterns and special tokens are those of tiktoken_ext.openai_public; a test compares them.
PATTERNS: Final = {
    "cl100k_base": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    ),
    "o200k_base": "|".join(
        (
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
            r"\p{N}{1,3}",
            r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        )
    ),
}
SPECIAL_TOKENS: Final = {
    "cl100k_base": {
        "<|endoftext|>": 100257,
        "<|fim_prefix|>": 100258,
        "<|fim_middle|>": 100259,
        "<|fim_suffix|>": 100260,
        "<|endofprompt|>": 100276,
    },
    "o200k_base": {"<|endoftext|>": 199999, "<|endofprompt|>": 200018},
}
START_UP: Final = 2.0
"""Seconds from the first call of a process to the loading: until then it has enough to do, or it is a short script."""
LONGEST_SPACE: Final = 500_000  # characters; tiktoken 0.14 panics at about 999,000

_RUN = re.compile(r"\s{64,}+")
_loaded: dict[str, Encoding] = {}


class _Loading:
    """What is being loaded; a forked child has neither its parent's threads nor what they have begun."""

    def begin(self) -> None:
        """Load nothing."""
        self.lock = threading.Lock()
        self.begun: set[str] = set()
        self.beginning = threading.Lock()


_loading = _Loading()
begin_anew_in_children(_loading)


def is_loaded(model: str) -> bool:
    """Say whether counting for `model` can start at once; if not, the first count takes about 0.3 s of CPU.

    An async caller runs that first count (or `load`) in a thread.
    """
    return family_of(model).vocabulary in _loaded


def load_soon(model: str) -> None:
    """Load the vocabulary of `model` in a thread of its own `START_UP` seconds from now, if it is not to be already."""
    name = family_of(model).vocabulary
    with _loading.beginning:
        if name in _loading.begun:
            return
        _loading.begun.add(name)
    loading = threading.Timer(START_UP, encoding, (name,))
    loading.name, loading.daemon = f"llmkit-{name}", True
    loading.start()


def load(model: str) -> Encoding:
    """Return the vocabulary of `model` as a `tiktoken.Encoding`, loading it once per process."""
    return encoding(family_of(model).vocabulary)


def encoding(name: str) -> Encoding:
    """Return "o200k_base" or "cl100k_base", loading it once per process, whatever the number of threads."""
    loaded = _loaded.get(name)
    if loaded is not None:
        return loaded
    with _loading.lock:
        if name not in _loaded:
            _loaded[name] = _build(name)
    return _loaded[name]


def text_length(name: str, text: str) -> int:
    """Return the tokens of `text` in vocabulary `name`; special tokens in it count as the plain text they are."""
    encode = encoding(name).encode_ordinary
    if len(text) < LONGEST_SPACE:
        return len(encode(text))
    return sum(len(encode(piece)) for piece in _cut(text))


def _build(name: str) -> Encoding:
    import tiktoken

    ranks = {token: rank for rank, token in enumerate(tokens_by_rank(name))}
    return tiktoken.Encoding(
        name, pat_str=PATTERNS[name], mergeable_ranks=ranks, special_tokens=dict(SPECIAL_TOKENS[name])
    )


def tokens_by_rank(name: str) -> Iterator[bytes]:
    """Yield the tokens of data/NAME.xz in order of rank: there, one length byte and the token's bytes."""
    packed = importlib.resources.files("llmkit.tokens").joinpath("data", f"{name}.xz").read_bytes()
    data = lzma.decompress(packed)
    at, end = 0, len(data)
    while at < end:
        start = at + 1
        at = start + data[at]
        yield data[start:at]


def _cut(text: str) -> Iterator[str]:
    """Split `text` inside every run of white space that is too long for tiktoken."""
    at = 0
    for run in _RUN.finditer(text):  # each run once: its length is looked at afterwards
        for end in range(run.start() + LONGEST_SPACE, run.end() + 1, LONGEST_SPACE):
            yield text[at:end]
            at = end
    yield text[at:]
