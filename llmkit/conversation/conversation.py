"""A conversation that remembers, within a window of tokens and over crashes."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, Final, Self
from weakref import ref

import anyio.to_thread
import openai
from openai.types.chat import ChatCompletion

from llmkit.context.trim import check_budget, trim_body
from llmkit.conversation.errors import ConversationNotFound
from llmkit.conversation.gate import Gate, to_the_end
from llmkit.conversation.records import ConversationTurn, JSONObject, SavedConversation
from llmkit.conversation.store import ConversationStore
from llmkit.conversation.stream import ConversationStream
from llmkit.conversation.turn import RunningTurn, user_message
from llmkit.conversation.window import KeepTurns, Window
from llmkit.prompts.examples import Example
from llmkit.prompts.examples import few_shot as as_messages
from llmkit.tokens.models import model_facts
from llmkit.tokens.vocabulary import is_loaded, load
from llmkit.tools.approval import Approve
from llmkit.tools.registry import ToolRegistry
from llmkit.usage.totals import Usage

_OWN: Final = frozenset({"messages", "n", "stream"})
_BATCH: Final = 64  # turns loaded at first


class Conversation:
    """A Chat conversation: `await conversation.send("...")`, or `async for text in conversation.stream("...")`.

    Turns are kept whole or not at all: a call that fails or is cancelled leaves the history as it was. Only turns that
    a prompt can still hold are in memory; with a `store` all of them are kept there. One turn runs at a time, others
    wait.

    Args:
        client: An `AsyncOpenAI`, llmkit's or the SDK's own.
        model: The model that answers.
        system: Instructions; sent with every prompt, as are the examples.
        few_shot: Examples, as `llmkit.prompts.few_shot` takes them.
        tools: Functions that the model may call, or a `ToolRegistry` of them.
        dependencies: What tools find as `ToolContext.dependencies`.
        approve: Decides about calls of tools with `needs_approval`; without, they are denied.
        max_tokens: The window. A prompt has at most so many tokens, less `max_completion_tokens` if that is given;
            the oldest turns are left out. None: prompts are left to the client's `Context` middleware.
        max_steps: How often the model is called in one turn, tool calls included.
        store: Where turns are kept, such as `SQLiteStore("chats.db")`. None: turns that leave the window are gone.
        id: The conversation's name in the store; a random one by default.
        request_options: Whatever else `client.chat.completions.create` takes; of these, only
            `max_completion_tokens` is stored.
    """

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        model: str,
        system: str | None = None,
        few_shot: Sequence[Example] = (),
        tools: ToolRegistry | Iterable[object] = (),
        dependencies: Any = None,
        approve: Approve | None = None,
        max_tokens: int | None = None,
        max_steps: int = 8,
        store: ConversationStore | None = None,
        id: str | None = None,
        **request_options: Any,
    ) -> None:
        _check(client, max_steps, request_options)
        self.id = uuid.uuid4().hex if id is None else id
        self._client = client
        self._examples = as_messages(few_shot)
        self._head = as_messages((), system=system) + self._examples
        self._settings: JSONObject = {
            "model": model,
            "system": system,
            "few_shot": self._examples,
            "max_tokens": max_tokens,
        }
        if isinstance(reserved := request_options.get("max_completion_tokens"), int):
            self._settings["max_completion_tokens"] = reserved
        self._saved_settings: JSONObject | None = None
        self._model = model
        registry = tools if isinstance(tools, ToolRegistry) else ToolRegistry(tools)
        self._run_tools = partial(registry.run, dependencies=dependencies, approve=approve)
        self._body: JSONObject = {**request_options, "model": model}
        if registry.params:
            self._body["tools"] = registry.params
        self._budget = _budget(max_tokens, self._settings.get("max_completion_tokens", 0))
        self._max_steps = max_steps
        self._store = store
        self._window = Window(limit=self._budget or model_facts(model).input_limit, model=model)
        self._number = 0
        self._usage = Usage()
        self._gate = Gate()

    @classmethod
    async def load(cls, client: openai.AsyncOpenAI, *, store: ConversationStore, id: str, **options: Any) -> Self:
        """Go on with a stored conversation; raises `ConversationNotFound` when the store has none of that id.

        Model, system, few-shot examples, `max_tokens` and `max_completion_tokens` are as they were, unless given. Tools
        and other request options are not stored: give them again.
        """
        saved = await store.load(id, last=_BATCH)
        if saved is None:
            raise ConversationNotFound(f"The store has no conversation {id!r}; begin it with Conversation(..., id=...)")
        examples = saved.settings["few_shot"]
        settings: JSONObject = {**saved.settings, "few_shot": [examples] if examples else ()}
        conversation = cls(client, store=store, id=id, **{**settings, **options})
        await conversation._restore(store, saved)
        return conversation

    @property
    def usage(self) -> Usage:
        """Tokens and calls so far, as the server reported them; failed turns are in it."""
        return self._usage

    @property
    def recent(self) -> tuple[ConversationTurn, ...]:
        """The turns in memory, oldest first."""
        return self._window.turns

    async def history(self) -> tuple[ConversationTurn, ...]:
        """All turns, read from the store; without a store, those in memory."""
        if self._store is None:
            return self.recent
        saved = await self._store.load(self.id)
        return saved.turns if saved else ()

    async def send(self, content: str | Iterable[Any]) -> ChatCompletion:
        """Say something (a text or content parts) and return the model's answer; tool calls are run on the way."""
        turn = self._turn(content)
        async with self._running(turn):
            reply = await turn.answer()
            await to_the_end(partial(self._keep, turn))
            return reply

    def stream(self, content: str | Iterable[Any]) -> ConversationStream:
        """Say something and get the answer's text as it arrives; tool calls are run on the way."""
        return ConversationStream(self._turn(content), self._texts)

    async def _texts(self, turn: RunningTurn, stream: ref[ConversationStream]) -> AsyncGenerator[str, None]:
        async with self._running(turn, stream):
            try:
                async with aclosing(turn.texts()) as texts:
                    async for text in texts:
                        yield text
            except Exception:
                raise
            except BaseException:  # the reader left, or was cancelled: what it has read is part of the history
                if turn.cut():
                    await to_the_end(partial(self._keep, turn))
                raise
            await to_the_end(partial(self._keep, turn))

    @asynccontextmanager
    async def _running(
        self, turn: RunningTurn, stream: ref[ConversationStream] | None = None
    ) -> AsyncGenerator[None, None]:
        async with self._gate.alone(stream):
            await self._ready()
            turn.usage = self._usage
            try:
                yield
            finally:
                self._usage = turn.usage

    def _turn(self, content: str | Iterable[Any]) -> RunningTurn:
        return RunningTurn(
            self._client,
            user=user_message(content),
            make_body=self._make_body,
            run_tools=self._run_tools,
            max_steps=self._max_steps,
            gate=self._gate,
        )

    def _make_body(self, current: Sequence[JSONObject]) -> JSONObject:
        """The request for the next step of a turn, within the window if there is one."""
        messages, starts = self._window.messages(self._head)
        body = {**self._body, "messages": [*messages, *current]}
        if self._budget is None:
            return body
        strategy = KeepTurns(first=len(self._head), starts=starts)
        return trim_body(body, max_tokens=self._budget, operation="chat.completions", strategy=strategy)

    async def _keep(self, turn: RunningTurn) -> None:
        """Make the turn part of the history, on disk before in memory."""
        kept = ConversationTurn(
            number=self._number + 1, messages=tuple(turn.messages), usage=turn.usage, complete=turn.complete
        )
        if self._store is not None:
            settings = None if self._saved_settings == self._settings else self._settings
            await self._store.append(self.id, kept, settings=settings)
            self._saved_settings = self._settings
        self._take_in(kept)

    def _take_in(self, turn: ConversationTurn) -> None:
        self._window.add(turn)
        self._number = turn.number

    async def _restore(self, store: ConversationStore, saved: SavedConversation) -> None:
        """Take in as many of the stored turns as the window holds."""
        await self._ready()
        count = _BATCH
        while True:
            self._window.clear()
            for turn in saved.turns:
                self._take_in(turn)
            if self._window.is_full or len(saved.turns) < count:
                break
            count *= 2
            saved = await store.load(self.id, last=count) or saved
        self._usage = saved.turns[-1].usage
        self._saved_settings = saved.settings

    async def _ready(self) -> None:
        """Load the vocabulary off the event loop."""
        if not is_loaded(self._model):
            await anyio.to_thread.run_sync(load, self._model)


def _check(client: object, max_steps: int, options: JSONObject) -> None:
    if not isinstance(client, openai.AsyncOpenAI):
        raise TypeError(f"Conversation takes an AsyncOpenAI, not a {type(client).__qualname__}; its methods are async")
    if max_steps < 1:
        raise ValueError(f"max_steps={max_steps!r} never calls the model; use at least 1")
    if own := sorted(_OWN & options.keys()):
        raise ValueError(f"{own[0]}= is the conversation's own business; leave it out")


def _budget(max_tokens: int | None, reserved: int) -> int | None:
    """The tokens a prompt may have, None for no limit."""
    if max_tokens is None:
        return None
    check_budget(max_tokens)
    budget = max_tokens - reserved
    if budget < 1:
        raise ValueError(f"max_completion_tokens={reserved} leaves no room for a prompt in max_tokens={max_tokens}")
    return budget
