"""What a loop does next, one thing at a time."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeAlias, cast

import anyio

from llmkit.tools.call import ToolCall
from llmkit.tools.cancelling import outcome_of, start, stop
from llmkit.tools.loop.calls import Calls
from llmkit.tools.loop.chat import Chat
from llmkit.tools.loop.reply import Narrator, Reply
from llmkit.tools.loop.responses import Responses
from llmkit.tools.loop.settings import Settings
from llmkit.tools.loop.state import OpenCall, State
from llmkit.tools.loop.steps import Announced, Final, Step, Waiting
from llmkit.tools.loop.toolset import Toolset
from llmkit.tools.loop.wire import JSONObject
from llmkit.tools.threads import Outcome, result_of

Checkpoint: TypeAlias = Callable[[dict[str, Any]], Awaitable[None] | None]
"""Stores a state; async, or plain and quick."""


class Engine:
    """Turns a state into the next one: asks the model, has tools run, tells what has happened.

    Between two steps the model's stream may be open, or tools may run, in a task of their own. Each change of the
    state is made at once, so that it can be saved at any time.
    """

    def __init__(
        self,
        state: State,
        *,
        api: Chat | Responses,
        settings: Settings,
        tools: Toolset,
        calls: Calls,
        response_format: Any,
        checkpoint: Checkpoint | None,
    ) -> None:
        self.state = state
        self._api = api
        self._settings = settings
        self._tools = tools
        self._calls = calls
        self._response_format = response_format
        self._format = {} if response_format is None else api.answer_format(response_format, settings.options)
        self._checkpoint = checkpoint
        self._storing = anyio.Lock()
        self._narrator = Narrator(step=1)
        self._incoming: AsyncGenerator[Announced | Reply, None] | None = None
        self._reply: Reply | None = None
        self._told_waiting = False
        self._batch: asyncio.Task[Outcome] | None = None
        self._news: asyncio.Future[None] | None = None

    @property
    def tool_names(self) -> list[str]:
        """Of all tools but those that the server runs."""
        return self._tools.registry.names

    @property
    def external_tools(self) -> list[str]:
        """Of tools without a function."""
        return [tool.name for tool in self._tools.registry if tool.function is None]

    async def advance(self) -> Step | None:
        """Do one thing; the step it makes, if any."""
        state = self.state
        if self._incoming is not None:
            return await self._receive(self._incoming)
        if state.to_tell:
            return state.to_tell.pop(0)
        if state.reply is not None:
            return self._finish()
        if state.calls:
            return await self._serve_calls()
        body = self._request()
        self._narrator = Narrator(step=state.steps + 1)
        self._incoming = self._api.ask(body, self._narrator)
        return None

    async def submit(self, submissions: Any) -> None:
        """Take results and decisions about waiting calls."""
        await self._calls.submit(self.state.calls, submissions)
        self.look_again()
        await self._store()

    def look_again(self) -> None:
        """Tell what is waited for once more, if anything is."""
        self._told_waiting = False

    def messages(self) -> list[JSONObject]:
        """The history, with the last reply once all its calls have results."""
        state = self.state
        results = [one.result for one in state.calls if one.result is not None]
        if not results or len(results) < len(state.calls):
            return list(state.history)
        return [*state.history, *state.last, *self._api.result_items(results, state.last)]

    def waiting(self) -> tuple[ToolCall, ...]:
        """The calls that cannot be run here, or not yet."""
        reasons = self._calls.waiting(self.state.calls)
        return tuple(one.call for one in self.state.calls if one.call.id in reasons)

    def final(self) -> Final | None:
        """The last step, once the model has answered; raises when the answer cannot be what was asked for."""
        reply = self.answer()
        if reply is None:
            return None
        return Final(
            text=reply.text,
            parsed=reply.parsed(self._response_format),
            refusal=reply.refusal,
            finish_reason=reply.finish_reason,
            messages=list(self.state.history),
            usage=self.state.usage,
            reply=reply.raw,
        )

    def answer(self) -> Reply | None:
        """The reply that is the answer, if it has come."""
        saved = self.state.reply
        if saved is not None and self._reply is None:
            self._reply = self._api.restored(saved)
        return self._reply

    async def close(self) -> None:
        """Close the model's stream, and cancel the tools that run."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            await incoming.aclose()
        batch, self._batch = self._batch, None
        if batch is not None:
            await stop([batch])

    def _request(self) -> JSONObject:
        """The next request, unless a ceiling is reached."""
        state, settings = self.state, self._settings
        settings.limits.check(
            steps=state.steps,
            usage=state.usage,
            model=settings.model,
            messages=list(state.history),
            metered=state.metered,
        )
        body = settings.request(self._tools, first=not state.steps) | self._format
        return {**body, self._api.field: state.history[state.at_server :]}

    async def _receive(self, incoming: AsyncGenerator[Announced | Reply, None]) -> Step | None:
        try:
            arrived = await anext(incoming)
        except BaseException:
            self._incoming = None
            raise
        if not isinstance(arrived, Reply):
            return arrived
        await self.close()
        await self._take(arrived)
        return None

    async def _take(self, reply: Reply) -> None:
        state = self.state
        state.steps += 1
        state.usage += reply.usage
        state.metered = state.metered and (reply.cached or reply.usage.total_tokens > 0)
        state.to_tell = self._narrator.rest(reply, total=state.usage)
        if reply.calls:
            state.last, state.calls = reply.items, self._calls.opened(reply.calls)
        else:
            state.history += reply.items
            self._reply, state.reply = reply, _saved(reply)
        if self._settings.options.get("conversation"):  # the server adds each reply to it
            state.at_server = len(state.history) + len(state.last)
        await self._store()

    async def _serve_calls(self) -> Step | None:
        """Run what can run and tell the results as they come, then wait; in the end all go into the history."""
        calls = self.state.calls
        if self._batch is None and (ready := self._calls.ready(calls)):
            self._batch = start(outcome_of(partial(self._calls.run, ready, when_done=self._one_done)))
        while (untold := _untold(calls)) is None and self._batch is not None:
            await self._progress(self._batch)
        if untold is not None:
            untold.told = True
            return untold.result
        if reasons := self._calls.waiting(calls):
            if self._told_waiting:
                raise StopAsyncIteration
            self._told_waiting = True
            return Waiting(calls=self.waiting(), reasons=reasons)
        self.state.history, self.state.last, self.state.calls = self.messages(), [], []
        return None

    async def _progress(self, batch: asyncio.Task[Outcome]) -> None:
        """Wait for a result or for the last of them; the tools are cancelled with whoever waits."""
        self._news = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait((batch, cast("asyncio.Future[Any]", self._news)), return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            await self.close()
            raise
        if batch.done():
            self._batch = None
            result_of(batch.result())

    async def _one_done(self) -> None:
        try:
            await self._store()
        finally:
            if self._news is not None and not self._news.done():
                self._news.set_result(None)

    def _finish(self) -> Final:
        final = None if self.state.told else self.final()
        if final is None:
            raise StopAsyncIteration
        self.state.told = True
        return final

    async def _store(self) -> None:
        """Hand the state to whoever keeps it."""
        if self._checkpoint is None:
            return
        async with self._storing:  # so that no state is stored after a later one
            stored = self._checkpoint(self.state.to_json())
            if inspect.isawaitable(stored):
                await stored


def _untold(calls: Iterable[OpenCall]) -> OpenCall | None:
    return next((one for one in calls if one.result is not None and not one.told), None)


def _saved(reply: Reply) -> JSONObject:
    """The reply as a state has it: without what servers repeat of a request's keys."""
    saved: JSONObject = reply.raw.to_dict(mode="json", warnings=False)
    for tool in saved.get("tools") or ():
        for secret in ("authorization", "headers"):
            tool.pop(secret, None)
    return saved
