"""A look at an earlier answer brings that answer's usage again, which nobody is billed for again."""

from __future__ import annotations

from collections import OrderedDict
from threading import RLock
from typing import Final

from llmkit.fields import Fields
from llmkit.record import CallRecord

_LOOKS: Final = (".get", ".cancel", ".update")
"""How operations end that are about what was made before."""
_ENDED: Final = frozenset({"completed", "incomplete", "failed", "cancelled", "expired"})
_MOST: Final = 10_000

_counted: Final[OrderedDict[str, float]] = OrderedDict()
"""What has ended, and when the call began that has counted it."""
_lock: Final = RLock()


def is_new_usage(record: CallRecord, answer: Fields) -> bool:
    """Whether the usage in an answer is to be counted for this call.

    What is made in the background (a response, a run, a batch) counts once in this process, for the first call that
    finds it at its end, be it the one that has begun it. Looks at anything else count for nothing, and so do the steps
    of a run, which are in the usage of the run.
    """
    kind, name = answer.get("object"), answer.get("id")
    if kind == "thread.run.step":
        return False
    if answer.get("background") is not True and kind not in ("batch", "thread.run"):
        return not record.operation.endswith(_LOOKS)
    if answer.get("status") not in _ENDED or not isinstance(name, str):
        return False
    with _lock:
        counted_by = _counted.setdefault(name, record.started_at)
        if len(_counted) > _MOST:
            _counted.popitem(last=False)
    return counted_by == record.started_at
