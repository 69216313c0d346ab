"""Test doubles: the OpenAI API in memory, and time that passes at once."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmkit.testing.clock import VirtualClock, virtual_time
    from llmkit.testing.fake import FakeOpenAI
    from llmkit.testing.fake.records import FakeRequest

__all__ = ["FakeOpenAI", "FakeRequest", "VirtualClock", "virtual_time"]

_MODULE_OF = {
    "FakeOpenAI": "llmkit.testing.fake",
    "FakeRequest": "llmkit.testing.fake.records",
    "VirtualClock": "llmkit.testing.clock",
    "virtual_time": "llmkit.testing.clock",
}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'llmkit.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
