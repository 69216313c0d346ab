"""A warning when usage turns unusual."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.usage.anomalies.event import Unusual
    from llmkit.usage.anomalies.sink import UnusualUsage

__all__ = ["Unusual", "UnusualUsage"]

_HOME = {
    "llmkit.usage.anomalies.event": ("Unusual",),
    "llmkit.usage.anomalies.sink": ("UnusualUsage",),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
