"""A look at an earlier answer brings that answer's usage again, which nobody is billed for again."""

from __future__ import annotations

from collections import OrderedDict
from threading import RLock
from typing import Final

from llmkit.fields import Fields

_LOOKS: Final = (".get", ".cancel")
"""How operations end that ask for what was made before."""
_ENDED: Final = frozenset({"completed", "incomplete", "failed", "cancelled", "expired"})
_MOST: Final = 10_000

_counted: Final[OrderedDict[str, None]] = OrderedDict()
_lock: Final = RLock()


def is_new_usage(operation: str, answer: Fields) -> bool:
    """Whether the usage in an answer is to be counted for this call.

    Looks count for nothing, but for the first one in this process that finds what was made in the background (a
    response, a run, a batch) at its end: no other call tells what that has used.
    """
    if not operation.endswith(_LOOKS):
        return True
    later = answer.get("background") is True or answer.get("object") in ("batch", "thread.run")
    name = answer.get("id")
    if not later or answer.get("status") not in _ENDED or not isinstance(name, str):
        return False
    with _lock:
        new = name not in _counted
        _counted[name] = None
        if len(_counted) > _MOST:
            _counted.popitem(last=False)
        return new
