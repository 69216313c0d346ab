"""Count the tokens of a request as the API will bill them, offline and before it is sent."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmkit.tokens.count import count_request, count_text, count_tokens, upper_bound
    from llmkit.tokens.estimate import estimate_tokens
    from llmkit.tokens.tally import TokenCount

__all__ = [
    "TokenCount",
    "count_request",
    "count_text",
    "count_tokens",
    "estimate_tokens",
    "upper_bound",
]

_HOME = {
    "llmkit.tokens.count": ("count_request", "count_text", "count_tokens", "upper_bound"),
    "llmkit.tokens.estimate": ("estimate_tokens",),
    "llmkit.tokens.tally": ("TokenCount",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'llmkit.tokens' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
