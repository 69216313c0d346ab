"""Rate limits: what may be sent when, in one process or in many. `llmkit.RateLimit` puts a client under one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.limits.backend import Backend, Limits, Ticket
    from llmkit.limits.bucket import Amount
    from llmkit.limits.headers import Told
    from llmkit.limits.memory import MemoryBackend
    from llmkit.limits.redis import RedisBackend

__all__ = ["Amount", "Backend", "Limits", "MemoryBackend", "RedisBackend", "Ticket", "Told"]

_HOME = {
    "llmkit.limits.backend": ("Backend", "Limits", "Ticket"),
    "llmkit.limits.bucket": ("Amount",),
    "llmkit.limits.headers": ("Told",),
    "llmkit.limits.memory": ("MemoryBackend",),
    "llmkit.limits.redis": ("RedisBackend",),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
