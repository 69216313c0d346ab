"""Asking a source for its keys: when it is time, one call at a time, and never to the loss of the last good keys."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from threading import RLock
from typing import cast

from llmkit.keys.key import InvalidKeys, Key
from llmkit.keys.sources import Source
from llmkit.record import logger
from llmkit.runtime import Event, Runtime

_NEEDED = 1.0
"""Seconds between two looks while no key is left."""


class Supply:
    """Brings the keys of `source` to `use`. Safe in threads and in several event loops."""

    def __init__(self, source: Source, use: Callable[[Sequence[Key]], None]) -> None:
        self._source = source
        self._use = use
        self._lock = RLock()  # a coroutine that is collected may end here while this very thread is inside
        self._waiting: list[Event] = []
        self._asked = self._due = -math.inf
        self._loaded = self._asking = self._failing = False
        self._cancelled = 0
        """Calls that were cancelled while they asked: one of those that wait for them asks in their place."""

    def load(self) -> None:
        """Ask a source that is not async at once; raises what the source raises."""
        self._take(cast("Sequence[Key]", self._source.read()))

    def hurry(self) -> None:
        """Have the next look ask the source, however long ago the last one was."""
        with self._lock:
            self._asked = self._due = -math.inf

    async def look(self, runtime: Runtime, *, needed: bool = False) -> None:
        """Ask the source if it is time to; where another call is asking, only a call that has no key waits for it.

        Raises what the source raises as long as it has never given any keys.
        """
        while True:
            with self._lock:
                if not self._asking and self._is_due(runtime.monotonic(), needed):
                    self._asking, self._asked = True, runtime.monotonic()
                    self._due = self._asked + self._source.every
                    break
                if not self._asking or (self._loaded and not needed):
                    return
                answer, before = runtime.event(), self._cancelled
                self._waiting.append(answer)
            await answer.wait()
            if self._cancelled == before:
                return
        await self._ask(runtime)

    def _is_due(self, now: float, needed: bool) -> bool:
        return now >= self._due or ((needed or not self._loaded) and now >= self._asked + _NEEDED)

    async def _ask(self, runtime: Runtime) -> None:
        read = self._source.read
        try:
            keys = await runtime.run_blocking(read) if self._source.blocks else read()
            if inspect.isawaitable(keys):
                keys = await keys
            if keys is not None:
                self._take(keys)
            self._failing = False
        except Exception as error:
            if not self._loaded:
                raise
            self._warn(error)
        except BaseException:
            self._cancelled += 1
            self.hurry()
            raise
        finally:
            self._done()

    def _take(self, keys: Sequence[Key]) -> None:
        self._use(keys)
        self._loaded = True

    def _done(self) -> None:
        with self._lock:
            self._asking = False
            waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()

    def _warn(self, error: Exception) -> None:
        """Say it once, and quote no text but llmkit's own: another's may hold a key."""
        if not self._failing:
            reason = str(error) if isinstance(error, InvalidKeys) else type(error).__name__
            logger.warning("KeyRing goes on with its last keys: %s gives no others: %s", self._source.name, reason)
        self._failing = True
