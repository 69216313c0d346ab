"""The keys for which this process asks the API on behalf of all that share a store."""

from __future__ import annotations

import threading
import time
import uuid

from llmkit.cache.store import CacheStore
from llmkit.forks import begin_anew_in_children
from llmkit.record import logger

_LEASE = 6.0
"""Seconds after which others may ask when the process that claimed is gone."""
_RENEWAL = 2.0


class Claims:
    """Claims on a store, renewed by a thread as long as this process lives and they are held."""

    def __init__(self, store: CacheStore) -> None:
        self._store = store
        begin_anew_in_children(self)

    def begin(self) -> None:
        """Hold nothing."""
        self._lock = threading.RLock()
        self._owner = uuid.uuid4().hex
        self._wanted: set[str] = set()
        self._held: set[str] = set()
        self._given_up = threading.Event()

    def want(self, key: str) -> None:
        """Say that `key` will be taken; `give_up` ends that, also while it is being taken."""
        with self._lock:
            self._wanted.add(key)

    def take(self, key: str, *, now: float) -> bool:
        """Whether this process may ask for `key`; may block."""
        if not self._store.blocks:
            return True
        if not self._claim(key, now):
            return False
        with self._lock:
            kept = key in self._wanted
            if kept:
                self._hold(key)
        if not kept:  # the call was cancelled meanwhile
            self._store.release(key, owner=self._owner)
        return kept

    def give_up(self, key: str) -> None:
        """Let others ask for `key`; may block."""
        with self._lock:
            self._wanted.discard(key)
            if key not in self._held:
                return
            self._held.remove(key)
            if not self._held:
                self._given_up.set()
        self._store.release(key, owner=self._owner)

    def _hold(self, key: str) -> None:
        self._held.add(key)
        if len(self._held) == 1:
            self._given_up = threading.Event()
            threading.Thread(target=self._renew, args=(self._given_up,), name="llmkit-claims", daemon=True).start()

    def _claim(self, key: str, now: float) -> bool:
        return self._store.claim(key, owner=self._owner, seconds=_LEASE, now=now)

    def _renew(self, given_up: threading.Event) -> None:
        while not given_up.wait(_RENEWAL):
            for key in [*self._held]:
                with self._lock:  # nothing is claimed that has just been given up
                    self._renew_one(key)

    def _renew_one(self, key: str) -> None:
        try:
            if key in self._held:
                self._claim(key, time.time())
        except Exception as error:  # noqa: BLE001 - a store of the user's own may raise anything
            logger.debug("a claim could not be renewed: %s", type(error).__name__)
