"""Why two texts must not share an answer, however alike their embeddings are."""

from __future__ import annotations

from collections.abc import Iterator

from llmkit.cache.semantic.fingerprint import ALTERNATIVES, REASONS, Marks

_LONGER = 3.0
"""Times: among alike questions of Quora, those of twice the length were the same no less often than others."""
_SHORT = 20
"""Characters, below which length says nothing."""


def objection(asked: Marks, cached: Marks) -> str | None:
    """Say in a few words why the answer to `cached` must not be given to `asked`; None when nothing speaks against it.

    "marks of another secret", "other numbers", "other signs", "a negation", "other names", "other quotes",
    "another order", "another question word", "another script", "another length", "the opposite", "other units",
    "another date", "another language".
    """
    return next(objections(asked, cached), None)


def objections(asked: Marks, cached: Marks) -> Iterator[str]:
    """All that speaks against it."""
    if asked.check != cached.check:
        yield "marks of another secret"
    else:
        yield from _differences(asked, cached)


def _differences(asked: Marks, cached: Marks) -> Iterator[str]:
    if asked.numbers != cached.numbers:
        yield "other numbers"
    if asked.signs != cached.signs:
        yield "other signs"
    if asked.negated != cached.negated:
        yield "a negation"
    if asked.names - cached.words or cached.names - asked.words:
        yield "other names"
    if asked.quoted and cached.quoted and asked.quoted != cached.quoted:
        yield "other quotes"
    if asked.bag == cached.bag and asked.order != cached.order:
        yield "another order"
    if asked.question and cached.question and asked.question != cached.question:
        yield "another question word"
    if asked.script != cached.script:
        yield "another script"
    shorter, longer = sorted((asked.length, cached.length))
    if longer > _LONGER * max(shorter, _SHORT):
        yield "another length"
    yield from _other_choices(asked, cached)


def _other_choices(asked: Marks, cached: Marks) -> Iterator[str]:
    """Rows of which both choose something, and not the same."""
    for row in sorted(_rows(asked.choices) & _rows(cached.choices) & _rows(asked.choices ^ cached.choices)):
        yield REASONS[row]


def _rows(choices: frozenset[int]) -> set[int]:
    return {choice // ALTERNATIVES for choice in choices}
