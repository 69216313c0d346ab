"""Results no longer than a model should read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from llmkit.context.truncate import cut
from llmkit.runtime import Runtime
from llmkit.streaming.surrogates import sendable
from llmkit.tokens import count_text
from llmkit.tools.parts import Part, TextPart

CHARS_A_TOKEN: Final = 16
"""Text with more characters a token than this is rare; longer texts are counted as if they had as many tokens."""
_MODEL: Final = "gpt-4o"
_MARKER: Final = 200  # characters: room for the marker of a cut
_SAMPLE: Final = 20_000  # characters
_LEAST: Final = 32  # tokens: room for a marker and some text
_RUN: Final = re.compile(r"\S{250}|\s{250}")
"""Where a text is cut to be counted: tiktoken needs time that grows with the square of such a run."""


def fits(parts: tuple[Part, ...], tokens: int) -> bool:
    """Whether the parts are, at a glance, one text that can be sent as it is."""
    part = parts[0]
    return len(parts) == 1 and type(part) is TextPart and len(part.text) <= tokens and part.text.isascii()


async def capped(parts: tuple[Part, ...], tokens: int, runtime: Runtime) -> tuple[tuple[Part, ...], bool]:
    """The parts with texts that can be sent and have at most `tokens` tokens in all, and whether any was cut.

    Tokens are those of gpt-4o. Counting and cutting are done off the event loop, and only for what may be too long.
    """
    if fits(parts, tokens):
        return parts, False
    parts = tuple(map(_sendable, parts))
    if sum(_bytes(part) for part in parts) <= tokens:
        return parts, False
    return await runtime.run_blocking(lambda: _cut(parts, tokens))


def _cut(parts: Sequence[Part], tokens: int) -> tuple[tuple[Part, ...], bool]:
    """Texts in their order as long as there is room: the first that has too little is cut, the rest are left out."""
    count = _counter(tokens)
    sizes = [count(part.text) if isinstance(part, TextPart) else 0 for part in parts]
    if sum(sizes) <= tokens:
        return tuple(parts), False
    kept, dropped = list[Part](), 0
    left = tokens if sum(map(bool, sizes)) == 1 else tokens - _LEAST
    for part, size in zip(parts, sizes, strict=True):
        if not isinstance(part, TextPart) or size <= left:
            kept.append(part)
            left -= size
            continue
        if left >= min(_LEAST, tokens):
            kept.append(TextPart(text=cut(part.text, left, count)))
        else:
            dropped += 1
        left = 0
    if dropped:
        kept.append(TextPart(text=f"[... {dropped} more cut ...]"))
    return tuple(kept), True


def _counter(tokens: int) -> Callable[[str], int]:
    """Counts tokens: exactly for what may fit into `tokens`, by a sample and never too few to be cut for the rest."""
    longest = tokens * CHARS_A_TOKEN + _MARKER

    def count(text: str) -> int:
        if len(text) <= longest:
            return _count(text)
        sample = text[:_SAMPLE]
        return max(len(text) // CHARS_A_TOKEN + 1, len(text) * _count(sample) // len(sample))

    return count


def _count(text: str) -> int:
    """The tokens of a text; a few too many where it has no spaces for hundreds of characters."""
    return sum(count_text(piece, model=_MODEL) for piece in _pieces(text))


def _pieces(text: str) -> Iterator[str]:
    start = 0
    for run in _RUN.finditer(text):
        yield text[start : run.end()]
        start = run.end()
    yield text[start:]


def _bytes(part: Part) -> int:
    """A bound on the tokens of a part's text: none is shorter than a byte."""
    return len(part.text.encode()) if isinstance(part, TextPart) else 0


def _sendable(part: Part) -> Part:
    """A part without halves of surrogate pairs, which no JSON in UTF-8 can carry."""
    if not isinstance(part, TextPart):
        return part
    text = sendable(part.text)
    return part if text is part.text else TextPart(text=text)
