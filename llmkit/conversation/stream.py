"""The answer of a conversation as a stream of text."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from weakref import ref

from openai.types.chat import ChatCompletion

from llmkit.conversation.turn import RunningTurn
from llmkit.streaming.sources import OwnedStream


class ConversationStream(OwnedStream[str]):
    """The pieces of the answer's text: `async for text in stream`; the request is made when iteration starts.

    Leave it early inside `async with` (or `await stream.aclose()`): the history then has what had arrived, marked as
    not complete, at once. Without, it has it when the stream is collected.
    """

    def __init__(
        self, turn: RunningTurn, run: Callable[[RunningTurn, ref[ConversationStream]], AsyncGenerator[str, None]]
    ) -> None:
        self._turn = turn
        # A weak reference: the generator must not keep alive the stream that somebody drops.
        self._texts = run(turn, ref(self))

    @property
    def reply(self) -> ChatCompletion | None:
        """The last answer of the model as a whole, once its stream has ended."""
        return self._turn.reply

    async def aclose(self) -> None:
        """End the answer here."""
        await self._texts.aclose()

    async def __anext__(self) -> str:
        return await anext(self._texts)
