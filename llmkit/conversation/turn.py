"""One turn while it runs: from what the user says, over tool calls, to the answer."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

import openai
from openai.types.chat import ChatCompletion

from llmkit.conversation.errors import NoAnswer, TooManySteps
from llmkit.conversation.gate import Gate
from llmkit.conversation.records import JSONObject
from llmkit.streaming.gather_chat import ChatGatherer
from llmkit.tools.loop.wire import assistant_message, sendable
from llmkit.usage.totals import Usage
from llmkit.usage.tracking import OneCall

RunTools: TypeAlias = Callable[[JSONObject], Awaitable[list[JSONObject]]]
"""The messages that answer the tool calls of an assistant message."""
MakeBody: TypeAlias = Callable[[Sequence[JSONObject]], JSONObject]
"""The request's body, given the messages of the turn so far."""


def user_message(content: str | Iterable[Any]) -> JSONObject:
    """What the user says, as a message that later changes to `content` do not reach."""
    if isinstance(content, str):
        return sendable({"role": "user", "content": content})
    return sendable({"role": "user", "content": json.loads(json.dumps(list(content)))})


class RunningTurn:
    """Nothing of it is in the history until it is over."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        user: JSONObject,
        make_body: MakeBody,
        run_tools: RunTools,
        max_steps: int,
        gate: Gate,
    ) -> None:
        self.messages: list[JSONObject] = [user]
        self.reply: ChatCompletion | None = None
        self.usage = Usage()
        self.complete = True
        self._gate = gate
        self._create: Any = client.chat.completions.create
        self._make_body = make_body
        self._run_tools = run_tools
        self._max_steps = max_steps
        self._heard: list[str] = []

    async def answer(self) -> ChatCompletion:
        """Call the model, and the tools it asks for, until it answers."""
        for _ in range(self._max_steps):
            used = OneCall()
            reply: ChatCompletion = await used.by(self._create(**self._make_body(self.messages)))
            if await self._take(reply, used):
                return reply
        raise self._too_many_steps()

    async def texts(self) -> AsyncGenerator[str, None]:
        """The same as a stream that yields the pieces of text."""
        for _ in range(self._max_steps):
            gatherer, used = ChatGatherer(), OneCall()
            async with aclosing(self._pieces(gatherer, used)) as pieces:
                async for piece in pieces:
                    self._heard.append(piece)
                    yield piece
            if await self._take(gatherer.completion, used):
                return
        raise self._too_many_steps()

    def cut(self) -> bool:
        """End the turn with what has arrived; False when nothing has."""
        if self._heard:
            self.messages.append(sendable({"role": "assistant", "content": "".join(self._heard)}))
        self.complete = False
        return len(self.messages) > 1

    async def _pieces(self, gatherer: ChatGatherer, used: OneCall) -> AsyncGenerator[str, None]:
        body = {"stream_options": {"include_usage": True}, **self._make_body(self.messages)}
        arrived = False
        async with await used.by(self._create(**body, stream=True)) as chunks:
            async for chunk in chunks:
                gatherer.add(chunk)
                arrived = arrived or bool(chunk.choices)
                for choice in chunk.choices or ():  # Azure's filter sends chunks without, and choices without delta
                    if text := getattr(getattr(choice, "delta", None), "content", None):
                        yield text
        if not arrived:
            raise _no_answer()

    async def _take(self, reply: ChatCompletion, used: OneCall) -> bool:
        """Add the reply and the results of its tool calls; True when it is the answer."""
        self.usage += used.usage(reply)
        if not reply.choices:
            raise _no_answer()
        message = sendable(assistant_message(reply.choices[0].message))
        with self._gate.tools_run():
            results = await self._run_tools(message)
        self.messages += [message, *results]
        self._heard.clear()
        self.reply = reply
        self.complete = bool(reply.choices[0].finish_reason)  # none: the stream broke off without an error
        return not results

    def _too_many_steps(self) -> TooManySteps:
        return TooManySteps(
            f"The model asked for tools {self._max_steps} times and gave no answer; the turn is not kept. "
            "Raise max_steps, or see what the tools return."
        )


def _no_answer() -> NoAnswer:
    return NoAnswer("The server answered without a choice; the turn is not kept. Send it again.")
