"""Which turns of a conversation are in memory, and which of them a prompt takes along."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from llmkit.context.groups import Group
from llmkit.context.strategies import newest
from llmkit.conversation.records import ConversationTurn, JSONObject
from llmkit.tokens import count_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepTurns:
    """A strategy that keeps the first messages and the newest turns, each whole."""

    first: int
    """The index where the messages to keep end: the few-shot examples go only when the current turn needs the room."""
    starts: frozenset[int]
    """The indexes where turns begin."""

    def __call__(self, groups: Sequence[Group], budget: int) -> list[Group]:
        """The first messages, and after them as many whole turns as fit."""
        examples = [group for group in groups if group.start < self.first]
        turns = groups[len(examples) :]
        rest = budget - sum(group.tokens for group in examples)
        if rest < groups[-1].tokens:
            examples, rest = [], budget
        kept = newest(turns, rest)
        while kept[0].start not in self.starts:
            del kept[0]
        return [*examples, *kept]


class Window:
    """The newest turns, as many as a prompt of `limit` tokens can possibly hold."""

    def __init__(self, *, limit: int, model: str) -> None:
        self._limit = limit
        self._model = model
        self._turns: deque[tuple[ConversationTurn, int]] = deque()
        self._tokens = 0

    @property
    def turns(self) -> tuple[ConversationTurn, ...]:
        """The turns in memory, oldest first."""
        return tuple(turn for turn, _ in self._turns)

    @property
    def is_full(self) -> bool:
        """Whether an older turn cannot fit any more."""
        return self._tokens >= self._limit

    def clear(self) -> None:
        """Let all turns go."""
        self._turns.clear()
        self._tokens = 0

    def add(self, turn: ConversationTurn) -> None:
        """Take a turn in, and let those go that cannot fit beside the newer ones."""
        count = count_tokens(turn.messages, model=self._model)
        self._turns.append((turn, count.total - count.priming))
        self._tokens += self._turns[-1][1]
        while self._tokens - self._turns[0][1] >= self._limit:
            self._tokens -= self._turns.popleft()[1]

    def messages(self, head: Sequence[JSONObject]) -> tuple[list[JSONObject], frozenset[int]]:
        """All messages in memory after those of the head, and the indexes where their turns begin."""
        messages, starts = list(head), set[int]()
        for turn, _ in self._turns:
            starts.add(len(messages))
            messages += turn.messages
        return messages, frozenset({*starts, len(messages)})
