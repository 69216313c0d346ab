"""ToolLoop: a model and its tools, step by step, over interruptions, people and processes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal, Self

import openai

from llmkit.streaming.sources import OwnedStream
from llmkit.tools.approval import Approve
from llmkit.tools.call import ToolCall
from llmkit.tools.loop.calls import Calls, Submissions
from llmkit.tools.loop.chat import Chat
from llmkit.tools.loop.engine import Checkpoint, Engine
from llmkit.tools.loop.errors import InvalidState, ToolLoopBusy
from llmkit.tools.loop.limits import Limits
from llmkit.tools.loop.reply import type_name
from llmkit.tools.loop.responses import Responses
from llmkit.tools.loop.settings import Settings, checked_options, history_of
from llmkit.tools.loop.state import State, damaged
from llmkit.tools.loop.steps import Final, Step
from llmkit.tools.loop.toolset import ToolChoice, Tools, Toolset
from llmkit.usage.totals import Usage


class ToolLoop(OwnedStream[Step]):
    """A model that calls tools until it answers, as steps to iterate: `async for step in loop`.

    Iteration ends after `Final`, and after `Waiting`: some calls then need a result from elsewhere or a person's
    decision. Hand them to `submit` and iterate on. `save` gives JSON after any step; `resume` goes on from it in
    another process. Leave early through `async with` or `aclose`, which closes the model's stream or cancels the tools
    that run; iterating on makes that call again. After any error the loop can be iterated on, too.

    Results are told as they come, in whatever order; the model gets them in the order of its calls.

    A tool that has finished never runs again: not when its siblings were interrupted, not after `resume`. One that
    was cut off in the middle does; where that matters, give it `ToolContext.call_id` as its idempotency key.

    Args:
        client: llmkit's AsyncOpenAI or the SDK's; tags and middleware see each call.
        model: The model to ask.
        messages: The Chat messages to begin with; this, or `input` for Responses.
        input: The input items or the text to begin with.
        tools: Functions, `Tool`s, registries, and dicts as the API takes them: hosted tools, and functions that run
            elsewhere (so do tools without a function).
        stream: Tell texts and arguments while they arrive; else each is one step.
        max_steps: Calls of the model; `ToolLoopLimit` is raised when it still wants tools after the last.
        max_tokens: Tokens of all calls, in and out, after which no other is made. (A bound on one answer is the
            request's `max_completion_tokens` or `max_output_tokens`.)
        max_cost: The same in US dollars; needs the extra `llmkit[prices]`.
        tool_choice: "auto", "none", "required", a tool's name, or a dict for the API. What forces a call holds for
            the first call of the model only: it could never answer otherwise.
        parallel_tool_calls: Whether the model may make several calls at once.
        response_format: The type of the answer, which is then `Final.parsed`; or a dict for the API.
        approve: Decides about calls of tools with `needs_approval`; without, they wait for `submit`.
        dependencies: What tools find as `ToolContext.dependencies`.
        checkpoint: Is given the state whenever something is done that must not be done twice: a reply has come, a
            tool has finished, something was submitted. Store it, and a crash loses nothing.
        request_options: Everything else goes into each request: `temperature`, `instructions`, `extra_headers`...
    """

    _waits = True
    """Whether calls that cannot run here wait; else the registry answers them."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        model: str,
        messages: Iterable[Any] | None = None,
        input: str | Iterable[Any] | None = None,
        tools: Tools = (),
        stream: bool = False,
        max_steps: int = 10,
        max_tokens: int | None = None,
        max_cost: Decimal | float | str | None = None,
        tool_choice: ToolChoice | None = None,
        parallel_tool_calls: bool | None = None,
        response_format: Any = None,
        approve: Approve | None = None,
        dependencies: Any = None,
        checkpoint: Checkpoint | None = None,
        **request_options: Any,
    ) -> None:
        _check(client, approve=approve, checkpoint=checkpoint)
        history = history_of(messages, input)
        api: Literal["chat", "responses"] = "chat" if input is None else "responses"
        settings = Settings(
            model=model,
            stream=stream,
            limits=Limits.checked(max_steps=max_steps, max_tokens=max_tokens, max_cost=max_cost),
            tool_choice=tool_choice,
            parallel_tool_calls=parallel_tool_calls,
            options=checked_options(request_options),
        )
        toolset = Toolset(tools, api=api)
        toolset.check_choice(tool_choice)
        stored = settings.options.get("store") is not False
        self._engine = Engine(
            State(api=api, settings=settings.saved(), answer_type=type_name(response_format), history=history),
            api=Chat(client) if api == "chat" else Responses(client, stored=stored),
            settings=settings,
            tools=toolset,
            calls=Calls(toolset, approve=approve, dependencies=dependencies, waits=self._waits),
            response_format=response_format,
            checkpoint=checkpoint,
        )
        self._busy = False

    @classmethod
    def resume(
        cls,
        client: openai.AsyncOpenAI,
        state: Mapping[str, Any],
        *,
        tools: Tools = (),
        response_format: Any = None,
        approve: Approve | None = None,
        dependencies: Any = None,
        checkpoint: Checkpoint | None = None,
        **changes: Any,
    ) -> Self:
        """A loop that goes on from what `save` returned; iterate it.

        What is no JSON or may hold secrets was not saved and is given again: the arguments named here, and the
        options `extra_headers`, `extra_query`, `extra_body` and `timeout`. `changes` replace other arguments, such
        as `max_steps`. Tools are found by name. Raises `InvalidState` when something is missing.
        """
        saved = State.from_json(state)
        if {"messages", "input"} & changes.keys():
            raise TypeError("the state has the messages already; resume() takes none")
        history: dict[str, Any] = {"messages" if saved.api == "chat" else "input": saved.history}
        loop = cls(
            client,
            tools=tools,
            response_format=response_format,
            approve=approve,
            dependencies=dependencies,
            checkpoint=checkpoint,
            **{**saved.settings.arguments(), **changes, **history},
        )
        loop._restore(saved, has_format=response_format is not None)
        return loop

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The history so far, valid to send: a reply whose calls have not all been answered is not in it yet."""
        return self._engine.messages()

    @property
    def usage(self) -> Usage:
        """Of all calls of the model so far."""
        return self._engine.state.usage

    @property
    def waiting(self) -> tuple[ToolCall, ...]:
        """The calls that `submit` is awaited for."""
        return self._engine.waiting()

    @property
    def final(self) -> Final | None:
        """The last step, once the model has answered."""
        return self._engine.final()

    def save(self) -> dict[str, Any]:
        """The state as JSON data, a copy; no keys, no headers, no tools, but the whole conversation."""
        return self._engine.state.to_json()

    async def submit(self, submissions: Submissions) -> None:
        """Hand in results of waiting calls by id, and decisions (`Allow()`, `Deny(reason)`, `Edit(arguments)`).

        Any Python value is a result, serialised as a tool's is; not all calls need be answered at once. Raises
        `InvalidSubmission`, and takes nothing, when one of them fits no waiting call.
        """
        await self._engine.submit(submissions)

    async def aclose(self) -> None:
        """Close the stream of the model's reply, or cancel the tools that run; iterating on begins these again."""
        if self._busy:
            raise ToolLoopBusy("This loop is being iterated; cancel the task that does, which closes the stream, too.")
        await self._engine.close()

    def __aiter__(self) -> Self:
        self._engine.look_again()
        return self

    async def __anext__(self) -> Step:
        if self._busy:
            raise ToolLoopBusy("This loop is being iterated already; one task at a time can.")
        self._busy = True
        try:
            while (step := await self._engine.advance()) is None:
                pass
        finally:
            self._busy = False
        return step

    def _restore(self, saved: State, *, has_format: bool) -> None:
        """Go on from a state, unless something is missing."""
        engine = self._engine
        missing = {one.call.name for one in saved.calls if one.known and one.call.name not in engine.tool_names}
        if missing:
            raise InvalidState(f"the state has calls of {', '.join(sorted(missing))}: give tools= that have these")
        if saved.answer_type is not None and not has_format:
            raise InvalidState(f"the answer is to be a {saved.answer_type}: give response_format= again")
        engine.state = replace(saved, settings=engine.state.settings, answer_type=engine.state.answer_type)
        try:
            engine.answer()
        except Exception:  # noqa: BLE001 - whatever is odd in it
            raise damaged("reply") from None


def _check(client: object, **hooks: object) -> None:
    if isinstance(client, openai.OpenAI):
        raise TypeError(f"{type(client).__name__} is a sync client; a loop needs an AsyncOpenAI")
    if not isinstance(client, openai.AsyncOpenAI):
        raise TypeError(f"client={client!r:.80} is a {type(client).__name__}; give an AsyncOpenAI")
    for name, hook in hooks.items():
        if hook is not None and not callable(hook):
            raise TypeError(f"{name}={hook!r:.80} cannot be called; give a function")
