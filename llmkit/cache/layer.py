"""What all caches are as a layer of the stack: who is answered from the store, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, TypedDict

from llmkit.cache.answers import OPERATIONS
from llmkit.cache.asking import Asking, Plan
from llmkit.cache.entry import Selection
from llmkit.cache.key import Keys
from llmkit.cache.memory import MemoryStore
from llmkit.cache.per_call import current_caching
from llmkit.cache.shelf import Shelf, note_miss
from llmkit.cache.stats import CacheStats
from llmkit.cache.store import CacheStore
from llmkit.figures import check_figures
from llmkit.request import CallNext, Request
from llmkit.tagging import Tag, checked_per

TTL = float | Callable[[Request], float | None] | None


class CacheOptions(TypedDict, total=False):
    """The arguments that all caches take; `Cache` has their meaning."""

    ttl: TTL
    per: str | tuple[str, ...] | None
    include: Collection[str]
    ignore: Collection[str]
    namespace: str
    sampled: bool
    tool_calls: bool
    wait: float
    on_error: Literal["open", "closed"]


class CachingLayer:
    """A middleware over a store; `Cache` has the meaning of the arguments."""

    def __init__(
        self,
        store: CacheStore | None = None,
        *,
        ttl: TTL = 3600.0,
        per: str | tuple[str, ...] | None = None,
        include: Collection[str] = (),
        ignore: Collection[str] = (),
        namespace: str = "",
        sampled: bool = False,
        tool_calls: bool = False,
        wait: float = 60.0,
        on_error: Literal["open", "closed"] = "open",
    ) -> None:
        check_figures(wait=wait, **({} if callable(ttl) else {"ttl": ttl}))
        if not callable(ttl) and ttl is not None and not ttl > 0:
            raise ValueError(f"ttl={ttl!r} must be above 0 seconds; None keeps answers for ever")
        if wait is None or not wait >= 0:  # pyright: ignore[reportUnnecessaryComparison]
            raise ValueError(f"wait={wait!r} must be 0 or more seconds; 0 does not wait for identical calls")
        for name, given in (("include", include), ("ignore", ignore)):
            if isinstance(given, str):
                raise TypeError(f"{name}={given!r} is a text; write {name}=({given!r},)")
        self._shelf = Shelf(MemoryStore() if store is None else store, on_error=on_error, tool_calls=tool_calls)
        self._ttl = ttl
        self._keys = Keys(per=checked_per(per), include=include, ignore=ignore, namespace=namespace)
        self._sampled = sampled
        self._asking = Asking(self._shelf, wait=wait)

    @property
    def store(self) -> CacheStore:
        """Where the answers are."""
        return self._shelf.store

    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        """Answer from the store, or ask and keep the answer."""
        plan = self._plan(request)
        note_miss(request.record)
        if plan is None:
            return await call_next(request)
        request.record.cache, request.record.cache_key = "miss", plan.key
        return await self._asking.answer(plan, request, call_next)

    def invalidate(
        self,
        key: str | None = None,
        *,
        prefix: str | None = None,
        model: str | None = None,
        tags: Mapping[str, Tag] | None = None,
        older_than: float | None = None,
        everything: bool = False,
    ) -> int:
        """Drop the answers for which all that is given holds, from the store and so for all who share it; how many.

        `key` is the record's `cache_key`, `tags` are those under which the answer was made, `older_than` is in seconds.
        Reads the list of all answers, but for a key. May block: in async code `await asyncio.to_thread(...)`.
        """
        selection = Selection(key=key, prefix=prefix, model=model, tags=tags or {}, older_than=older_than)
        if (selection == Selection()) is not everything:
            raise ValueError("say which answers: key, prefix, model, tags or older_than, or only everything=True")
        if "" in (key, prefix, model):
            raise ValueError("key, prefix and model must not be empty; everything=True drops all")
        keys, dropped = self._shelf.invalidate(selection)
        self._forget(keys)
        return dropped

    def stats(self) -> CacheStats:
        """Hits, misses and what they saved, of all who share the store; may block."""
        return self._shelf.stats()

    def _forget(self, keys: list[str]) -> None:
        """What else to do about entries that have been dropped."""

    def close(self) -> None:
        """Write the counters to the store, as the end of the process does; may block."""
        self._shelf.all_counts()

    def _plan(self, request: Request) -> Plan | None:
        said = current_caching()
        if request.operation not in OPERATIONS or not (said.read or said.write) or self._varies(request):
            return None
        ttl = said.ttl
        if ttl is None:
            ttl = self._ttl(request) if callable(self._ttl) else self._ttl
        if not isinstance(ttl, int | float | None):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"the function given as ttl returned {ttl!r}; return seconds, 0 to keep nothing, or None")
        key = None if ttl is not None and ttl <= 0 else self._keys.of(request)
        return None if key is None else Plan(key=key, ttl=ttl, read=said.read, write=said.write)

    def _varies(self, request: Request) -> bool:
        body = request.body
        if body.get("conversation") or body.get("background"):
            return True
        return bool(body.get("temperature")) and body.get("seed") is None and not self._sampled
