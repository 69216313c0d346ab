"""Several API keys in turn: rotated without a restart, parked when the server refuses them, never shown."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeAlias

import openai

from llmkit.keys.handing import AsyncKeyProvider, Sending, SyncKeyProvider, keys_of
from llmkit.keys.key import Key
from llmkit.keys.refusals import refusal
from llmkit.keys.ring import KeyStatus
from llmkit.keys.shared import SharedKeys
from llmkit.keys.sources import Environment, File, Function, Given, Keys, Source
from llmkit.request import CallNext, Middleware, Request

Layers: TypeAlias = tuple[Middleware, ...]

_CREDENTIALS = ("api_key", "azure_ad_token", "azure_ad_token_provider", "workload_identity", "provider")
"""Arguments of a client that say who is calling; a ring goes when a copy is given one of them."""


class KeyRing:
    """API keys that take turns: `AsyncOpenAI(api_key=KeyRing("sk-a...", "sk-b..."))`, or any other client of llmkit.

    A key that the server refuses (401, or a quota that is spent) is parked, and the call goes on at once with
    another one: the refused request was not served, so this is no retry. A key that is too fast (429) rests for as
    long as the server says, if another can take its place; the last one's 429 goes up to Retry, which waits. When
    all are parked, the API's last error is raised, and calls that begin then raise `NoUsableKey`.

    A parked key comes back when its source lists it anew after it was gone, or for one trial request after
    `retry_parked_after` seconds. The ring is the innermost layer of the stack, unless it is listed:
    `middleware=[UsageLog(), Retry(), ring, RateLimit(..., per="key")]` limits each key by itself.
    """

    def __init__(self, *keys: str, retry_parked_after: float = 600.0) -> None:
        self._set_up(Given(keys), retry_parked_after)

    @classmethod
    def from_env(cls, variable: str, *, retry_parked_after: float = 600.0) -> Self:
        """The keys of an environment variable, with commas, spaces or line ends between them; changes are seen."""
        return cls._of(Environment(variable), retry_parked_after)

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], *, refresh: float = 1.0, retry_parked_after: float = 600.0
    ) -> Self:
        """The keys of a file, one a line, # for comments; a change is seen after `refresh` seconds at most.

        A file that is gone, empty or unreadable later leaves the last good keys in use.
        """
        return cls._of(File(path, every=_checked(refresh)), retry_parked_after)

    @classmethod
    def from_callable(
        cls,
        function: Callable[[], Keys | Awaitable[Keys]],
        *,
        refresh: float = 30.0,
        retry_parked_after: float = 600.0,
    ) -> Self:
        """The key or keys that a function returns, asked every `refresh` seconds and when a key was refused.

        The first call asks first. An async function needs an async client; another one runs in a thread there.
        """
        return cls._of(Function(function, every=_checked(refresh)), retry_parked_after)

    @classmethod
    def _of(cls, source: Source, retry_parked_after: float) -> Self:
        ring = cls.__new__(cls)
        ring._set_up(source, retry_parked_after)
        return ring

    def _set_up(self, source: Source, retry_parked_after: float) -> None:
        if not retry_parked_after > 0:
            raise ValueError(f"retry_parked_after={retry_parked_after!r} must be above 0 seconds")
        self._keys = SharedKeys(source, retry_parked_after=retry_parked_after)
        if not isinstance(source, Function):  # which may wait, or take long: the first call asks it
            self._keys.load()

    def __repr__(self) -> str:
        return f"KeyRing({', '.join(key.label for key in self.status())})"

    def status(self) -> list[KeyStatus]:
        """How it stands with each key, for operators; keys are shown by their labels."""
        return self._keys.status()

    def async_provider(self) -> AsyncKeyProvider:
        """The ring as an async client of the SDK takes it: a function that is asked for a key before each request."""
        return AsyncKeyProvider(self._keys, self)

    def sync_provider(self) -> SyncKeyProvider:
        """The same for a sync client; `TypeError` when the keys come from an async function."""
        source = self._keys.source
        if source.is_async:
            raise TypeError(f"{source.name} is async, and a sync client cannot await it; give a plain function")
        return SyncKeyProvider(self._keys, self)

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Send with one key after another until one is not refused."""
        keys = keys_of(request.client)  # of a Fallback's own client, where the call goes there
        if keys is None or _has_own_key(request):
            request.record.key = None  # that of the client that was asked before
            return await call_next(request)
        return await _send(request, call_next, keys)


