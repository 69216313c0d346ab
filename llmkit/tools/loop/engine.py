"""What a loop does next, one thing at a time."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import anyio

from llmkit.tools.call import ToolCall
from llmkit.tools.loop.answer import final_step
from llmkit.tools.loop.model import Model
from llmkit.tools.loop.open_calls import OpenCalls
from llmkit.tools.loop.reply import Incoming, Narrator, Reply
from llmkit.tools.loop.state import State
from llmkit.tools.loop.steps import Announced, Final, Reason, Step, Waiting
from llmkit.tools.loop.wire import JSONObject

Checkpoint: TypeAlias = Callable[[dict[str, Any]], Awaitable[None] | None]
"""Stores a state; async, or plain and quick."""


class Engine:
    """Turns a state into the next one: asks the model, has tools run, tells what has happened.

    Nothing but the model's stream is open between two steps, and each change of the state is made at once, so that
    it can be saved at any time.
    """

    def __init__(
        self, state: State, *, model: Model, calls: OpenCalls, response_format: Any, checkpoint: Checkpoint | None
    ) -> None:
        self.state = state
        self._model = model
        self._open = calls
        self._response_format = response_format
        self._checkpoint = checkpoint
        self._storing = anyio.Lock()
        self._narrator = Narrator(step=1)
        self._incoming: Incoming | None = None
        self._steps: AsyncGenerator[Announced, None] | None = None
        self._reply: Reply | None = None
        self._told_waiting = False

    def look_again(self) -> None:
        """Tell what is waited for once more, if anything is."""
        self._told_waiting = False

    async def advance(self) -> Step | None:
        """Do one thing; the step it makes, if any."""
        state = self.state
        if self._steps is not None:
            return await self._receive(self._steps)
        if state.to_tell:
            return state.to_tell.pop(0)
        if state.reply is not None:
            return self._finish()
        if state.calls:
            return await self._serve_calls()
        await self._ask()
        return None

    async def _ask(self) -> None:
        self._narrator = Narrator(step=self.state.steps + 1)
        if not self._model.streams:
            await self._take(await self._model.ask(self.state))
            return
        self._incoming = self._model.listen(self.state, self._narrator)
        self._steps = self._incoming.steps()

    async def _receive(self, steps: AsyncGenerator[Announced, None]) -> Step | None:
        try:
            step = await anext(steps, None)
        except BaseException:
            self._steps = None
            raise
        if step is None and self._incoming is not None:
            self._steps = None
            await self._take(self._incoming.whole())
        return step

    async def _take(self, reply: Reply) -> None:
        state = self.state
        state.steps += 1
        state.usage += reply.usage
        state.to_tell = self._narrator.rest(reply, total=state.usage)
        if reply.calls:
            state.last, state.calls = reply.items, self._open.opened(reply.calls)
        else:
            state.history += reply.items
            self._reply, state.reply = reply, reply.raw.to_dict(mode="json", warnings=False)
        if self._model.keeps_history:
            state.at_server = len(state.history) + len(state.last)
        await self.store()

    async def _serve_calls(self) -> Step | None:
        """Run what can run, then tell the results, then wait; in the end all of them go into the history."""
        calls = self.state.calls
        if ready := self._open.ready(calls):
            await self._open.run(ready, when_done=self.store)
        for one in calls:
            if one.result is not None and not one.told:
                one.told = True
                return one.result
        if reasons := self._open.waiting(calls):
            return self._wait(reasons)
        self.state.history, self.state.last, self.state.calls = self.with_results(), [], []
        return None

    def with_results(self) -> list[JSONObject]:
        """The history with the last reply and the results of its calls; empty when there are none, or not all."""
        state = self.state
        results = [one.result for one in state.calls if one.result is not None]
        if not results or len(results) < len(state.calls):
            return []
        return [*state.history, *state.last, *self._model.api.result_items(results, state.last)]

    def _wait(self, reasons: Mapping[str, Reason]) -> Waiting:
        if self._told_waiting:
            raise StopAsyncIteration
        self._told_waiting = True
        return Waiting(calls=self.waiting(), reasons=reasons)

    def _finish(self) -> Final:
        final = None if self.state.told else self.final()
        if final is None:
            raise StopAsyncIteration
        self.state.told = True
        return final

    def final(self) -> Final | None:
        """The last step, once the model has answered."""
        saved = self.state.reply
        if saved is None:
            return None
        self._reply = self._reply or self._model.api.read(self._model.api.restored(saved))
        return final_step(
            self._reply,
            response_format=self._response_format,
            usage=self.state.usage,
            messages=list(self.state.history),
        )

    def waiting(self) -> tuple[ToolCall, ...]:
        """The calls that cannot be run here, or not yet."""
        reasons = self._open.waiting(self.state.calls)
        return tuple(one.call for one in self.state.calls if one.call.id in reasons)

    async def close(self) -> None:
        """Close the model's stream."""
        steps, self._steps = self._steps, None
        if steps is not None:
            await steps.aclose()

    async def store(self) -> None:
        """Hand the state to whoever keeps it."""
        if self._checkpoint is None:
            return
        async with self._storing:  # so that no state is stored after a later one
            stored = self._checkpoint(self.state.to_json())
            if inspect.isawaitable(stored):
                await stored
