"""What a benchmark is, what its measure is given, and the conversations that are sent."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a measure of importing must not find them imported
    import openai

MODEL = "gpt-4o-mini"
_WORD_LIST = """
about above account after again agree air all also always among answer any apple around ask autumn away back
basket because bed before begin below better between big bird blue boat both bread bridge bright bring build busy
buy call careful carry change child choose city clear close cold come corner cost cotton count country cover cup
daily dark day deep different door down draw dream drink dry each early earth east easy eat edge eight empty end
enough even evening every example eye face fair far farm fast few field find fire first floor follow food forest
forty four free fresh friend from front full garden gate general give glass gold good green ground grow half hand
"""
_WORDS = _WORD_LIST.split()


def text(seed: object, words: int = 45) -> str:
    """About 45 English words, always the same for the same seed."""
    return " ".join(random.Random(f"llmkit {seed}").choices(_WORDS, k=words)).capitalize() + "."


def message(seed: object, role: str = "user") -> dict[str, str]:
    """A message of about 45 words."""
    return {"role": role, "content": text(seed)}


def conversation(size: int, seed: object) -> list[dict[str, str]]:
    """So many messages: a system message, then users and assistants in turn."""
    roles = ["system", *(("user", "assistant")[i % 2] for i in range(size - 1))]
    return [message(f"{seed} {i}", role) for i, role in enumerate(roles[:size])]


class WrongAnswer(Exception):
    """A client gave something else than the server sent."""


def check(given: object, wanted: object) -> None:
    """Fail the run unless both are the same."""
    if given != wanted:
        raise WrongAnswer(f"the client gave {given!r:.200}, the server sent {wanted!r:.200}")


@dataclass(slots=True)
class Run:
    """What a measure is given: the kind of client, the server, a seed for this round, and how much to do."""

    kind: str
    url: str
    seed: int = 0
    factor: float = 1.0
    _clients: dict[int, openai.AsyncOpenAI] = field(default_factory=dict[int, "openai.AsyncOpenAI"])

    def times(self, count: int) -> int:
        """`count`, or less of it in a short run."""
        return max(1, round(count * self.factor))

    def client(self, count: int = 0) -> openai.AsyncOpenAI:
        """The client for answers of `count` pieces, the same one in each round."""
        if count not in self._clients:
            self._clients[count] = self.new_client(count)
        return self._clients[count]

    def new_client(self, count: int = 0, *, gate: int = 0, **options: Any) -> openai.AsyncOpenAI:
        """A new client of this kind as a user makes it, llmkit's with its default stack."""
        options |= {"base_url": f"{self.url}/{count}/{gate}/v1", "api_key": "sk-benchmark"}
        if self.kind == "raw":
            import openai

            return openai.AsyncOpenAI(**options)
        import llmkit

        if self.kind == "aiohttp" and "http_client" not in options:
            options["transport"] = "aiohttp"
        return llmkit.AsyncOpenAI(**options)

    def tags(self, **tags: str) -> AbstractContextManager[Any]:
        """llmkit's labels; the raw SDK has none."""
        if self.kind == "raw":
            return nullcontext()
        import llmkit

        return llmkit.tags(**tags)


Measure = Callable[[Run], Coroutine[Any, Any, dict[str, float]]]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; `key` is its figure's name in what the measure returns, `unit` s, B or 1/s."""

    key: str
    label: str
    unit: str = "s"
    more_is_better: bool = False


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A measure and its rows.

    `fresh` wants a new process for each round, `aiohttp` also llmkit on that transport, `scale` is only run on demand.
    """

    name: str
    measure: Measure
    rows: tuple[Row, ...]
    most_rounds: int = 100
    fresh: bool = False
    aiohttp: bool = False
    scale: bool = False