def _has_own_key(request: Request) -> bool:
    """Whether the caller has given the call another key, as a header."""
    is_azures = isinstance(request.client, openai.AzureOpenAI | openai.AsyncAzureOpenAI)
    header = "api-key" if is_azures else "authorization"
    return any(name.lower() == header for name in request.headers)


async def _send(request: Request, call_next: CallNext, keys: SharedKeys) -> Any:
    refused, busy = set[Key](), None
    chosen = await keys.next(request.runtime)
    while True:
        sending = Sending(keys, chosen, request.record)
        try:
            answer = await sending.run(request, call_next)
        except openai.APIStatusError as error:
            used, reason = sending.used_for(error), refusal(error, now=request.runtime.time())
            if used is None or reason is None:
                raise
            refused.add(used.key)
            keys.refused(used, reason, request.runtime)
            busy = error if reason.rests else busy
            another = await keys.choose(request.runtime, refused=refused, even_resting=not reason.rests)
            if another is None:
                raise _last(error, busy, keys) from None
            if not request.rewind():
                raise
            chosen = another
        else:
            keys.worked(sending.given[-1])
            return answer


def _last(error: openai.APIStatusError, busy: openai.APIStatusError | None, keys: SharedKeys) -> openai.APIStatusError:
    """What to raise where no key is left for a call: a 429 if there was one, for that passes."""
    if not keys.all_parked():
        return busy or error
    error.add_note(f"{keys.told()}.")
    return error


def with_ring(
    layers: Layers, options: dict[str, Any], *, is_async: bool, before: Layers | None = None
) -> tuple[Layers, dict[str, Any]]:
    """The stack and the arguments of a client, or of the copy of one with the stack `before`.

    The ring that is a client's key is in its stack, and no other: it is given as `api_key`, listed, or there before.
    Another kind of credentials takes the one that was there before out.
    """
    key = options.get("api_key")
    given = key.layer if isinstance(key, AsyncKeyProvider | SyncKeyProvider) else key
    if not isinstance(given, KeyRing) and _names_another(options):
        if _ring_in(layers) is not None and layers is not before:
            raise ValueError("middleware= lists a KeyRing, and credentials are given beside it; leave one of them out")
        return tuple(layer for layer in layers if not isinstance(layer, KeyRing)), options
    if layers is not before and len({one for one in (*layers, given) if isinstance(one, KeyRing)}) > 1:
        raise ValueError("the client is given two KeyRings, and can use one only; put all keys into one ring")
    ring = given if isinstance(given, KeyRing) else _ring_in(layers) or _ring_in(before or ())
    if ring is None:
        return layers, options
    placed = tuple(ring if isinstance(layer, KeyRing) else layer for layer in layers)
    provider = ring.async_provider() if is_async else ring.sync_provider()
    return placed if ring in placed else (*placed, ring), options | {"api_key": provider}


def _names_another(options: dict[str, Any]) -> bool:
    return any(not isinstance(options.get(name), openai.NotGiven | None) for name in _CREDENTIALS)


def _ring_in(layers: Layers) -> KeyRing | None:
    return next((layer for layer in layers if isinstance(layer, KeyRing)), None)


def _checked(refresh: float) -> float:
    if not refresh >= 0:
        raise ValueError(f"refresh={refresh!r} is negative; give the seconds between two looks at the keys")
    return refresh
