"""Responses that can be asked for again: the last ones that the fake API has made."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from llmkit.testing.fake.records import Turn

KEPT = 100
"""Responses; the oldest is forgotten first."""


class StoredResponses:
    """What GET /responses/{id} finds."""

    def __init__(self) -> None:
        self._turns: OrderedDict[str, Turn] = OrderedDict()
        self._lock = Lock()

    def keep(self, turn: Turn) -> None:
        """Remember a response, unless the request says `"store": false` or its connection broke in the foreground."""
        lost = turn.reply.drop_error is not None and not turn.body.get("background")
        if lost or turn.body.get("store") is False:
            return
        with self._lock:
            self._turns[f"resp_fake_{turn.number}"] = turn
            while len(self._turns) > KEPT:
                self._turns.popitem(last=False)

    def find(self, response_id: str) -> Turn | None:
        """The turn that made a response."""
        return self._turns.get(response_id)
