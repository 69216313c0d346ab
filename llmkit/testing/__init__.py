"""Test doubles: the OpenAI API in memory, and time that passes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llmkit._lazy import lazy

if TYPE_CHECKING:
    from llmkit.testing.clock import VirtualClock, virtual_time
    from llmkit.testing.fake import FakeOpenAI
    from llmkit.testing.fake.records import FakeRequest

__all__ = ["FakeOpenAI", "FakeRequest", "VirtualClock", "virtual_time"]

_HOME = {
    "llmkit.testing.clock": ("VirtualClock", "virtual_time"),
    "llmkit.testing.fake": ("FakeOpenAI",),
    "llmkit.testing.fake.records": ("FakeRequest",),
}

__getattr__, __dir__ = lazy(globals(), _HOME)
