"""Answers to questions that mean the same as the one that is asked."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from llmkit.cache.entry import Entry
from llmkit.cache.key import Keys, digest
from llmkit.cache.semantic.agreement import counted
from llmkit.cache.semantic.filling import Filling, bytes_of
from llmkit.cache.semantic.fingerprint import Marks, marks
from llmkit.cache.semantic.guards import objection
from llmkit.cache.semantic.question import split
from llmkit.cache.semantic.vectors import Embed, Vectors
from llmkit.cache.shelf import Shelf
from llmkit.cache.trouble import Trouble, Unavailable
from llmkit.cache.vectors.index import Neighbour, VectorIndex
from llmkit.record import SimilarQuestion, logger
from llmkit.request import Request
from llmkit.streaming.facts import answer_text
from llmkit.structure import read_json

_NEIGHBOURS = 5
"""Looked at, best first, until the guards have nothing against one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How questions are compared; `SemanticCache` has the meaning."""

    threshold: float
    embedding_model: str
    embed: Embed | None
    shadow: bool
    explain: bool
    secret: bytes
    agree: Callable[[str, str], bool]


class SimilarAnswers:
    """Finds them among the entries of a store, by the embedding of the last user text."""

    def __init__(self, shelf: Shelf, keys: Keys, index: VectorIndex, settings: Settings) -> None:
        self.shelf = shelf
        self.index = index
        self.settings = settings
        self.filling = Filling(index, shelf.store)
        self._keys = keys
        self._trouble = Trouble("the index of a SemanticCache")
        self._vectors = Vectors(settings.embed, model=settings.embedding_model)

    async def find(self, request: Request, *, look: bool) -> Meaning | None:
        """What a request means, and the answer to one that means the same; None when it cannot be compared."""
        question = split(request.operation, request.body)
        if question is None:
            return None
        facts = self._keys.facts(request, question.rest) | {"embedding_model": self.settings.embedding_model}
        partition = digest(facts)
        assert partition is not None  # the whole request had a key
        with suppress(Unavailable):
            self._trouble.check(request.runtime.monotonic())  # before an embedding is paid for
            vector = await self._vectors.of(question.text, request)
            if vector is None:
                return None
            meaning = Meaning(self, request, question.text, partition, vector)
            if look:
                blocks = self.shelf.store.blocks or self.index.blocks
                await self.shelf.ask(request, meaning.look, about=self._trouble, blocks=blocks)
            return meaning
        return None

    def forget(self, keys: list[str]) -> None:
        """Take entries that have been dropped out of the index; may block."""
        self.index.remove(keys)


class Meaning:
    """What one question means; its answer is kept with it."""

    def __init__(
        self, answers: SimilarAnswers, request: Request, text: str, partition: str, vector: Sequence[float]
    ) -> None:
        self.entry: Entry | None = None
        self._answers = answers
        self._request = request
        self._text = text
        self._partition = partition
        self._vector = vector
        self._nearest: tuple[float, Entry] | None = None

    def facts(self) -> dict[str, Any]:
        """What is kept with the answer."""
        return {
            "partition": self._partition,
            "vector": bytes_of(self._vector),
            "marks": self._marks.to_json().decode(),
            "question": self._text if self._answers.settings.explain else None,
        }

    @functools.cached_property
    def _marks(self) -> Marks:
        """Made where it may block: a long text takes milliseconds."""
        return marks(self._text, secret=self._answers.settings.secret)

    def look(self) -> None:
        """Find the nearest question that the guards have nothing against; may block."""
        answers, now = self._answers, self._request.runtime.time()
        answers.filling.follow(now=now)
        for neighbour in self._near(now):
            entry = answers.shelf.store.get(neighbour.key, now=now)
            if entry is None or entry.partition != self._partition:
                answers.index.remove([neighbour.key])
            elif self._takes(neighbour, entry):
                break

    def kept(self, entry: Entry) -> None:
        """Have the answer found from now on; in shadow mode compare it with the one that would have been given."""
        answers = self._answers
        try:
            answers.filling.add(entry, now=entry.created_at)
            if self._nearest is not None:
                score, other = self._nearest
                agreed = answers.settings.agree(_text_of(other), _text_of(entry))
                answers.shelf.counters.add(counted(score, agreed=agreed))
        except Exception as error:  # noqa: BLE001 - the answer has been paid for and must not be lost
            logger.warning("what an answer means could not be noted (%s)", type(error).__name__)

    def _near(self, now: float) -> list[Neighbour]:
        try:
            return self._answers.index.search(self._partition, self._vector, most=_NEIGHBOURS, now=now)
        except ValueError as error:  # another length than before, when the user's function has changed
            logger.warning("a question could not be compared: %s", error)
            return []

    def _takes(self, neighbour: Neighbour, entry: Entry) -> bool:
        """Whether the search is over: with this answer, or because those that follow are further away."""
        settings, record = self._answers.settings, self._request.record
        against = _against(self._marks, entry)
        if record.similar is None or against is None:
            record.similar = SimilarQuestion(
                key=neighbour.key,
                score=neighbour.score,
                threshold=settings.threshold,
                objection=against,
                question=entry.question if settings.explain else None,
            )
        if against is not None:
            return neighbour.score < settings.threshold
        if settings.shadow:
            self._nearest = neighbour.score, entry
        elif neighbour.score >= settings.threshold:
            self.entry = entry
        return True


def _against(asked: Marks, entry: Entry) -> str | None:
    try:
        return objection(asked, Marks.from_json(entry.marks or ""))
    except ValueError:
        return "marks of another version"


def _text_of(entry: Entry) -> str:
    return answer_text(read_json(entry.body))
