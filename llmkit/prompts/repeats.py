"""Long passages that were sent before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from llmkit.context.items import Item
from llmkit.prompts.texts import is_json, keep_smaller, map_texts, pieces
from llmkit.tokens import count_text

_LEAST: Final = 32  # tokens: a pointer must be shorter than what it stands for
_PLACES: Final = 8  # where a line stands: the first few are looked at
_BEGINNING: Final = 60  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class drop_repeats:
    """Replace whole lines that stand verbatim in an earlier text by a pointer to it, when they are `min_tokens` long.

    The first occurrence stays; a fenced block or a JSON text is replaced as a whole or not at all. Stub or trim first:
    a pointer is no use when what it points to goes.
    """

    min_tokens: int = 64

    def __post_init__(self) -> None:
        if self.min_tokens < _LEAST:
            raise ValueError(f"min_tokens={self.min_tokens!r} is too few; use at least {_LEAST}")

    def __call__(self, messages: Sequence[Item], *, model: str) -> list[Item]:
        """The messages with each long repeat replaced."""
        seen = _Seen()
        changed = [map_texts(message, lambda text: self._drop(text, seen, model)) for message in messages]
        return keep_smaller(messages, changed, model=model)

    def _drop(self, text: str, seen: _Seen, model: str) -> str:
        units, kept, index = _units(text), list[str](), 0
        while index < len(units):
            length = seen.longest(units, index)
            run = "\n".join(units[index : index + length])
            if len(run.encode("utf-8", "replace")) >= self.min_tokens <= count_text(run, model=model):
                beginning = run.strip().partition("\n")[0][:_BEGINNING]
                kept.append(f'[Repeats the earlier text that begins "{beginning}"]')
                index += length
                continue
            kept.append(units[index])
            seen.add(units[index])
            index += 1
        seen.end()
        return "\n".join(kept)


class _Seen:
    """The lines kept so far, in their order."""

    def __init__(self) -> None:
        self._units: list[str | None] = []
        self._places: dict[str, list[int]] = {}

    def add(self, unit: str) -> None:
        places = self._places.setdefault(unit, [])
        if len(places) < _PLACES:
            places.append(len(self._units))
        self._units.append(unit)

    def end(self) -> None:
        """End the text: no run reaches from one into the next."""
        self._units.append(None)

    def longest(self, units: list[str], start: int) -> int:
        """How many of the units from `start` on stand in a row among those kept."""
        if not units[start].strip():
            return 0
        return max((self._same(units, start, place) for place in self._places.get(units[start], ())), default=0)

    def _same(self, units: list[str], start: int, place: int) -> int:
        length = 0
        for unit, kept in zip(units[start:], self._units[place:], strict=False):
            if unit != kept:
                break
            length += 1
        return length


def _units(text: str) -> list[str]:
    """The lines of a text, a fenced block or a JSON text being one; joined by line breaks they are the text."""
    if is_json(text):
        return [text]
    units: list[str] = []
    for piece in pieces(text):
        body = piece.text.removesuffix("\n")
        units += body.split("\n") if piece.language is None else [body]
    return [*units, ""] if text.endswith("\n") else units
