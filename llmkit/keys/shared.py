"""The keys of a source as concurrent calls, threads and event loops share them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from threading import Lock

from llmkit import runtime
from llmkit.errors import NoUsableKey
from llmkit.keys.key import Key
from llmkit.keys.refusals import Refusal
from llmkit.keys.ring import Chosen, KeyStatus, Ring
from llmkit.keys.sources import Source
from llmkit.keys.supply import Supply
from llmkit.record import logger
from llmkit.runtime import Runtime


class SharedKeys:
    """Chooses keys and takes in how they fared; the source is asked when it is time, and when a key was parked."""

    def __init__(self, source: Source, *, retry_parked_after: float) -> None:
        self.source = source
        self._lock = Lock()
        self._ring = Ring(retry_parked_after=retry_parked_after)
        self._supply = Supply(source, self._use)

    def load(self) -> None:
        """Ask the source now; raises what the source raises."""
        self._supply.load()

    async def next(self, runtime: Runtime) -> Chosen:
        """The next key; `NoUsableKey` when all are parked."""
        chosen = await self.choose(runtime)
        if chosen is not None:
            return chosen
        waits = [key.until - runtime.time() for key in self.status() if key.until is not None]
        soon = f"; the next one is tried again in {max(0.0, min(waits)):.0f} s" if waits else ""
        raise NoUsableKey(f"{self.told()}{soon}; no other key comes from {self.source.name}")

    async def choose(
        self, runtime: Runtime, *, refused: Collection[Key] = (), even_resting: bool = True
    ) -> Chosen | None:
        """The next key, at rest if need be; None when the source has none but those in `refused` and parked ones."""
        await self._supply.look(runtime)
        chosen = self._choose(runtime, refused, even_resting)
        if chosen is None and even_resting:
            await self._supply.look(runtime, needed=True)
            chosen = self._choose(runtime, refused, even_resting)
        return chosen

    def _choose(self, runtime: Runtime, refused: Collection[Key], even_resting: bool) -> Chosen | None:
        with self._lock:
            return self._ring.choose(runtime.monotonic(), refused=refused, even_resting=even_resting)

    def is_parked(self, chosen: Chosen) -> bool:
        """Whether a key was parked or taken out since it was chosen."""
        with self._lock:
            return self._ring.is_parked(chosen)

    def all_parked(self) -> bool:
        """Whether no key is left, not even one at rest."""
        with self._lock:
            return self._ring.all_parked()

    def refused(self, used: Chosen, reason: Refusal, runtime: Runtime) -> None:
        """Park a key or let it rest."""
        with self._lock:
            parked = self._ring.refused(used, reason, runtime.monotonic())
        if parked:
            logger.warning("API key %s is parked: %s", used.label, reason.because)
            self._supply.hurry()

    def worked(self, used: Chosen) -> None:
        """Take in that a request was served."""
        with self._lock:
            self._ring.worked(used)

    def _use(self, keys: Sequence[Key]) -> None:
        with self._lock:
            first = not len(self._ring)
            added, gone = self._ring.update(keys)
        if not first and (added or gone):
            logger.info("KeyRing: %s came, %s went", ", ".join(added) or "no key", ", ".join(gone) or "none")

    def status(self) -> list[KeyStatus]:
        """How it stands with each key."""
        clock = runtime.current(is_async=False)
        now = clock.monotonic()
        with self._lock:
            found = self._ring.status(now)
        epoch = clock.time() - now
        return [one if one.until is None else replace(one, until=one.until + epoch) for one in found]

    def told(self) -> str:
        """Which keys are parked and why, in words."""
        with self._lock:
            found = self._ring.status(0.0)
        if not found:
            return f"{self.source.name} has given no keys"
        parked = ", ".join(f"{one.label} ({one.parked_because})" for one in found)
        return f"all {len(found)} keys of the ring are parked: {parked}" if len(found) > 1 else f"{parked} is parked"
