"""Which key is next, and which are parked or at rest. Pure: no clock, no waiting, no lock."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from llmkit.keys.key import Key
from llmkit.keys.refusals import Refusal

_TRIAL = 60.0
"""Seconds that a parked key that is tried again has for its answer, before another call may try it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatus:
    """How it stands with a key of a KeyRing."""

    label: str
    usable: bool
    """False while it is parked or rests."""
    parked_because: str | None
    """The answer that did it, such as "401 invalid_api_key", "429 insufficient_quota" or, for a key at rest, "429"."""
    until: float | None
    """When it is tried again at the latest, seconds since the epoch; a source that brings it anew is sooner."""


class Chosen(NamedTuple):
    """A key for one request; `turn` counts the choices of a ring."""

    key: Key
    label: str
    turn: int


@dataclass(slots=True)
class _Slot:
    key: Key
    label: str
    since: int
    """Answers to requests of this turn or before are older than the key's state, and do not change it."""
    turn: int = 0
    """When it was chosen last."""
    because: str | None = None
    parked: bool = False
    until: float = 0.0


class Ring:
    """The keys in use: the one chosen longest ago is next; times are seconds on one clock that never goes back."""

    def __init__(self, *, retry_parked_after: float) -> None:
        self._retry_parked_after = retry_parked_after
        self._slots: dict[Key, _Slot] = {}
        self._turn = 0

    def __len__(self) -> int:
        return len(self._slots)

    def update(self, keys: Iterable[Key]) -> tuple[list[str], list[str]]:
        """Use these keys from now on; the labels of those that came and those that went.

        A key that stays, stays parked; one that was away begins anew.
        """
        old, self._slots = self._slots, {}
        for key in keys:
            self._slots[key] = old.get(key) or _Slot(key, "", since=self._turn)
        added = [slot for slot in self._slots.values() if not slot.label]
        for slot in added:
            slot.label = self._free_label(slot.key.label)
        gone = [slot.label for key, slot in old.items() if key not in self._slots]
        return [slot.label for slot in added], gone

    def _free_label(self, label: str) -> str:
        """Two keys that end alike are told apart: "...wxyz", "...wxyz(2)"."""
        taken = {slot.label for slot in self._slots.values()}
        numbered = (f"{label}({number})" for number in range(2, len(taken) + 3))
        return label if label not in taken else next(one for one in numbered if one not in taken)

    def choose(self, now: float, *, refused: Collection[Key] = (), even_resting: bool = True) -> Chosen | None:
        """The next key; with `even_resting`, where all rest, the one whose rest ends first.

        A parked key whose time has come is chosen for one request, whose answer decides.
        """
        slots = [slot for slot in self._slots.values() if slot.key not in refused]
        fresh = [slot for slot in slots if slot.until <= now]
        resting = [slot for slot in slots if not slot.parked] if even_resting else []
        slot = min(fresh, key=lambda slot: slot.turn, default=None) or min(
            resting, key=lambda slot: slot.until, default=None
        )
        if slot is None:
            return None
        if slot.parked:
            slot.until = now + min(_TRIAL, self._retry_parked_after)
        self._turn += 1
        slot.turn = self._turn
        return Chosen(slot.key, slot.label, slot.turn)

    def is_parked(self, chosen: Chosen) -> bool:
        """Whether a key was parked or taken out since it was chosen."""
        slot = self._slots.get(chosen.key)
        return slot is None or (slot.parked and slot.since >= chosen.turn)

    def all_parked(self) -> bool:
        """Whether no key is left, not even one at rest."""
        return all(slot.parked for slot in self._slots.values())

    def refused(self, chosen: Chosen, refusal: Refusal, now: float) -> bool:
        """Take in that a request was refused because of its key; whether that parks the key."""
        slot = self._slots.get(chosen.key)
        if slot is None or chosen.turn <= slot.since:
            return False
        if refusal.seconds is not None:
            self.worked(chosen)  # a server does not count the requests of a key that it does not know
            slot.because, slot.until = refusal.because, max(slot.until, now + refusal.seconds)
            return False
        slot.because, slot.parked, slot.until = refusal.because, True, now + self._retry_parked_after
        slot.since = self._turn
        return True

    def worked(self, chosen: Chosen) -> None:
        """Take in that a request was served: a parked key that was tried again is back."""
        slot = self._slots.get(chosen.key)
        if slot is not None and slot.parked and chosen.turn > slot.since:
            slot.because, slot.parked, slot.until, slot.since = None, False, 0.0, self._turn

    def status(self, now: float) -> list[KeyStatus]:
        """How it stands with each key; `until` is on the ring's own clock."""
        return [self._status(slot, usable=slot.until <= now and not slot.parked) for slot in self._slots.values()]

    def _status(self, slot: _Slot, *, usable: bool) -> KeyStatus:
        if usable:
            return KeyStatus(label=slot.label, usable=True, parked_because=None, until=None)
        return KeyStatus(label=slot.label, usable=False, parked_because=slot.because, until=slot.until)
