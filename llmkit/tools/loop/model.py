"""The calls of the model that a loop makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import openai

from llmkit.tools.loop.chat import Chat
from llmkit.tools.loop.reply import Api, Incoming, Narrator, Reply
from llmkit.tools.loop.responses import Responses
from llmkit.tools.loop.settings import Settings
from llmkit.tools.loop.state import State
from llmkit.tools.loop.toolset import Toolset
from llmkit.tools.loop.wire import JSONObject


class Model:
    """Makes requests of a loop's state."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        *,
        api: Literal["chat", "responses"],
        settings: Settings,
        tools: Toolset,
        response_format: Any,
    ) -> None:
        self.api = _api(client, api, settings.options)
        self._settings = settings
        self._tools = tools
        self._format: JSONObject = {}
        if response_format is not None:
            self._format = self.api.answer_format(response_format, settings.options)

    @property
    def streams(self) -> bool:
        """Whether replies arrive in pieces."""
        return self._settings.stream

    @property
    def keeps_history(self) -> bool:
        """Whether the server adds each reply to a conversation of its own."""
        return bool(self._settings.options.get("conversation"))

    async def ask(self, state: State) -> Reply:
        """The reply to the history so far."""
        return self.api.read(await self.api.send(self._body(state)))

    def listen(self, state: State, narrator: Narrator) -> Incoming:
        """The same as it arrives."""
        return self.api.stream(self._body(state), narrator)

    def _body(self, state: State) -> JSONObject:
        """The request, unless a ceiling is reached."""
        settings = self._settings
        history = state.history
        settings.limits.check(steps=state.steps, usage=state.usage, model=settings.model, messages=list(history))
        body = settings.request(self._tools, first=not state.steps) | self._format
        return {**body, self.api.field: history[state.at_server :]}


def _api(client: object, name: Literal["chat", "responses"], options: Mapping[str, Any]) -> Api:
    if isinstance(client, openai.OpenAI):
        raise TypeError(f"{type(client).__name__} is a sync client; a loop needs an AsyncOpenAI")
    if not isinstance(client, openai.AsyncOpenAI):
        raise TypeError(f"client={client!r:.80} is a {type(client).__name__}; give an AsyncOpenAI")
    return Chat(client) if name == "chat" else Responses(client, stored=options.get("store") is not False)
