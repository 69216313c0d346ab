"""One turn while it runs: from what the user says, over tool calls, to the answer."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias

import openai
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion

from llmkit.conversation.errors import NoAnswer, TooManySteps
from llmkit.conversation.gate import Gate
from llmkit.conversation.records import JSONObject
from llmkit.conversation.tools import RunTool, run_calls
from llmkit.usage.totals import Usage

MakeBody: TypeAlias = Callable[[Sequence[JSONObject]], JSONObject]
"""The request's body, given the messages of the turn so far."""


def user_message(content: str | Iterable[Any]) -> JSONObject:
    """What the user says, as a message that later changes to `content` do not reach."""
    if isinstance(content, str):
        return _sendable({"role": "user", "content": content})
    return _sendable({"role": "user", "content": json.loads(json.dumps(list(content)))})


class RunningTurn:
    """Nothing of it is in the history until it is over."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        user: JSONObject,
        make_body: MakeBody,
        run_tool: RunTool | None,
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
        self._run_tool = run_tool
        self._max_steps = max_steps
        self._heard: list[str] = []

    async def answer(self) -> ChatCompletion:
        """Call the model, and the tools it asks for, until it answers."""
        for _ in range(self._max_steps):
            reply: ChatCompletion = await self._create(**self._make_body(self.messages))
            if await self._take(reply):
                return reply
        raise self._too_many_steps()

    async def texts(self) -> AsyncGenerator[str, None]:
        """The same as a stream that yields the pieces of text."""
        for _ in range(self._max_steps):
            state = ChatCompletionStreamState[None]()
            async with aclosing(self._pieces(state)) as pieces:
                async for piece in pieces:
                    self._heard.append(piece)
                    yield piece
            if await self._take(state.get_final_completion()):
                return
        raise self._too_many_steps()

    def cut(self) -> bool:
        """End the turn with what has arrived; False when nothing has."""
        if self._heard:
            self.messages.append(_sendable({"role": "assistant", "content": "".join(self._heard)}))
        self.complete = False
        return len(self.messages) > 1

    async def _pieces(self, state: ChatCompletionStreamState[None]) -> AsyncGenerator[str, None]:
        body = {"stream_options": {"include_usage": True}, **self._make_body(self.messages)}
        arrived = False
        async with await self._create(**body, stream=True) as chunks:
            async for chunk in chunks:
                state.handle_chunk(chunk)
                arrived = arrived or bool(chunk.choices)
                for choice in chunk.choices:
                    if choice.delta.content:
                        yield choice.delta.content
        if not arrived:
            raise _no_answer()

    async def _take(self, reply: ChatCompletion) -> bool:
        """Add the reply and the results of its tool calls; True when it is the answer."""
        self.usage += Usage.of(reply.usage, model=reply.model)
        if not reply.choices:
            raise _no_answer()
        message = _assistant_message(reply)
        calls = message.get("tool_calls", [])
        with self._gate.tools_run():
            results = await run_calls(calls, self._run_tool)
        self.messages += [_sendable(one) for one in (message, *results)]
        self._heard.clear()
        self.reply = reply
        self.complete = bool(reply.choices[0].finish_reason)  # none: the stream broke off without an error
        return not calls

    def _too_many_steps(self) -> TooManySteps:
        return TooManySteps(
            f"The model asked for tools {self._max_steps} times and gave no answer; the turn is not kept. "
            "Raise max_steps, or see what the tools return."
        )


def _no_answer() -> NoAnswer:
    return NoAnswer("The server answered without a choice; the turn is not kept. Send it again.")


def _assistant_message(reply: ChatCompletion) -> JSONObject:
    """The reply's message as the API takes it back."""
    given = reply.choices[0].message
    message: JSONObject = {"role": "assistant", "content": given.content}
    if given.refusal:
        message["refusal"] = given.refusal
    if given.tool_calls:
        message["tool_calls"] = [_call(call.model_dump(exclude_none=True)) for call in given.tool_calls]
    elif given.content is None and not given.refusal:
        message["content"] = ""  # the API takes no assistant message that says nothing at all
    return message


def _call(call: JSONObject) -> JSONObject:
    """The call without what only a stream has; what providers add stays, as some want it back."""
    return {name: value for name, value in call.items() if name != "index"}


def _sendable(message: JSONObject) -> JSONObject:
    """The message without halves of surrogate pairs, such as a cut emoji: the SDK could never send it again."""
    text = json.dumps(message, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        whole: JSONObject = json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
        return whole
    return message
