"""The embeddings of questions."""

from __future__ import annotations

import inspect
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b
from typing import Any, cast

from llmkit.cache.per_call import caching
from llmkit.cache.vectors.unit import unit
from llmkit.record import logger
from llmkit.request import Request

Embed = Callable[[str], Sequence[float] | Awaitable[Sequence[float]]]
_MOST = 500
"""Vectors remembered: of 1,536 numbers they take 3 MB."""


class Vectors:
    """Embeds texts, by a function of the user's or by the client; those embedded last are remembered."""

    def __init__(self, embed: Embed | None, *, model: str) -> None:
        self._embed = embed
        self._model = model
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, Sequence[float]] = OrderedDict()

    async def of(self, text: str, request: Request) -> Sequence[float] | None:
        """The vector of a text, at length one; None, and a warning, when it cannot be had."""
        name = blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
        known = self._known.get(name)
        if known is not None:
            return known
        try:
            made: Sequence[float] = cast("Any", unit(await self._made(text, request)))
        except Exception as error:  # noqa: BLE001 - the question is asked like any other, whatever failed
            logger.warning("a question could not be embedded (%s); it is asked without", type(error).__name__)
            return None
        with self._lock:
            self._known[name] = made
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        return made

    async def _made(self, text: str, request: Request) -> Sequence[float]:
        embed = self._embed
        if embed is None:
            return await self._by_the_client(text, request)
        if inspect.iscoroutinefunction(embed):
            made: Sequence[float] = await embed(text)
            return made
        given = await request.runtime.run_blocking(lambda: embed(text))
        return await given if isinstance(given, Awaitable) else given

    async def _by_the_client(self, text: str, request: Request) -> Sequence[float]:
        """A call of its own, through the whole stack, whose answer is not kept."""
        with caching(read=False, write=False):
            answer = request.client.embeddings.create(model=self._model, input=text, timeout=request.timeout)
            if inspect.isawaitable(answer):
                answer = await answer
        vector: Sequence[float] = answer.data[0].embedding
        return vector
