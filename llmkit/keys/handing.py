"""How a key reaches the request that is being built: through the SDK's own `api_key=function`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import openai

from llmkit import _sdk, runtime
from llmkit.keys.ring import Chosen
from llmkit.keys.shared import SharedKeys
from llmkit.record import CallRecord
from llmkit.request import CallNext, Middleware, Request
from llmkit.runtime import Runtime
from llmkit.sync import drive


class Sending:
    """One pass of a call with a key, and with another one if that is parked before the request leaves."""

    __slots__ = ("_record", "given", "keys")

    def __init__(self, keys: SharedKeys, chosen: Chosen, record: CallRecord) -> None:
        self.keys = keys
        self.given: list[Chosen] = []
        self._record = record
        self._give(chosen)

    def _give(self, chosen: Chosen) -> None:
        self.given.append(chosen)
        self._record.key = chosen.label

    async def run(self, request: Request, call_next: CallNext) -> Any:
        """Go on with the call; who asks for a key in this context gets the one chosen."""
        outer = _sending.get()
        _sending.set(self)
        try:
            return await call_next(request)
        finally:
            _sending.set(outer)

    async def key(self, runtime: Runtime) -> Chosen:
        """The key chosen, or another one: it may have been parked while the request waited for a rate limit."""
        if self.keys.is_parked(self.given[-1]):
            self._give(await self.keys.next(runtime))
        return self.given[-1]

    def used_for(self, error: openai.APIStatusError) -> Chosen | None:
        """The key that a refused request was sent with; None when it had one of the caller's own."""
        headers = error.request.headers
        return next((chosen for chosen in self.given if chosen.key.is_in(headers)), None)


_sending: ContextVar[Sending | None] = ContextVar("llmkit_sending", default=None)


class AsyncKeyProvider:
    """The `api_key` of an async client; `layer` goes with it into the client's stack."""

    def __init__(self, keys: SharedKeys, layer: Middleware) -> None:
        self.keys = keys
        self.layer = layer

    async def __call__(self) -> str:
        """A key for one request."""
        return await _key_text(self.keys, runtime.current(is_async=True))


class SyncKeyProvider:
    """The `api_key` of a sync client; `layer` goes with it into the client's stack."""

    def __init__(self, keys: SharedKeys, layer: Middleware) -> None:
        self.keys = keys
        self.layer = layer

    def __call__(self) -> str:
        """A key for one request."""
        return drive(_key_text(self.keys, runtime.current(is_async=False)))


async def _key_text(keys: SharedKeys, runtime: Runtime) -> str:
    sending = _sending.get()
    if sending is not None and sending.keys is keys:
        return (await sending.key(runtime)).key.reveal()
    return (await keys.next(runtime)).key.reveal()  # for a websocket, or a client without the stack


def keys_of(client: Any) -> SharedKeys | None:
    """The keys of the ring that a client takes its keys from; None when it has no ring."""
    source = _sdk.key_source(client)
    return source.keys if isinstance(source, AsyncKeyProvider | SyncKeyProvider) else None


def ring_of(client: Any) -> Middleware | None:
    """The ring itself, as the layer that goes on with another key where one is refused."""
    source = _sdk.key_source(client)
    return source.layer if isinstance(source, AsyncKeyProvider | SyncKeyProvider) else None
